"""Networks and their engine."""
