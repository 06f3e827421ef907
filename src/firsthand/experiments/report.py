"""The end of a demo: its GPT beside the baselines, what to type next, and both as report.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BAR = 24
TITLES = {"gpt": "your GPT", "xz": "xz -9e", "byte_trigram": "byte trigram", "word_ngram": "word trigram"}


def write(folder: Path, bits_per_byte: Mapping[str, float], seconds: float, **more: Any) -> Path:
    """folder/report.json: {"bits_per_byte": {"gpt": …, "xz": …, …}, "seconds": …, …}, whole or not at all."""
    path = folder / "report.json"
    content = {"bits_per_byte": dict(bits_per_byte), "seconds": seconds, **more}
    partial = path.with_name("report.json.partial")
    partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def table(bits_per_byte: Mapping[str, float]) -> Table:
    """Bits per byte of held-out text, best first and marked; a bar shows each beside the worst."""
    grid = Table(title="Bits per byte of the held-out text (less is better)", title_justify="left", title_style="bold")
    grid.add_column("model", no_wrap=True)
    grid.add_column("bits per byte", justify="right", no_wrap=True)
    grid.add_column("against the best", justify="right")
    grid.add_column("", no_wrap=True)
    ranked = sorted(bits_per_byte.items(), key=lambda item: item[1])
    best, worst = ranked[0][1], ranked[-1][1]
    for name, bits in ranked:
        is_best = bits == best
        grid.add_row(
            ("★ " if is_best else "  ") + TITLES.get(name, name),
            f"{bits:.3f}",
            "best" if is_best else f"+{bits / best - 1:.1%}",
            Text("█" * max(1, round(BAR * bits / worst)), style="green" if is_best else "bright_black"),
            style="bold green" if is_best else "",
        )
    return grid


def next_steps(commands: Sequence[tuple[str, str]]) -> Panel:
    """A panel of commands to type next, each with what it does."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for command, meaning in commands:
        grid.add_row(Text(command, style="bold cyan"), Text(meaning))
    return Panel(grid, title="What next", title_align="left", border_style="cyan", expand=False)
