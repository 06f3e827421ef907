"""The causal mask: nobody reads what comes after them."""

from torch import Tensor


def causal_mask(query_length: int, key_length: int, offset: int = 0) -> Tensor:
    """Which key each query may read: bool (query_length, key_length), True = may read.

    Key j stands at place j, and query i at place offset + i. A query reads its own place and all before it.
    """
    raise NotImplementedError
