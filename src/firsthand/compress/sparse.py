"""Tensors with many zeros in a file: a bit for each number, and those numbers that are not zero.

That saves bytes on the disk alone: an opened model has its weights in full, and multiplies with their zeros too.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import DamagedError

SMALLEST = 1024
"""Numbers that a tensor must have, for fewer are not worth two names."""


def thinned(
    tensors: Mapping[str, Tensor], centres: Mapping[str, int]
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """The tensors of a file, NAME.mask and NAME.values in the place of each that gets smaller by it; and what must be
    known to fill those again.

    `centres`: of tensors that hold two 4-bit codes in a byte, the code that means zero.
    """
    kept, described = {}, {}
    for name, tensor in tensors.items():
        centre = centres.get(name)
        numbers = tensor.flatten() if centre is None else _halves(tensor, centre)
        bits = 4 if centre is not None else 8 * tensor.element_size()
        there = numbers != 0
        zeros = len(there) - int(there.sum())
        if len(numbers) < SMALLEST or zeros * bits <= len(numbers):
            kept[name] = tensor
            continue
        kept[f"{name}.mask"] = torch.from_numpy(np.packbits(there.cpu().numpy(), bitorder="little"))
        kept[f"{name}.values"] = numbers[there] if centre is None else _joined(numbers[there])
        described[name] = {"shape": list(tensor.shape)} | ({} if centre is None else {"centre": centre})
    return kept, described


def filled(tensors: Mapping[str, Tensor], described: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """What `thinned` was given. DamagedError if it never gave this: memory is taken for 8 numbers a byte of the mask.

    `where`: for complaints.
    """
    full = dict(tensors)
    try:
        for name, fields in described.items():
            shape, centre = [int(size) for size in fields["shape"]], fields.get("centre")
            full[name] = _filled(full.pop(f"{name}.mask"), full.pop(f"{name}.values"), shape, centre)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        raise DamagedError(f"{where}: what it says about its zeros is damaged ({error}).") from None
    return full


def _filled(mask: Tensor, values: Tensor, shape: list[int], centre: int | None) -> Tensor:
    """The tensor. ValueError and the like if the pieces do not fit."""
    count = math.prod(shape) * (1 if centre is None else 2)
    if mask.dtype != torch.uint8 or mask.ndim != 1 or min(shape, default=1) < 0 or len(mask) != -(-count // 8):
        raise ValueError(f"a mask of {tuple(mask.shape)} does not fit {shape}")
    if centre is not None and (values.dtype != torch.uint8 or centre not in range(16)):
        raise ValueError(f"codes of 4 bits around {centre} are no {values.dtype}")
    there = torch.from_numpy(np.unpackbits(mask.cpu().numpy(), count=count, bitorder="little")).bool()
    if centre is not None:
        values = _halves(values, 0)[: int(there.sum())]
    if values.ndim != 1 or int(there.sum()) != len(values):
        raise ValueError(f"there are {len(values)} values where the mask has {int(there.sum())}")
    numbers = torch.zeros(count, dtype=values.dtype)
    numbers[there] = values
    return (numbers if centre is None else _joined(numbers ^ centre)).view(shape)


def _halves(codes: Tensor, centre: int) -> Tensor:
    """The codes of a tensor of bytes, the lower half first, each so that the centre is 0."""
    return torch.stack((codes.flatten() & 15, codes.flatten() >> 4), -1).flatten() ^ centre


def _joined(codes: Tensor) -> Tensor:
    """Two codes in a byte, the lower half first."""
    pairs = torch.nn.functional.pad(codes, (0, len(codes) % 2)).view(-1, 2)
    return pairs[:, 0] | (pairs[:, 1] << 4)
