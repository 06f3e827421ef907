"""The learning rate over a run: up from zero, then down along half a cosine."""

from collections.abc import Callable


def warmup_cosine(warmup: float = 0.02, final: float = 0.1) -> Callable[[float], float]:
    """Returns a function from the fraction of the run that is over (0 to 1) to a multiplier of the peak rate.

    During the first `warmup` of the run (from 0, which is none, to below 1) it goes from 0 to 1 in a straight line.
    Over the rest it goes from 1 to `final` along half a cosine.
    """
    raise NotImplementedError
