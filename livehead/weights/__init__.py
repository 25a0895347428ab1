"""Checkpoints: what there is, under which licence, and whether a file is the one it should be."""
