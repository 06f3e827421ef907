"""What a run looks like while it trains: a live panel on a terminal, plain lines anywhere else."""

import math
import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from firsthand.experiments.curve import ASCII, BLOCKS, curve
from firsthand.generate.stream import printable

MOST_POINTS = 4096
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")


class Display:
    """Shows notes, steps, evaluations and samples as they come; a context manager that leaves the terminal tidy.

    On a terminal one panel is redrawn in place, at most every half second. Elsewhere (a pipe, a log) there is a line
    for the first and the last step and every `every` seconds, and for all else. `json` leaves standard output to the
    command's value and shows everything on standard error. `clock` gives seconds.
    """

    def __init__(
        self,
        title: str = "training",
        json: bool = False,
        console: Console | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        console = console or Console(stderr=json, highlight=False)
        self._console, self._title, self._every, self._clock = console, title, every, clock
        self._live: Live | None = None
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._spoke = -math.inf
        self._line: dict[str, Any] = {}
        self._first: tuple[float, float] | None = None
        self._fraction = 0.0
        self._losses: list[float] = []
        self._sample: tuple[int, str] | None = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def note(self, text: str) -> None:
        """One line that stays, such as "training the tokenizer"."""
        self._console.print(Text(f"· {tidy(text)}", style="dim"), soft_wrap=not self._is_live)

    def step(self, line: Mapping[str, Any], fraction: float | int) -> None:
        """A training line of metrics.jsonl, with the fraction of the budget used so far."""
        self._line |= line
        self._fraction = min(1.0, max(0.0, fraction))
        self._first = self._first or (float(line.get("seconds", 0.0)), self._fraction)
        self._losses.append(float(line.get("loss", math.nan)))
        if len(self._losses) > MOST_POINTS:
            self._losses = self._losses[::2]
        now = self._clock()
        pause = 0.5 if self._is_live else self._every
        if now - self._spoke >= pause or self._fraction >= 1:
            self._spoke = now
            self._redraw() if self._is_live else self._say(" · ".join(f"{a} {b}" for a, b in self._facts()))

    def evaluated(self, line: Mapping[str, Any]) -> None:
        """An evaluation line of metrics.jsonl."""
        self._line |= line
        if self._is_live:
            self._redraw()
        else:
            facts = [(name, value) for name, value in self._facts() if name in ("step", "validation", "bits per byte")]
            self._say(" · ".join(f"{a} {b}" for a, b in facts))

    def sample(self, step: int, text: str) -> None:
        """What the model wrote after `step` steps. Control characters are taken out."""
        self._sample = (step, tidy(text).strip("\n"))
        if self._is_live:
            self._redraw()
        else:
            indented = self._sample[1].replace("\n", "\n    ")
            self._say(f"after step {step:,} it writes:\n    {indented}")

    def finish(self) -> None:
        """Leave the last state on the screen and give the terminal back. Again does nothing."""
        if self._live is not None:
            self._redraw()
            self._live.stop()
            self._live = None

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def _redraw(self) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()
        self._live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        """The panel for the console's size now: what does not fit is left out, from the bottom."""
        width, height = self._console.size
        facts = self._grid(width)
        parts: list[RenderableType] = [self._bar(width), facts]
        room = height - 2 - facts.row_count
        if room >= 6:
            utf = "utf" in self._console.encoding.lower()
            rows = curve(self._losses, min(width, 100), 5, self._fraction or 1.0, BLOCKS if utf else ASCII)
            parts.append(Text("\n".join(rows), style="cyan", no_wrap=True, overflow="crop"))
            room -= len(rows)
        if room >= 5 and self._sample is not None:
            step, text = self._sample
            title = Text(f"after step {step:,} it writes", style="bold")
            parts.append(Panel(Text(text), title=title, title_align="left", height=min(room, 12), border_style="dim"))
        return Group(*parts)

    def _bar(self, width: int) -> Table:
        bar = Table.grid(expand=True, padding=(0, 1, 0, 0))
        cells: list[RenderableType] = [ProgressBar(total=1.0, completed=self._fraction, complete_style="cyan")]
        if width >= 40:
            bar.add_column(no_wrap=True)
            cells.insert(0, Text(tidy(self._title), style="bold", overflow="ellipsis"))
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True, justify="right")
        bar.add_row(*cells, Text(f"{self._fraction:4.0%}", style="bold"))
        return bar

    def _grid(self, width: int) -> Table:
        """The facts, as many beside each other as fit."""
        facts = self._facts()
        across = max(1, min(4, width // 25))
        grid = Table.grid(padding=(0, 2, 0, 0))
        for start in range(0, len(facts), across):
            cells = [
                Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in facts[start : start + across]
            ]
            grid.add_row(*cells)
        for column in grid.columns:
            column.no_wrap, column.min_width = True, 22 if across > 1 else None
        return grid

    def _facts(self) -> list[tuple[str, str]]:
        line = self._line
        return [
            ("step", _number(line.get("step"), ",.0f")),
            ("loss", _number(line.get("loss"), ".3f")),
            ("validation", _number(line.get("validation_loss"), ".3f")),
            ("bits per byte", _number(line.get("bits_per_byte"), ".3f")),
            ("time left", self._left()),
            ("tokens/s", _number(line.get("tokens_per_second"), ",.0f")),
            ("of peak", _number(line.get("peak_share"), ".0%")),
            ("learning rate", _number(line.get("lr"), ".2g")),
        ]

    def _left(self) -> str:
        if self._first is None or self._fraction <= self._first[1]:
            return "-"
        started, fraction = self._first
        spent = float(self._line.get("seconds", 0.0)) - started
        return duration(spent / (self._fraction - fraction) * (1 - self._fraction))


def duration(seconds: float | int) -> str:
    """1:05, or 2:03:04 from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def tidy(text: str) -> str:
    """`text` without what could move the cursor, change colours or turn the writing round; line ends stay."""
    return printable(_ESCAPES.sub("", text).replace("\r\n", "\n").expandtabs(4))


def _number(value: float | int | None, form: str) -> str:
    return "-" if value is None else format(value, form)
