"""The pictures of a comparison: curves over every measure of progress, and what the ends of the runs say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from firsthand.experiments.compare.findings import Finding
from firsthand.experiments.metrics import Points
from firsthand.experiments.plots import COLOURS, INK, Axes, Figure, dashes, figure, printable, progress_axis, save

OVER = ("step", "tokens", "seconds", "flops")


def draw(found: Sequence[Finding], baseline: int, folder: Path) -> list[Path]:
    """Write curves and result, as PNG and SVG, into `folder`; the paths."""
    pictures = {"curves": curves(found), "result": result(found, baseline)}
    return [path for name, picture in pictures.items() for path in save(picture, folder, name)]


def curves(found: Sequence[Finding]) -> Figure:
    """Bits per byte of the validation text over steps, tokens, time and FLOPs: the seeds' mean, and their range."""
    with figure(9.0, 7.0) as picture:
        panels = picture.subplots(2, 2, sharey=True).ravel()
        ends: list[float] = []
        for number, finding in enumerate(found):
            for axes, measure in zip(panels, OVER, strict=True):
                lines = [_line(finding, place, measure) for place in range(len(finding.outcomes))]
                x, rows = _together([(x, y) for x, y in lines if len(x)])
                if not len(x):
                    continue
                colour = COLOURS[number % len(COLOURS)]
                style = {"marker": "o", "markersize": 3, "linewidth": 1.6, "linestyle": dashes(number)}
                axes.plot(x, rows.mean(axis=0), color=colour, label=printable(finding.label), **style)
                axes.fill_between(x, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.18, linewidth=0)
                ends += rows[:, x >= x[-1] / 2].ravel().tolist()
        for axes, measure in zip(panels, OVER, strict=True):
            progress_axis(axes, measure)
        _frame(panels[0], ends)
        for axes in panels[::2]:
            axes.set_ylabel("bits per byte")
        panels[0].set_title("Validation: mean over seeds, band from the best to the worst")
        if ends:
            panels[1].legend(loc="upper right")
    return picture


def result(found: Sequence[Finding], baseline: int) -> Figure:
    """Left: every run's bits per byte. Right: the difference from the baseline with its 95% interval."""
    with figure(9.0, 1.3 + 0.42 * len(found)) as picture:
        left, right = picture.subplots(1, 2, sharey=True)
        for number, finding in enumerate(found):
            colour = COLOURS[number % len(COLOURS)]
            bits = [outcome.bits_per_byte for outcome in finding.outcomes if outcome.bits_per_byte is not None]
            left.plot(bits, [number] * len(bits), "o", color=colour, alpha=0.55, markersize=5)
            if finding.bits:
                left.plot(finding.bits.mean, number, "|", color=colour, markersize=15, markeredgewidth=2)
            if finding.difference:
                value = finding.difference.estimate
                style = {"color": colour, "markersize": 5, "capsize": 3, "elinewidth": 1.6}
                right.errorbar(value.mean, number, xerr=value.margin, fmt="o", **style)
        right.axvline(0, color=INK, linewidth=0.9)
        left.set_yticks(range(len(found)), [printable(finding.label) for finding in found])
        left.set_ylim(len(found) - 0.5, -0.5)
        left.set_xlabel("bits per byte; a dot a run, a bar their mean")
        right.set_xlabel(f"difference from {printable(found[baseline].label)}, 95% interval")
        left.set_title("Less is better")
        _widen(right, found)
    return picture


def _line(finding: Finding, place: int, measure: str) -> tuple[Points, Points]:
    """The validation curve of one run; FLOPs are tokens times the model's FLOPs for each."""
    metrics = finding.outcomes[place].run.metrics
    x, y = metrics.series("bits_per_byte", "tokens" if measure == "flops" else measure)
    return (x * finding.size.flops_per_token if measure == "flops" else x), y


def _together(lines: Sequence[tuple[Points, Points]]) -> tuple[Points, Points]:
    """Curves over one axis: where any has a point and all have reached, straight lines between an own one's points."""
    if not lines:
        return np.empty(0), np.empty((0, 0))
    first, last = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    points = np.unique(np.concatenate([x for x, _ in lines]))
    x = points[(points >= first) & (points <= last)]
    return x, np.array([np.interp(x, *line) for line in lines]).reshape(len(lines), len(x))


def _frame(axes: Axes, ends: Sequence[float]) -> None:
    """Show the last half of the runs in full: the plunge before would make all that differs flat."""
    if ends:
        room = max(ends) - min(ends) or 1.0
        axes.set_ylim(min(ends) - 0.05 * room, max(ends) + 0.05 * room)


def _widen(axes: Axes, found: Sequence[Finding]) -> None:
    """Intervals of two seeds can be fifty times as wide as the differences: let them leave the frame."""
    means = [abs(finding.difference.estimate.mean) for finding in found if finding.difference]
    reach = 8 * max(means, default=0.0) or 1.0
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -reach), min(high, reach))
