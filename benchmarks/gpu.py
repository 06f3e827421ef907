"""Claim: GPT-2 124M at T = 1024 trains at most of what a GPU can multiply. Synthetic tokens, nothing to download.

`firsthand bench gpu` prints tokens/s and the share of the measured matmul peak, for us and for the peers, eager and
compiled, in one process. The vocabulary is padded to a multiple of 64 for all. Without CUDA it says so.
"""

from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.peers import Shape
from benchmarks.step import WAYS, of

GPT2 = Shape(12, 768, 12, rows=16, time=1024, vocab_size=50304, device="cuda")


def rows(shape: Shape = GPT2, ways: Mapping[str, bool] = WAYS) -> list[dict[str, Any]]:
    if shape.device == "cuda" and not torch.cuda.is_available():
        return [{"what": "GPT-2 124M on a GPU", "figure": "not measured: no GPU (torch sees no CUDA device)"}]
    torch.set_float32_matmul_precision("high")
    name = torch.cuda.get_device_name() if shape.device == "cuda" else shape.device
    return [row | {"device": name} for row in of(shape, ways)]
