"""Numbers in fewer bits: how a weight is rounded, and what is done so that rounding costs less."""
