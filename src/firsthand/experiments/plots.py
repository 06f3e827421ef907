"""Pictures of training, from metrics: one run's loss, learning rate and gradient norm, or several runs overlaid.

The same metrics give the same bytes (PNG and SVG). Nothing here touches pyplot or keeps global settings changed.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from firsthand.experiments.metrics import Metrics, Points

Figure: TypeAlias = Any
"""matplotlib.figure.Figure; matplotlib takes a third of a second to import, so only functions do it."""
Axes: TypeAlias = Any

# Okabe and Ito's palette, which colour-blind readers can tell apart, in the order of contrast on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, PALE = "#333333", "#E4E4E4"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture is the same everywhere
    "font.size": 9.5,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.xmargin": 0.02,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "savefig.dpi": 160,
    "svg.hashsalt": "firsthand",
}


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure in the house style (inches), with the style in force while it is filled."""
    from matplotlib.figure import Figure

    with _style():
        yield Figure(figsize=(width, height), layout="constrained")


@contextmanager
def _style() -> Iterator[None]:
    """The house style, whatever the user's matplotlibrc and other code have set."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def save(picture: Figure, folder: Path, name: str) -> list[Path]:
    """Write folder/name.png and .svg, each whole or not at all, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with _style():
        picture.draw_without_rendering()
    picture.set_layout_engine("none")  # arranged once, not again for each kind
    paths = []
    for kind, stamp in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        drawn = io.BytesIO()
        with _style():
            picture.savefig(drawn, format=kind, metadata=stamp)
        path = folder / f"{name}.{kind}"
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(drawn.getvalue())
        partial.replace(path)
        paths.append(path)
    return paths


