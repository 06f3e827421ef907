"""Pure tensor functions. Each has a `reference.py`, which is the definition, beside its fast versions."""
