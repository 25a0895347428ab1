"""An example of a livehead plugin, with one sink."""
