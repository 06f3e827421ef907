"""The picture of milestone M7: bytes against bits per byte, yours and the shipped ones."""

from collections.abc import Mapping, Sequence

from firsthand.experiments.plots import COLOURS, INK, Figure, figure, printable
from firsthand.experiments.smaller import Version, front


def smaller_picture(series: Mapping[str, Sequence[Version]]) -> Figure:
    """One colour a series ("yours", "shipped"). The first has letters, and a line through its front."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, NullFormatter

    with figure(9.0, 4.8) as picture:
        axes = picture.add_subplot()
        for number, (name, versions) in enumerate(series.items()):
            x, y = [one.bytes / 1000 for one in versions], [one.bits_per_byte for one in versions]
            style = {"color": COLOURS[number], "s": 36 + 60 * number, "marker": "ox"[number % 2]}
            axes.scatter(x, y, label=printable(name), zorder=3 - number, **style)
        first = list(next(iter(series.values())))
        best = sorted((one for one in first if one.name in front(first)), key=lambda one: one.bytes)
        axes.plot([one.bytes / 1000 for one in best], [one.bits_per_byte for one in best], color=COLOURS[0], alpha=0.4)
        key = []
        for number, one in enumerate(first):
            letter, offset = chr(97 + number), (5, -14 if number % 2 else 6)
            axes.annotate(
                letter,
                (one.bytes / 1000, one.bits_per_byte),
                offset,
                textcoords="offset points",
                color=INK,
                weight="bold",
            )
            key.append(Line2D([], [], linestyle="none", label=printable(f"{letter}  {one.name}")))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.1, y=0.12)
        axes.set_xlabel("kB of weights")
        axes.set_ylabel("bits per byte, on text kept back")
        axes.set_title("Smaller models: left is smaller, low is better")
        axes.legend(loc="best")
        picture.legend(handles=key, loc="outside right upper", handlelength=0)
    return picture
