"""Training of the bundled voice model, from speech to the motion of a face."""
