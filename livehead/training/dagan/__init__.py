"""Training of the published DaGAN: face depth, then key points and generator."""
