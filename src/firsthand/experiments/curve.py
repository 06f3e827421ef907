"""A curve in block characters, for a terminal."""

from collections.abc import Sequence

import numpy as np

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*#@"


def curve(values: Sequence[float], width: int, height: int, filled: float = 1.0, blocks: str = BLOCKS) -> list[str]:
    """`height` rows of at most `width` characters: the values as an area, the highest and the lowest at the left.

    The curve takes the share `filled` of the width, so that it can grow towards the end of a run. As in the plots,
    the plunge of the first 5% may go over the top. No finite values, or no room: no rows.
    """
    points = np.asarray(values, dtype=np.float64)
    points = points[np.isfinite(points)]
    if not len(points) or height < 1:
        return []
    high, low = points[len(points) // 20 :].max(), points.min()
    labels = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"][:height]
    margin = max(map(len, labels)) + 1
    columns = max(1, round((width - margin - 1) * min(1.0, filled)))
    if width - margin < 4:
        return []
    levels = _resample(points, columns)
    share = np.clip((levels - low) / (high - low), 0, 1) if high > low else np.full(columns, 0.5)
    steps = len(blocks) - 1
    eighths = 1 + np.round(share * (height * steps - 1)).astype(int)  # even the lowest point leaves a mark
    rows = []
    for row, label in enumerate(labels):
        marks = np.clip(eighths - (height - 1 - row) * steps, 0, steps)
        rows.append(f"{label:>{margin - 1}} " + "".join(blocks[mark] for mark in marks))
    return rows


def _resample(points: np.ndarray, columns: int) -> np.ndarray:
    """Means of equal stretches where there are more points than columns, else straight lines between them."""
    if len(points) <= columns:
        levels: np.ndarray = np.interp(np.linspace(0, 1, columns), np.linspace(0, 1, len(points)), points)
    else:
        edges = np.linspace(0, len(points), columns + 1).astype(int)
        levels = np.add.reduceat(points, edges[:-1]) / np.diff(edges)
    return levels
