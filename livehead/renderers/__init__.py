"""Renderers: from an avatar and a motion to a picture."""
