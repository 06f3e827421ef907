"""With NumPy and a mask of what is there."""

import numpy as np

from firsthand.errors import UserError


def mask_labels(ids, learn):
    labels = np.array(ids[1:])
    labels[np.logical_not(np.array(learn[1:], dtype=bool))] = -100
    return labels


def pad_batch(rows, length, pad_id=0):
    lengths = np.array([len(x) for x, _ in rows])
    if lengths.max(initial=0) > length:
        raise UserError(f"The longest row has {lengths.max()} tokens, {length} is the most.")
    there = np.arange(length) < lengths[:, None]
    inputs, targets = np.where(there, 0, pad_id), np.where(there, 0, -100)
    inputs[there] = np.concatenate([np.asarray(x) for x, _ in rows])
    targets[there] = np.concatenate([np.asarray(y) for _, y in rows])
    return inputs, targets
