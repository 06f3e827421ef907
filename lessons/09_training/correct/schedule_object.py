"""An object that can be called, and the cosine by its half angle: (1 + cos x) / 2 = cos²(x / 2)."""

import math


class _Schedule:
    def __init__(self, warmup, final):
        self.warmup, self.final = warmup, final

    def __call__(self, fraction):
        rest = 1 - self.warmup
        if self.warmup and fraction <= self.warmup:
            return fraction * self.warmup**-1
        angle = 0.5 * math.pi * (fraction - self.warmup) / rest
        return self.final * math.sin(angle) ** 2 + math.cos(angle) ** 2


def warmup_cosine(warmup=0.02, final=0.1):
    return _Schedule(warmup, final)
