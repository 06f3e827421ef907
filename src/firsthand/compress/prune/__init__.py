"""Fewer weights: zeros in the place of those that matter least, or whole heads, channels and layers less."""
