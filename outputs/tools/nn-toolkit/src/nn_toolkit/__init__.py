"""Small neural networks with NumPy alone: train them, measure them, look into them."""

__version__ = "0.1.0"