def printable(text: str) -> str:
    """`text` as a label: what the font lacks as a box, nothing that matplotlib would read as mathematics or hide."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(_STYLE["font.family"]))
    shown = "".join(char if char.isprintable() and font.get_char_index(ord(char)) else "□" for char in text)
    return (" " + shown if shown.startswith("_") else shown).replace("$", r"\$")


def plot_run(folder: Path) -> list[Path]:
    """Draw the run in `folder` into its plots/: training (all panels), each panel by itself, and how busy experts were.

    Returns the files.
    """
    from firsthand.experiments.expert_load import expert_load, last_load  # draws with what stands here

    metrics = Metrics.read(folder / "metrics.jsonl")
    pictures = {"training": training(metrics, folder.name)} | {name: panel(name, metrics) for name in PANELS}
    if load := last_load(folder):
        pictures["experts"] = expert_load(load)
    return [path for name, picture in pictures.items() for path in save(picture, folder / "plots", name)]


def training(metrics: Metrics, title: str) -> Figure:
    """Loss on top; learning rate and gradient norm below it."""
    with figure(9.0, 6.4) as picture:
        grid = picture.add_gridspec(2, 2, height_ratios=[1.9, 1])
        _loss(picture.add_subplot(grid[0, :]), metrics)
        _learning_rate(picture.add_subplot(grid[1, 0]), metrics)
        _gradient_norm(picture.add_subplot(grid[1, 1]), metrics)
        picture.suptitle(printable(_headline(title, metrics)), x=0.01, ha="left", fontsize=12.5)
    return picture


def panel(name: str, metrics: Metrics) -> Figure:
    """One of PANELS by itself."""
    with figure(8.0, 4.0) as picture:
        PANELS[name](picture.add_subplot(), metrics)
    return picture


def comparison(runs: Mapping[str, Metrics], over: Sequence[str] = ("step", "tokens", "seconds")) -> Figure:
    """The losses of several runs, one panel for each measure of progress in `over`.

    In bits per byte where every run has been evaluated: nats per token mean something else for every tokenizer.
    """
    ratios = {name: metrics.bits_per_nat() for name, metrics in runs.items()}
    in_bits = all(ratios.values())
    with figure(max(6.5, 4.3 * len(over)), 4.4) as picture:
        panels = picture.subplots(1, len(over), sharey=True, squeeze=False)[0]
        drawn: list[Points] = []
        for number, (name, metrics) in enumerate(runs.items()):
            scale, colour = (ratios[name] or 1.0) if in_bits else 1.0, COLOURS[number % len(COLOURS)]
            for axes, measure in zip(panels, over, strict=True):
                x, y = metrics.series("loss", measure)
                axes.plot(x, smooth(y) * scale, color=colour, linewidth=0.9, alpha=0.45)
                drawn.append(smooth(y) * scale)
                x, y = metrics.series("validation_loss", measure)
                style = {"linewidth": 1.9, "marker": "o", "markersize": 3.2, "linestyle": dashes(number)}
                axes.plot(x, y * scale, color=colour, label=printable(name), **style)
                drawn.append(y * scale)
        for axes, measure in zip(panels, over, strict=True):
            progress_axis(axes, measure)
        fit_height(panels[0], drawn)
        panels[0].set_ylabel("loss (bits per byte)" if in_bits else "loss (nats per token)")
        panels[0].set_title("Loss: thick validation, thin training")
        panels[-1].legend(loc="upper right")
    return picture


def smooth(values: Points) -> Points:
    """Means over a thirtieth of the points on either side at most (less at the start, where curves plunge), twice."""
    count = len(values)
    place = np.arange(count)
    reach = np.minimum(count // 30, place // 4)
    first, last = place - reach, np.minimum(place + reach + 1, count)
    for _ in range(2):
        sums = np.concatenate([[0.0], np.cumsum(values)])
        values = (sums[last] - sums[first]) / (last - first)
    return values


def _loss(axes: Axes, metrics: Metrics) -> None:
    steps, losses = metrics.series("loss")
    at, validation = metrics.series("validation_loss")
    axes.plot(steps, losses, color=COLOURS[0], linewidth=0.6, alpha=0.3)
    axes.plot(steps, smooth(losses), color=COLOURS[0], linewidth=1.8, label=_ending("training", smooth(losses)))
    style = {"linewidth": 1.8, "marker": "o", "markersize": 3.5, "label": _ending("validation", validation)}
    axes.plot(at, validation, color=COLOURS[1], **style)
    fit_height(axes, [smooth(losses), validation])
    progress_axis(axes, "step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title("Loss")
    if len(losses) or len(validation):
        axes.legend(loc="upper right")
    ratio = metrics.bits_per_nat()
    if ratio:
        right = axes.secondary_yaxis("right", functions=(lambda nats: nats * ratio, lambda bits: bits / ratio))
        right.set_ylabel("bits per byte")
        right.spines["right"].set_visible(False)


def _learning_rate(axes: Axes, metrics: Metrics) -> None:
    steps, rates = metrics.series("lr")
    axes.plot(steps, rates, color=COLOURS[2], linewidth=1.8)
    axes.fill_between(steps, rates, color=COLOURS[2], alpha=0.12, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:g}")
    progress_axis(axes, "step")
    axes.set_title("Learning rate")


def _gradient_norm(axes: Axes, metrics: Metrics) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    steps, norms = metrics.series("grad_norm")
    axes.plot(steps, norms, color=COLOURS[3], linewidth=0.6, alpha=0.4)
    axes.plot(steps, smooth(norms), color=COLOURS[3], linewidth=1.8)
    if len(norms) and norms.min() > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    progress_axis(axes, "step")
    axes.set_title("Gradient norm (log scale)")


PANELS: dict[str, Callable[[Axes, Metrics], None]] = {
    "loss": _loss,
    "learning_rate": _learning_rate,
    "gradient_norm": _gradient_norm,
}


def _headline(title: str, metrics: Metrics) -> str:
    step, tokens, seconds = (metrics.last(key) for key in ("step", "tokens", "seconds"))
    facts = [title]
    if step is not None:
        facts.append(f"{step:,.0f} steps")
    if tokens is not None:
        facts.append(f"{tokens / 1e6:,.3g} M tokens")
    if seconds is not None:
        facts.append(f"{seconds / 60:,.1f} minutes")
    return " · ".join(facts)


def _ending(name: str, values: Points) -> str:
    return f"{name}, {values[-1]:.3f} at the end" if len(values) else "_"


def dashes(number: int) -> str:
    """Past the end of the palette, lines differ by their dashes."""
    return ("-", "--", ":", "-.")[number // len(COLOURS) % 4]


def fit_height(axes: Axes, curves: Sequence[Points]) -> None:
    """Leave the plunge of the first 5% of the steps outside: all that happens later would be flat beside it."""
    later = [curve[len(curve) // 20 :] for curve in curves if len(curve)]
    if later:
        low, high = min(curve.min() for curve in later), max(curve.max() for curve in later)
        room = high - low or 1.0
        axes.set_ylim(low - 0.1 * room, high + 0.05 * room)


def progress_axis(axes: Axes, measure: str) -> None:
    """The horizontal axis: 1,500 steps, 20 M tokens, minutes in round numbers."""
    from matplotlib.ticker import EngFormatter, MaxNLocator, MultipleLocator

    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 4, 5, 10]))
    end = axes.get_xlim()[1]
    if measure == "seconds":
        gap = next((gap for gap in _CLOCK if end / gap <= 6), _CLOCK[-1])
        unit, size = next((unit, size) for unit, size in _TIMES if gap >= size)
        axes.xaxis.set_major_locator(MultipleLocator(max(gap, end / 6 if gap == _CLOCK[-1] else 0)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / size:g}")
        axes.set_xlabel(f"time ({unit})")
    elif measure == "tokens":
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.set_xlabel("tokens seen")
    elif measure == "flops":
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.set_xlabel("FLOPs of training")
    else:
        axes.xaxis.set_major_formatter("{x:,.10g}")
        axes.set_xlabel("step")


_CLOCK = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)
_TIMES = (("hours", 3600), ("minutes", 60), ("seconds", 1))
