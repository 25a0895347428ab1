"""A livehead plugin with one sink."""
