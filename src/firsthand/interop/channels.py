"""RoPE turns channels in pairs: neighbours (2i, 2i + 1), or halves (i, i + half of the head).

A map to queries or keys has a row for each channel, so its rows change places with the layout, and the scores stay.
"""

from torch import Tensor


def halves(rows: Tensor, heads: int) -> Tensor:
    """Rows (or a bias) of `heads` heads, from pairs that are neighbours to pairs that lie half a head apart."""
    return rows.view(heads, -1, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def neighbours(rows: Tensor, heads: int) -> Tensor:
    """The inverse of `halves`."""
    return rows.view(heads, 2, -1, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)
