"""Motion: the types that drivers give and renderers take, and the equations on them."""
