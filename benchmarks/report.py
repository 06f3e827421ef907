"""What stands around the figures: the machine, its roofs before and after, a table for each claim."""

import importlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from firsthand.experiments.machine import processor
from firsthand.ops.roof import matmul_rate

NAMES = [
    "imports",
    "host",
    "ops",
    "attention",
    "versions",
    "step",
    "decode",
    "llama_cpp",
    "quantized",
    "gpu",
    "optimizer",
    "corpus",
    "start",
    "bpe",
    "bulk",
    "minute",
    "speedrun",
    "delta_rule",
    "selective_scan",
    "mamba2",
    "lora",
    "tuning_memory",
]
FLAGS = {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "avx512_fp16", "asimd", "bf16", "sve"}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
PEERS = ("transformers", "tokenizers", "tiktoken", "llama-cpp-python")
MOVED = 0.05
"""A roof that moves by more than this share says that the machine was not quiet."""


def run(names: Sequence[str], console: Console) -> dict[str, Any]:
    """All figures by benchmark, with the machine before and after; the tables are printed as they come."""
    results: dict[str, Any] = {"machine": machine(), "roofs": roofs()}
    show(console, "machine", [{"what": key, "here": value} for key, value in results["machine"].items()])
    show(console, "roofs", [results["roofs"]])
    for name in names:
        console.print(f"running {name} …")
        results[name] = importlib.import_module(f"benchmarks.{name}").rows()
        show(console, name, results[name])
    results["roofs_after"] = roofs()
    moved = [roof for roof, value in results["roofs"].items() if abs(results["roofs_after"][roof] / value - 1) > MOVED]
    show(console, "roofs, after", [results["roofs_after"]])
    if moved:
        console.print(f"Not a quiet machine: {', '.join(moved)} moved by more than {MOVED:.0%}. Measure again.")
    return results | {"moved": moved}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {name: _version(name) for name in ("torch", *PEERS)}
    return {
        "cpu": processor() or platform.processor(),
        "flags": " ".join(sorted(FLAGS & _flags())) or torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **versions,
        "nanoGPT": os.environ.get("FIRSTHAND_NANOGPT") or "left out: name a checkout with --nanogpt DIR",
    }


def roofs() -> dict[str, float]:
    """Matrix products in GFLOP/s, and copying 256 MB in GB/s, read and written bytes together."""
    matmul_rate.cache_clear()
    source, target = torch.empty(1 << 28, dtype=torch.uint8), torch.empty(1 << 28, dtype=torch.uint8)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    rates = {f"matmul {name}": matmul_rate(dtype) / 1e9 for name, dtype in PRECISIONS.items()}
    return rates | {"copy": 2 * source.numel() / best / 1e9}


def show(console: Console, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """A table; rows may have columns that others lack."""
    table = Table(title=name, title_justify="left")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for key in columns:
        table.add_column(key)
    for row in rows:
        table.add_row(*(_cell(row.get(key, "")) for key in columns))
    console.print(table)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed: left out"


def _flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if sys.platform == "linux" and path.is_file() else []
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), []))
