"""What a series of runs looks like: on a terminal a live panel, elsewhere a line for every run."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from firsthand.experiments.display import duration, tidy
from firsthand.experiments.series import Outcome, Trial


class SeriesDisplay:
    """Shows which run goes on and how the others ended; a context manager that leaves the terminal tidy.

    `json` leaves standard output to the command's value and shows everything on standard error. `clock` gives seconds.
    """

    def __init__(
        self,
        title: str,
        json: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(stderr=json, highlight=False)
        self._title, self._clock = title, clock
        self._is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live: Live | None = None
        self._drawn = -1.0
        self._trial: Trial | None = None
        self._number, self._total = 0, 1
        self._fraction, self._line = 0.0, dict[str, Any]()
        self._done: list[tuple[str, str]] = []

    def __enter__(self) -> "SeriesDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def begin(self, trial: Trial, number: int, total: int) -> None:
        """A run begins: the `number`th of `total`."""
        self._trial, self._number, self._total = trial, number, total
        self._fraction, self._line = 0.0, {}
        if not self._is_live:
            self._say(f"run {number} of {total}: {trial.label}")
        self._redraw()

    def done(self, outcome: Outcome) -> None:
        """A run has ended, now or in an earlier session."""
        summary = outcome.summary
        ended = f"failed: {outcome.error}" if outcome.error else f"{summary['bits_per_byte']:.4f} bits per byte"
        seconds = f" in {duration(float(summary['seconds']))}" if "seconds" in summary else ""
        self._done.append((outcome.trial.label, ended + seconds))
        self._fraction = 1.0
        if not self._is_live:
            self._say(f"  {outcome.trial.label}: {ended}{seconds}")
        self._redraw()

    def note(self, text: str) -> None:
        """One line that stays, unless it is about a single run: then the panel says enough."""
        if self._trial is None:
            self._console.print(Text(f"· {tidy(text)}", style="dim"), soft_wrap=True)

    def step(self, line: Mapping[str, Any], fraction: float | int) -> None:
        """A training line of the run that goes on."""
        self._line |= line
        self._fraction = float(fraction)
        if self._clock() - self._drawn >= 0.5:
            self._redraw()

    def evaluated(self, line: Mapping[str, Any]) -> None:
        """An evaluation line of the run that goes on."""
        self._line |= line

    def sample(self, step: int, text: str) -> None:
        """Samples stay in the runs' folders."""

    def _say(self, text: str) -> None:
        self._console.print(Text(tidy(text)), soft_wrap=True)

    def _redraw(self) -> None:
        if not self._is_live:
            return
        self._drawn = self._clock()
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
            self._live.start()
        self._live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        """The panel: progress over all runs, the one that goes on, and as many of the ended ones as fit."""
        bar = Table.grid(expand=True, padding=(0, 1, 0, 0))
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1)
        share = (max(self._number, 1) - 1 + self._fraction) / self._total
        whole = ProgressBar(total=1.0, completed=share, complete_style="cyan")
        bar.add_row(Text(f"{tidy(self._title)} {self._number}/{self._total}", style="bold"), whole)
        parts: list[RenderableType] = [bar]
        if self._trial is not None:
            facts = [self._trial.label, f"{self._fraction:.0%}"]
            if "loss" in self._line:
                facts += [f"loss {self._line['loss']:.3f}", f"{self._line['tokens_per_second']:,.0f} tokens/s"]
            parts.append(Text(tidy(" · ".join(facts)), style="cyan", no_wrap=True, overflow="ellipsis"))
        ended = Table.grid(padding=(0, 2, 0, 0))
        for label, text in self._done[-max(3, self._console.size.height - 4) :]:
            ended.add_row(Text(tidy(label), style="dim"), Text(tidy(text)))
        return Group(*parts, ended)
