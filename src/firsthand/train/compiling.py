"""Whether a run on a CPU is long enough for the compiler to repay the time that it takes."""

import os

import torch

from firsthand.ops.roof import matmul_rate
from firsthand.text.download import cache

LONG = 1800.0
"""Seconds. Compiling took 52 s (8 with a full cache) and gained 2 to 17 % of a step (docs/performance.md): in half an
hour 3 % repay it."""
SHARE = 0.4
"""Of the roof for products that a step reaches, roughly: to guess how long a run of so many FLOPs lasts."""


def choose(dtype: torch.dtype, seconds: float | None = None, flops: float | None = None) -> tuple[bool, str]:
    """Whether to compile a run that ends after so many seconds or FLOPs, computing in `dtype`, and the reason.

    A run that would be compiled tries the compiler first, for some seconds; without one it is not.
    """
    bounds = [seconds] if seconds else []
    if flops:
        bounds.append(flops / (SHARE * matmul_rate(dtype, "cpu", 512, 0.01)))  # bf16_gain has measured that already
    if not bounds or min(bounds) < LONG:
        return False, "not compiled (that repays in runs of half an hour)"
    about = f"a run of about {min(bounds) / 3600:.1f} h repays it"
    keep_cache()
    if (trouble := _trouble()) is not None:
        return False, f"not compiled, though {about}: {trouble}"
    return True, f"compiled ({about})"


def keep_cache() -> None:
    """What the compiler makes is kept in the user's cache for later runs, unless TORCHINDUCTOR_CACHE_DIR is set."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache() / "torchinductor"))


def _trouble() -> str | None:
    """What the compiler says of a function of one line; None if it works."""
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(64))
    except Exception as error:  # whatever it is, eager steps do the same
        return f"the compiler fails ({type(error).__name__}: {str(error).splitlines()[0][:120]})"
    return None
