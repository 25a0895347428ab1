"""``livehead serve``: the studio page, its signalling, and the peers behind it."""
