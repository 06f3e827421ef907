"""What `firsthand growth` leaves behind: a page of Markdown, the figures as JSON, the picture."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from firsthand.experiments.growth import Cost, crossings
from firsthand.experiments.growth_plot import growth_plot
from firsthand.experiments.machine import processor
from firsthand.experiments.markdown import fenced, table
from firsthand.experiments.plots import save

TABLES: tuple[tuple[str, Callable[[Cost], str]], ...] = (
    ("A training step, milliseconds", lambda cost: _shown(cost.train_seconds, 1e3)),
    ("Memory of a training step beyond the weights, MB", lambda cost: _shown(cost.train_bytes, 1e-6)),
    ("A decoded token, microseconds", lambda cost: _shown(cost.decode_seconds, 1e6)),
    ("Numbers in the state", lambda cost: _shown(cost.state_numbers, 1.0)),
)


def write_page(folder: Path, costs: Sequence[Cost], sizes: dict[str, int], command: str) -> list[Path]:
    """growth.md, growth.json, growth.png and growth.svg in `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    about = ", ".join(f"{key} {value}" for key, value in sizes.items())
    pictures = save(growth_plot(costs, f"One mixer, one row, {about}"), folder, "growth")
    processors = f"{processor() or platform.machine()}, {os.cpu_count()} CPUs"
    machine = f"{processors}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    page = [
        "# Growth with the context",
        fenced(command, "sh"),
        f"One mixer alone, one row, {about}, fp32, on {machine}.",
        "![growth](growth.svg)",
    ]
    page += [f"## {title}\n\n{_table(costs, value)}" for title, value in TABLES]
    page.append("## Where attention is overtaken\n\n" + overtaking(costs))
    (folder / "growth.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    figures: dict[str, Any] = {
        "command": command,
        "machine": machine,
        "sizes": sizes,
        "costs": [asdict(cost) for cost in costs],
    }
    (folder / "growth.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return [folder / "growth.md", folder / "growth.json", *pictures]


def overtaking(costs: Sequence[Cost], baseline: str = "attention") -> str:
    """A sentence for each mixer: from which length on it is cheaper than attention, if it is."""
    if baseline not in {cost.mixer for cost in costs}:
        return f"Not measured: {baseline} was not among the mixers."
    lines = []
    for mixer, at in crossings(costs, baseline).items():
        words = {key: "never" if length is None else f"from {length:,} tokens on" for key, length in at.items()}
        lines.append(f"- `{mixer}`: in training {words['train_seconds']}, in decoding {words['decode_seconds']}.")
    return "\n".join(lines) or "No other mixer was measured."


def _table(costs: Sequence[Cost], value: Callable[[Cost], str]) -> str:
    mixers = list(dict.fromkeys(cost.mixer for cost in costs))
    lengths = sorted({cost.length for cost in costs})
    cells = {(cost.mixer, cost.length): value(cost) for cost in costs}
    rows = [[f"{length:,}", *(cells.get((mixer, length), "-") for mixer in mixers)] for length in lengths]
    return table(["tokens", *mixers], rows)


def _shown(value: float | int | None, scale: float) -> str:
    return "-" if value is None else f"{value * scale:,.3g}" if value * scale < 1000 else f"{value * scale:,.0f}"
