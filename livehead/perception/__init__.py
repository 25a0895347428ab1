"""Perception: MediaPipe behind our types, used by drivers, renderers, metrics and training."""
