"""Drivers: from inputs to motion."""
