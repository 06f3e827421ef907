"""`make bench`, or `python -m benchmarks [NAME ...] [--json FILE]`: run the benchmarks and print their tables."""

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

NAMES = ["imports", "host", "ops", "attention", "versions", "bpe", "minute", "delta_rule", "selective_scan", "mamba2"]


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    from firsthand.ops.roof import matmul_rate

    model = "unknown"
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {
        "cpu": model,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "matmul_fp32_gflops": round(matmul_rate(torch.float32) / 1e9, 1),
        "matmul_bf16_gflops": round(matmul_rate(torch.bfloat16) / 1e9, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def show(console: Console, name: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=name, title_justify="left")
    for key in rows[0]:
        table.add_column(key)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"some of: {', '.join(NAMES)}")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there, too.")] = None,
) -> None:
    console = Console()
    unknown = set(names or []) - set(NAMES)
    if unknown:
        sys.exit(f"There is no benchmark called {sorted(unknown)[0]!r}. There are: {', '.join(NAMES)}.")
    from firsthand.cli import prepare_environment

    prepare_environment()
    results: dict[str, Any] = {"machine": machine()}
    show(console, "machine", [results["machine"]])
    for name in names or NAMES:
        console.print(f"running {name} …")
        results[name] = importlib.import_module(f"benchmarks.{name}").rows()
        show(console, name, results[name])
    results["machine_after"] = machine()
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    typer.run(main)
