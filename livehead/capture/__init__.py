"""Captures: the media ends that give frames."""
