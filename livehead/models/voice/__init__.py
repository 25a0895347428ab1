"""The voice network: from sound to the motion of a mouth."""
