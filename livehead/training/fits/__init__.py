"""Figures that are fitted to clips without a network: the face basis and the statistics of idle motion."""
