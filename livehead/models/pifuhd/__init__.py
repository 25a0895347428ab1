"""PIFuHD: a person's whole body from one photo."""
