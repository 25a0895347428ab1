"""A talking avatar from one photo and a live face or voice, in real time."""

__version__ = "0.1.0"
