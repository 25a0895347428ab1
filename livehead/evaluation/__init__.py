"""Metrics of pictures, motion and time."""
