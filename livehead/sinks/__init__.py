"""Sinks: the media ends that take frames."""
