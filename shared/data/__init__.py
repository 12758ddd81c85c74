"""Data sets for the lessons: ``from shared.data import load``; then ``X, y = load("diabetes").split()``."""

from shared.data.embedded import Table, load, load_text, path

__all__ = ["Table", "load", "load_text", "path"]
