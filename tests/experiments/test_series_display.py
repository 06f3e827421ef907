"""What a series looks like, on a terminal and in a log."""

import io
from datetime import datetime
from pathlib import Path

from rich.console import Console

from firsthand.config import Config
from firsthand.experiments.metrics import Metrics
from firsthand.experiments.runs import Run
from firsthand.experiments.series import Outcome, SeriesShow, Trial
from firsthand.experiments.series_display import SeriesDisplay

TRIAL = Trial("rope-seed-0", "rope, seed 0", Config())


def _outcome(error: str | None = None) -> Outcome:
    status = {"bits_per_byte": 2.25, "seconds": 65.0}
    run = Run(Path("run"), "finished", datetime(2026, 1, 1), {}, status, Metrics([]))
    return Outcome(TRIAL, run, error)


def _shown(terminal: bool, times: list[float]) -> str:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=80, height=12, color_system=None)
    with SeriesDisplay("compare", console=console, clock=iter(times).__next__) as display:
        assert isinstance(display, SeriesShow)
        display.note("reading \x1b[2Jthe text")
        display.begin(TRIAL, 2, 4)
        display.step({"loss": 3.5, "tokens_per_second": 1000.0}, 0.5)
        display.evaluated({"bits_per_byte": 2.5})
        display.sample(3, "not shown")
        display.done(_outcome())
        display.done(_outcome("It diverged."))
    return written.getvalue()


def test_a_log_has_a_line_for_each_run() -> None:
    assert _shown(False, [0.0]).splitlines() == [
        "· reading the text",
        "run 2 of 4: rope, seed 0",
        "  rope, seed 0: 2.2500 bits per byte in 1:05",
        "  rope, seed 0: failed: It diverged.",
    ]


def test_a_terminal_shows_all_of_it_at_once() -> None:
    shown = _shown(True, [float(second) for second in range(20)])
    assert "compare 2/4" in shown
    assert "rope, seed 0 · 50% · loss 3.500 · 1,000 tokens/s" in shown
    assert "2.2500 bits per byte in 1:05" in shown
    assert "not shown" not in shown
