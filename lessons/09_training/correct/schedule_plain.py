"""Two branches."""

import math


def warmup_cosine(warmup=0.02, final=0.1):
    def multiplier(fraction):
        if fraction < warmup:
            return fraction / warmup
        done = (fraction - warmup) / (1 - warmup)
        return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2

    return multiplier
