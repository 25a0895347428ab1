"""Training of the models, on floors 0 and 1 only."""
