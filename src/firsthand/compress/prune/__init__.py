"""Fewer weights: zeros in the place of those that matter least, or whole heads, channels and layers less."""

from firsthand.compress.prune.magnitude import magnitude_mask
from firsthand.compress.prune.masks import apply_masks
from firsthand.compress.prune.n_m import mask_2_of_4

__all__ = ["apply_masks", "magnitude_mask", "mask_2_of_4"]
