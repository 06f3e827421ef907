"""The picture of milestone M7: bytes against bits per byte, yours and the shipped ones."""

from collections.abc import Mapping, Sequence

from firsthand.experiments.plots import COLOURS, INK, Figure, figure, printable
from firsthand.experiments.smaller import Version, front


def smaller_picture(series: Mapping[str, Sequence[Version]]) -> Figure:
    """One colour a series ("yours", "shipped"); a line through the front of the first, whose points are named."""
    with figure(8.0, 4.8) as picture:
        axes = picture.add_subplot()
        for number, (name, versions) in enumerate(series.items()):
            x, y = [one.bytes / 1000 for one in versions], [one.bits_per_byte for one in versions]
            style = {"color": COLOURS[number], "s": 36 + 60 * number, "marker": "ox"[number % 2]}
            axes.scatter(x, y, label=printable(name), zorder=3 - number, **style)
        first = list(next(iter(series.values())))
        best = sorted((one for one in first if one.name in front(first)), key=lambda one: one.bytes)
        axes.plot([one.bytes / 1000 for one in best], [one.bits_per_byte for one in best], color=COLOURS[0], alpha=0.4)
        for one in first:
            axes.annotate(
                printable(one.name),
                (one.bytes / 1000, one.bits_per_byte),
                (6, 4),
                textcoords="offset points",
                color=INK,
            )
        axes.set_xscale("log")
        axes.margins(x=0.15, y=0.1)
        axes.set_xlabel("kB of weights")
        axes.set_ylabel("bits per byte, on text kept back")
        axes.set_title("Smaller models: left is smaller, low is better")
        axes.legend(loc="upper right")
    return picture
