"""Training of the bundled model ``compact``."""
