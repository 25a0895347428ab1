"""From sound to the motion of a mouth."""
