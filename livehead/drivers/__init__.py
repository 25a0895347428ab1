"""Drivers, which estimate motion from the performer's picture or sound, or make it up."""
