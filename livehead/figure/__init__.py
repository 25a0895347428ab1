"""Whole figures: meshes, a jointed mannequin, and pictures of both."""
