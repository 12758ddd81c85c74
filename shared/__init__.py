"""What lessons lean on: the curriculum, the proof, data, artifacts, the command line and the site."""
