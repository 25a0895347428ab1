"""The compact model: a depth-aware generator that two CPU cores can run, driven by a face mesh."""
