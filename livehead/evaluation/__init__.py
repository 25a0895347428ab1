"""How true a model's pictures, motion and mouths are: metrics, and the protocols that apply them to clips."""
