"""The picture of a sweep: a curve for one setting, a map for two, a panel for each of more."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from firsthand.experiments.metrics import Points
from firsthand.experiments.plots import COLOURS, Axes, Figure, figure, printable, save
from firsthand.experiments.sweep.axes import Axis
from firsthand.experiments.sweep.page import Result
from firsthand.experiments.words import describe

BINS = 5


def draw(axes: Sequence[Axis], results: Sequence[Result], folder: Path) -> list[Path]:
    """Write sweep.png and sweep.svg into `folder`; none if no run has ended."""
    ended = [result for result in results if result.bits is not None]
    if not ended:
        return []
    return save(surface(axes, ended) if len(axes) == 2 else slices(axes, ended), folder, "sweep")


def slices(axes: Sequence[Axis], ended: Sequence[Result]) -> Figure:
    """Bits per byte over each setting by itself; with several, which share of the variance it goes with."""
    width, rows = min(3, len(axes)), -(-len(axes) // 3)
    bits = np.array([result.bits for result in ended], dtype=np.float64)
    with figure(max(6.5, 3.6 * width), 3.6 * rows) as picture:
        panels = picture.subplots(rows, width, sharey=True, squeeze=False).ravel()
        for panel, axis in zip(panels, axes, strict=False):
            places = _places(panel.xaxis, panel.set_xscale, axis, ended)
            order = np.argsort(places)
            line = "-" if len(axes) == 1 and axis.numeric else "none"
            panel.plot(places[order], bits[order], marker="o", linestyle=line, color=COLOURS[0], alpha=0.8)
            panel.set_xlabel(printable(axis.key))
            panel.margins(x=0.02 if axis.numeric else 0.15)
            if len(axes) > 1:
                panel.set_title(f"goes with {explained(axis, ended):.0%} of the variance")
        for panel in panels[len(axes) :]:
            panel.set_visible(False)
        panels[0].set_ylabel("bits per byte")
    return picture


def surface(axes: Sequence[Axis], ended: Sequence[Result]) -> Figure:
    """Two settings, bits per byte as colour and figure: cells where all combinations are there, else points."""
    bits = np.array([result.bits for result in ended], dtype=np.float64)
    values = [_values(axis, ended) for axis in axes]
    whole = len(ended) == len(values[0]) * len(values[1])
    with figure(7.5, 5.0) as picture:
        panel = picture.subplots()
        panel.grid(False)
        if whole:
            x, y = (
                np.array([float(known.index(run.point[axis.key])) for run in ended])
                for axis, known in zip(axes, values, strict=True)
            )
            cells = np.empty((len(values[1]), len(values[0])))
            cells[y.astype(int), x.astype(int)] = bits
            drawn = panel.imshow(cells, cmap="viridis_r", aspect="auto", origin="lower")
            for ticks, axis, known in ((panel.xaxis, axes[0], values[0]), (panel.yaxis, axes[1], values[1])):
                _name(ticks, axis, known)
        else:
            x = _places(panel.xaxis, panel.set_xscale, axes[0], ended)
            y = _places(panel.yaxis, panel.set_yscale, axes[1], ended)
            drawn = panel.scatter(x, y, c=bits, s=700, marker="s", cmap="viridis_r")
            panel.margins(0.12)
        middle = (bits.min() + bits.max()) / 2
        for across, up, value in zip(x, y, bits, strict=True):
            colour = "black" if value < middle else "white"
            panel.annotate(f"{value:.3f}", (across, up), ha="center", va="center", fontsize=6.5, color=colour)
        panel.set_xlabel(printable(axes[0].key))
        panel.set_ylabel(printable(axes[1].key))
        picture.colorbar(drawn, label="bits per byte (less is better)")
    return picture


def explained(axis: Axis, ended: Sequence[Result]) -> float:
    """The correlation ratio: the variance between groups of runs with like values, as a share of all variance.

    Numbers are put into at most BINS groups of the same size. With few runs, chance alone explains much.
    """
    bits = np.array([result.bits for result in ended], dtype=np.float64)
    values = [result.point[axis.key] for result in ended]
    if axis.numeric:
        ranks = np.unique([float(value) for value in values], return_inverse=True)[1]
        groups = ranks * min(BINS, ranks.max() + 1) // (ranks.max() + 1)
    else:
        groups = np.unique(values, return_inverse=True)[1]
    total = float(((bits - bits.mean()) ** 2).sum())
    members = [bits[groups == group] for group in np.unique(groups)]
    between = sum(len(group) * float(group.mean() - bits.mean()) ** 2 for group in members)
    return between / total if total else 0.0


def _places(ticks: Axes, set_scale: Axes, axis: Axis, ended: Sequence[Result]) -> Points:
    """Where the runs lie along an axis: numbers by their size, anything else one after another, with its name."""
    here = [result.point[axis.key] for result in ended]
    if axis.numeric:
        if axis.log:
            set_scale("log")
        return np.array([float(value) for value in here])
    names = _values(axis, ended)
    _name(ticks, axis, names)
    return np.array([float(names.index(value)) for value in here])


def _values(axis: Axis, ended: Sequence[Result]) -> list[str]:
    """The values that were tried: numbers by size, others in the order of their first runs."""
    values = list(dict.fromkeys(result.point[axis.key] for result in ended))
    return sorted(values, key=float) if axis.numeric else values


def _name(ticks: Axes, axis: Axis, values: Sequence[str]) -> None:
    """Write the values at 0, 1, 2 …: numbers as they are, anything else by its short name."""
    shown = values if axis.numeric else [describe(f"{axis.key}={value}") for value in values]
    ticks.set_ticks(range(len(values)), [printable(value) for value in shown])
