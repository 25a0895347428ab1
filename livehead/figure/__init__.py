"""The figure: meshes, their pictures, and what moves them."""
