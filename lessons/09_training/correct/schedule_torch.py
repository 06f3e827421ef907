"""As the smaller of two curves: they cross where the warm-up ends."""

from functools import partial

import torch


def _at(warmup, final, fraction):
    up = torch.tensor(fraction / warmup if warmup else 1.0, dtype=torch.float64)
    done = torch.tensor((fraction - warmup) / (1.0 - warmup), dtype=torch.float64).clamp(min=0.0)
    down = torch.lerp(
        torch.tensor(final, dtype=torch.float64),
        torch.ones((), dtype=torch.float64),
        0.5 + 0.5 * torch.cos(torch.pi * done),
    )
    return float(torch.minimum(up, down) if fraction < warmup else down)


def warmup_cosine(warmup=0.02, final=0.1):
    return partial(_at, warmup, final)
