"""Whole figures: bodies and meshes that stand, move and are seen."""
