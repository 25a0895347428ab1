"""DaGAN: a depth-aware generator of talking heads, driven by learned key points."""
