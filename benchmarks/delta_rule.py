"""Claims: the chunked delta rule beats its definition and `transformers` in time and memory; decoding stays flat.

One layer's memory in fp32: 8 heads of 64, 1,024 tokens, with decay. Time is the best of some runs, all versions in
turn; memory is the most that torch held at once beside the inputs, in a run of its own. A row gives ours, the other
and the gain. The last rows decode with the mixers (d_model 512) after 1,024 and after 65,536 tokens.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import decoding, rows_beside
from firsthand.model.mixers.delta import DeltaNet
from firsthand.model.mixers.gated_delta import GatedDeltaNet
from firsthand.ops.delta_rule import delta_rule

HEADS, TIME, D_HEAD = 8, 1024, 64
CONTEXTS = (1024, 65536)


def rows() -> list[dict[str, Any]]:
    torch.manual_seed(0)
    inputs = _inputs()
    others = {"the definition": _version(inputs, "reference"), "token by token": _version(inputs, "recurrent")}
    theirs = _transformers(inputs)
    if theirs is not None:
        others["transformers"] = theirs
    found = rows_beside("chunked", _version(inputs, "chunked"), others)
    for kind in (DeltaNet, GatedDeltaNet):
        found += decoding(kind.__name__, kind(512, 8).eval(), 512, CONTEXTS)
    return found


def _inputs() -> list[Tensor]:
    """Query, key, value, beta and decay."""
    query, key = (F.normalize(torch.randn(1, HEADS, TIME, D_HEAD), dim=-1) for _ in range(2))
    beta, decay = torch.rand(1, HEADS, TIME), -torch.rand(1, HEADS, TIME) / 8
    return [x.requires_grad_() for x in (query, key, torch.randn(1, HEADS, TIME, D_HEAD), beta, decay)]


def _version(inputs: list[Tensor], version: str) -> Callable[[], Tensor]:
    query, key, value, beta, decay = inputs
    return lambda: delta_rule(query, key, value, beta, decay, version=version)[0]


def _transformers(inputs: list[Tensor]) -> Callable[[], Tensor] | None:
    """Qwen3-Next's chunked function in plain torch, which is what it runs on a CPU."""
    try:
        from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule
    except ImportError:
        return None
    query, key, value, beta, decay = (x.detach().transpose(1, 2).contiguous().requires_grad_() for x in inputs)
    return lambda: torch_chunk_gated_delta_rule(query, key, value, decay, beta)[0]
