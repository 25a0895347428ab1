"""CoNR: drawings of anime characters from a character sheet and an ultra-dense pose."""
