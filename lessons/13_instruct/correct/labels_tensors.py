"""With torch."""

import torch
from torch.nn.functional import pad

from firsthand.types import IGNORE


def mask_labels(ids, learn):
    ids, learn = torch.as_tensor(ids), torch.as_tensor(learn)
    labels = ids.roll(-1)
    labels[~learn.bool().roll(-1)] = IGNORE
    return labels[:-1]


def pad_batch(rows, length, pad_id=0):
    if any(len(x) > length for x, _ in rows):
        raise ValueError("a row is too long")
    both = [
        [pad(torch.as_tensor(one), (0, length - len(one)), value=fill) for one in side]
        for side, fill in zip(zip(*rows, strict=True), (pad_id, IGNORE), strict=True)
    ]
    return torch.stack(both[0]), torch.stack(both[1])
