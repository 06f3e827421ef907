"""Numbers without the digits in which right answers differ."""

import torch

STEP = 0.01


def snapped(found, right, within: float):
    """`found`, with `right` wherever it is as near as another precision brings it; the rest on a grid.

    Waves are computed in fp32 by some and in fp64 by others, and both are right.
    """
    if not isinstance(found, torch.Tensor) or found.shape != right.shape or not found.is_floating_point():
        return found
    found, right = found.double(), right.double()
    return torch.where((found - right).abs() <= within, right, (found / STEP).round() * STEP)


def hundredths(found) -> list:
    """Plain numbers with two digits, for what is worked out on paper."""
    return (found.double() * 100).round().long().tolist()
