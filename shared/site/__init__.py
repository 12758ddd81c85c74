"""The pages: `build` writes them for mkdocs, `check` looks at the built site in a browser."""
