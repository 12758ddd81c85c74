"""Data sets for the lessons: ``from shared.data import load``; then ``X, y = load("diabetes").split()``."""

from shared.data.download import DataUnavailableError
from shared.data.embedded import Table, WrongFileError, load, path
from shared.data.large import Images, load_images, load_text

__all__ = ["DataUnavailableError", "Images", "Table", "WrongFileError", "load", "load_images", "load_text", "path"]
