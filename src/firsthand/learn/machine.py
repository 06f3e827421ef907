"""What this machine can do: a short look before the first lesson, so that times in it mean something here."""

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

from firsthand.ops.attention import attention

HOUSE_GFLOPS = 100.0
"""What one thread of the machine reaches on which the lessons' times were measured (`firsthand learn start`)."""
ENOUGH_MEMORY = 2.0


def look(seconds: float = 1.0) -> dict[str, Any]:
    """Versions, cores, memory, and two timings of at most about `seconds` each; on the CPU, where every lesson runs.

    `gflops`: of a 512³ matrix product in fp32. `attention_ms`: forward and backward of 4 heads of 32 over 64 tokens,
    batch 12. `advice`: what to know or put right, in sentences.
    """
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_gb": memory_gb(),
        "gflops": round(_matmul_gflops(seconds), 1),
        "attention_ms": round(1000 * _attention_seconds(seconds), 2),
    }
    return found | {"advice": advice(found)}


def advice(found: dict[str, Any]) -> list[str]:
    """Sentences for what `look` has found."""
    said = []
    pace = HOUSE_GFLOPS / max(found["gflops"], 0.1)
    if pace > 1.5:
        said.append(f"Runs will take about {pace:.1f} times as long as the lessons say.")
    if found["memory_gb"] is not None and found["memory_gb"] < ENOUGH_MEMORY:
        said.append(f"{found['memory_gb']} GB of memory is little: close other programs before the longer runs.")
    return said or ["Fast enough for every lesson."]


def memory_gb() -> float | None:
    """Memory of this machine; None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _matmul_gflops(seconds: float) -> float:
    a = torch.ones(512, 512)
    return 2 * 512**3 / _best(lambda: a @ a, seconds) / 1e9


def _attention_seconds(seconds: float) -> float:
    heads = torch.ones(12, 4, 64, 32, requires_grad=True)
    return _best(lambda: attention(heads, heads, heads, causal=True).sum().backward(), seconds)  # type: ignore[no-untyped-call]


def _best(work: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest of several runs."""
    best, end = float("inf"), time.perf_counter() + seconds
    for _ in range(200):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
        if time.perf_counter() > end:
            break
    return best
