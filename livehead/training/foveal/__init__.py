"""Training of the foveal network."""
