"""Whole figures: bodies that stand, move and are seen."""
