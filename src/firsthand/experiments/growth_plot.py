"""The picture of `firsthand growth`: four panels over the length of the context."""

from collections.abc import Callable, Sequence

from firsthand.experiments.growth import Cost
from firsthand.experiments.plots import COLOURS, Figure, dashes, figure

PANELS: tuple[tuple[str, Callable[[Cost], float | None]], ...] = (
    ("training: µs a token", lambda cost: cost.train_seconds and 1e6 * cost.train_seconds / cost.length),
    ("training: MB a row", lambda cost: cost.train_bytes and cost.train_bytes / 1e6),
    ("decoding: µs a token", lambda cost: cost.decode_seconds and 1e6 * cost.decode_seconds),
    ("state: numbers a row", lambda cost: cost.state_numbers or None),
)


def growth_plot(costs: Sequence[Cost], title: str) -> Figure:
    """One line a mixer; both axes logarithmic, so that a straight line is a power of the length."""
    mixers = list(dict.fromkeys(cost.mixer for cost in costs))
    with figure(10.5, 7.2) as picture:
        panels = picture.subplots(2, 2, sharex=True).flat
        for axes, (name, value) in zip(panels, PANELS, strict=True):
            for number, mixer in enumerate(mixers):
                points = [(cost.length, value(cost)) for cost in costs if cost.mixer == mixer and value(cost)]
                style = {
                    "linewidth": 1.6,
                    "marker": "o",
                    "markersize": 3.2,
                    "linestyle": dashes(number // len(COLOURS)),
                }
                axes.plot(
                    *zip(*points, strict=True) if points else ((), ()),
                    color=COLOURS[number % len(COLOURS)],
                    label=mixer,
                    **style,
                )
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_title(name)
        for axes in list(picture.axes)[2:]:
            axes.set_xlabel("context length (tokens)")
        picture.axes[0].legend(loc="upper left", fontsize=8, ncols=2)
        picture.suptitle(title, x=0.01, ha="left", fontsize=12.5)
    return picture
