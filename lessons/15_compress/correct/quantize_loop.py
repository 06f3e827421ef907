"""Row by row, number by number."""

import torch


def quantize_int8(weight, per_channel=True):
    rows = list(weight) if per_channel else [weight.reshape(-1)]
    scales = []
    for row in rows:
        largest = max(abs(x) for x in row.tolist())
        scales.append([largest / 127 if largest else 1.0])
    scale = torch.tensor(scales, dtype=weight.dtype)
    q = torch.zeros(weight.shape, dtype=torch.int8)
    for i, row in enumerate(weight.tolist()):
        own = scales[i if per_channel else 0][0]
        for j, x in enumerate(row):
            q[i, j] = max(-127, min(127, round(x / own)))
    return q, scale


def dequantize(q, scale):
    return torch.stack([codes.to(scale.dtype) * s for codes, s in zip(q, scale.expand(len(q), 1), strict=True)])
