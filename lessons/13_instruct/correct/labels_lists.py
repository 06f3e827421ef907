"""With lists."""

from firsthand.errors import UserError
from firsthand.types import IGNORE


def mask_labels(ids, learn):
    return [id if mark else IGNORE for id, mark in list(zip(ids, learn, strict=True))[1:]]


def pad_batch(rows, length, pad_id=0):
    for x, _ in rows:
        if len(x) > length:
            raise UserError(f"{len(x)} tokens do not fit into {length}. Shorten the prompt.")
    inputs = [[*x, *[pad_id] * (length - len(x))] for x, _ in rows]
    return inputs, [[*y, *[IGNORE] * (length - len(y))] for _, y in rows]
