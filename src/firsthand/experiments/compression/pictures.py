"""The pictures of a report: what a plan costs against what it saves, and what it did to layers and numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from firsthand.experiments.compression.layers import BINS, Histogram
from firsthand.experiments.compression.page import Page
from firsthand.experiments.compression.row import Row
from firsthand.experiments.metrics import Points
from firsthand.experiments.plots import COLOURS, INK, Figure, dashes, figure, printable, save


def draw(page: Page, folder: Path) -> list[Path]:
    """Write the page's pictures, as PNG and SVG, into `folder`; the paths."""
    makers: dict[str, Callable[[Sequence[Row]], Figure]] = {
        "size": lambda rows: tradeoff(rows, "bytes"),
        "speed": lambda rows: tradeoff(rows, "decode"),
        "layers": layers,
        "maps": maps,
        "numbers": numbers,
    }
    return [path for name in page.pictures() for path in save(makers[name](page.rows), folder, name)]


def tradeoff(rows: Sequence[Row], front: str) -> Figure:
    """Bits per byte, with intervals, over megabytes or tokens a second; a line through those that none beats."""
    shown = [row for row in rows if row.bits and (front == "bytes" or row.rates)]
    with figure(8.0, 4.8) as picture:
        axes = picture.add_subplot()
        best = sorted(_place(row, front) for row in shown if front in row.fronts)
        axes.plot(*zip(*best, strict=True), color=INK, linewidth=1.0, linestyle="--", label="none is better in both")
        for number, row in enumerate(shown):
            assert row.bits
            x, y = _place(row, front)
            low, high = (y if end is None else end for end in (row.bits.low, row.bits.high))
            style = {"color": COLOURS[number % len(COLOURS)], "markersize": 5, "capsize": 2, "elinewidth": 0.8}
            axes.errorbar(x, y, yerr=[[max(0.0, y - low)], [max(0.0, high - y)]], fmt="o", alpha=0.9, **style)
            axes.annotate(printable(row.plan), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.set_xlabel("megabytes of weights" if front == "bytes" else "tokens written in a second")
        axes.set_ylabel("bits per byte")
        axes.margins(x=0.12)
        axes.set_title("Lower and further left is better" if front == "bytes" else "Lower and further right is better")
        axes.legend(loc="best")
    return picture


def layers(rows: Sequence[Row]) -> Figure:
    """The relative error of each layer, a curve for each plan."""
    with figure(8.0, 4.2) as picture:
        axes = picture.add_subplot()
        for number, row in enumerate(row for row in rows if row.layers):
            assert row.layers
            errors = np.array(row.layers.layers)
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": dashes(number), "linewidth": 1.4}
            axes.plot(np.arange(len(errors)), errors, marker="o", markersize=3, label=printable(row.plan), **style)
        axes.set_xlabel("layer")
        axes.set_ylabel("error over what the layer adds")
        axes.set_title("Which layers suffer: each reads what the original's reads")
        axes.legend(loc="best", fontsize=8)
    return picture


def maps(rows: Sequence[Row]) -> Figure:
    """A map of each plan: layers across, linear maps down, the relative error as colour."""
    shown = [row for row in rows if row.layers and row.layers.maps]
    width = min(2, max(1, len(shown)))
    with figure(4.6 * width, 0.6 + 2.1 * -(-len(shown) // width)) as picture:
        panels = picture.subplots(max(1, -(-len(shown) // width)), width, squeeze=False).ravel()
        for axes, row in zip(panels, shown, strict=False):
            names, cells = _grid(row)
            axes.grid(False)
            drawn = axes.imshow(cells, aspect="auto", cmap="viridis_r")
            axes.set_yticks(range(len(names)), [printable(name) for name in names], fontsize=7)
            axes.set_title(printable(row.plan))
            picture.colorbar(drawn, ax=axes)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
    return picture


def numbers(rows: Sequence[Row]) -> Figure:
    """How often numbers of each size stand in weights, and are read by the maps, before and after."""
    shown = [row for row in rows if row.layers]
    with figure(9.0, 0.5 + 2.0 * len(shown)) as picture:
        panels = picture.subplots(len(shown), 2, squeeze=False)
        for (left, right), row in zip(panels, shown, strict=True):
            assert row.layers
            for axes, sides in ((left, row.layers.weights), (right, row.layers.activations)):
                for (side, counted), colour in zip(sides.items(), COLOURS, strict=False):
                    axes.plot(*_shares(counted), color=colour, linewidth=1.2, drawstyle="steps-mid", label=side)
                axes.set_yscale("log")
            left.set_title(printable(f"{row.plan}: weights"))
            right.set_title("what maps read")
        panels[-1][0].set_xlabel("weight")
        panels[-1][1].set_xlabel("power of ten")
        panels[0][0].legend(loc="best")
    return picture


def _place(row: Row, front: str) -> tuple[float, float]:
    assert row.bits
    x = row.bytes / 1e6 if front == "bytes" else (row.rates.decode if row.rates else 0.0)
    return x, row.bits.value


def _grid(row: Row) -> tuple[list[str], Points]:
    """The maps of a layer by name, and their errors, NaN where a layer has none of that name."""
    assert row.layers
    keys = [key.split(".", 2)[1:] for key in row.layers.maps]
    names = list(dict.fromkeys(name for _, name in keys))
    cells = np.full((len(names), len(row.layers.layers)), np.nan)
    for (layer, name), error in zip(keys, row.layers.maps.values(), strict=True):
        cells[names.index(name), int(layer)] = error
    return names, cells


def _shares(counted: Histogram) -> tuple[Points, Points]:
    """Where the bins lie, and what share of the numbers is in each; NaN for none."""
    edges = np.linspace(counted.low, counted.high, BINS + 1)
    counts = np.array(counted.counts)
    return (edges[1:] + edges[:-1]) / 2, np.where(counts > 0, counts / max(1.0, counts.sum()), np.nan)
