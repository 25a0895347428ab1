"""Training of the models: what all trainers share; each model has a subpackage of its own."""
