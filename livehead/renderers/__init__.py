"""Renderers, which turn an avatar and a motion into a picture."""
