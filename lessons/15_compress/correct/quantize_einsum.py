"""The codes by counting how many borders between two levels lie below a number; back by einsum."""

import torch


def quantize_int8(weight, per_channel=True):
    high = weight.max(1, keepdim=True).values if per_channel else weight.max()[None, None]
    low = weight.min(1, keepdim=True).values if per_channel else weight.min()[None, None]
    scale = torch.maximum(high, -low) / 127
    scale[scale == 0] = 1
    borders = torch.arange(-126.5, 127, dtype=weight.dtype)
    return (torch.bucketize(weight / scale, borders) - 127).to(torch.int8), scale


def dequantize(q, scale):
    return torch.einsum("oi,o->oi", q.to(scale.dtype), scale.expand(q.shape[0], 1)[:, 0])
