"""Claim: the versions of each operation that has a table of them gain on the definition, in time and in memory.

Forward and backward, fp32, 512 tokens; time is the best of some runs, all versions in turn; memory is the most that
torch held at once beside the inputs, in a run of its own.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import firsthand.ops
from benchmarks.measure import best_seconds, peak_bytes, step

ROWS, HEADS, TIME, D_HEAD, CHANNELS = 2, 4, 512, 64, 256
SKIPPED = {"step"}
"""Versions that take one token only."""


def rows() -> list[dict[str, Any]]:
    torch.manual_seed(0)
    found = []
    for name, module in operations().items():
        operation, make = getattr(module, name), INPUTS[name]
        positional, named = make()
        works = {
            version: step(_work(operation, positional, named | {"version": version}))
            for version in module.VERSIONS
            if version not in SKIPPED
        }
        seconds, peaks = best_seconds(works, runs=3), {version: peak_bytes(call) for version, call in works.items()}
        for version in works:
            found.append(
                {
                    "operation": name,
                    "version": version,
                    "ms": 1e3 * seconds[version],
                    "times as fast": seconds["reference"] / seconds[version],
                    "MB": peaks[version] / 1e6,
                    "memory, of the reference's": peaks[version] / peaks["reference"],
                }
            )
    return found


def operations() -> dict[str, Any]:
    """Every operation with a table of versions."""
    names = [info.name for info in pkgutil.iter_modules(firsthand.ops.__path__) if info.ispkg]
    modules = {name: importlib.import_module(f"firsthand.ops.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "VERSIONS")}


def _heads(width: int = D_HEAD) -> Tensor:
    return torch.randn(ROWS, HEADS, TIME, width, requires_grad=True)


def _attention() -> tuple[list[Tensor], dict[str, Any]]:
    return [_heads(), _heads(), _heads()], {"causal": True, "window": 128}


def _linear_attention() -> tuple[list[Tensor], dict[str, Any]]:
    decay = -torch.rand(ROWS, HEADS, TIME) / 8
    return [_heads(), _heads(), _heads(), decay.requires_grad_()], {}


def _delta_rule() -> tuple[list[Tensor], dict[str, Any]]:
    query, key = (F.normalize(_heads(), dim=-1).detach().requires_grad_() for _ in range(2))
    beta, decay = torch.rand(ROWS, HEADS, TIME), -torch.rand(ROWS, HEADS, TIME) / 8
    return [query, key, _heads(), beta.requires_grad_(), decay.requires_grad_()], {}


def _selective_scan() -> tuple[list[Tensor], dict[str, Any]]:
    x, dt = torch.randn(ROWS, TIME, CHANNELS), torch.rand(ROWS, TIME, CHANNELS) / 10
    rates = -torch.arange(1.0, 17.0).expand(CHANNELS, -1).contiguous()
    written, read = torch.randn(ROWS, TIME, 16), torch.randn(ROWS, TIME, 16)
    return [tensor.requires_grad_() for tensor in (x, dt, rates, written, read)], {}


def _causal_convolution() -> tuple[list[Tensor], dict[str, Any]]:
    return [torch.randn(ROWS, TIME, CHANNELS, requires_grad=True), torch.randn(CHANNELS, 4, requires_grad=True)], {}


def _grouped_linear() -> tuple[list[Tensor], dict[str, Any]]:
    x = torch.randn(TIME, CHANNELS, requires_grad=True)
    weight = torch.randn(8, CHANNELS, CHANNELS, requires_grad=True)
    return [x, weight, torch.full((8,), TIME // 8)], {}


INPUTS: dict[str, Callable[[], tuple[list[Tensor], dict[str, Any]]]] = {
    "attention": _attention,
    "causal_convolution": _causal_convolution,
    "delta_rule": _delta_rule,
    "grouped_linear": _grouped_linear,
    "linear_attention": _linear_attention,
    "selective_scan": _selective_scan,
}


def _work(operation: Callable[..., Any], positional: list[Tensor], named: dict[str, Any]) -> Callable[[], Tensor]:
    def work() -> Tensor:
        out = operation(*positional, **named)
        return out[0] if isinstance(out, tuple) else out

    return work
