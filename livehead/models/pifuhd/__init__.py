"""PIFuHD: the mesh of a person's whole body from one photo."""
