"""Attention: a soft lookup. Every query takes a mixture of the values, more of those whose keys fit it."""

from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    """softmax(query keyᵀ / √d_head) value, over the keys that each query may read.

    query (..., query, d_head), key (..., key, d_head), value (..., key, d_value); there may be any number of axes in
    front, and fewer or more queries than keys. visible: bool, True = may read; it broadcasts to (..., query, key).
    Returns (..., query, d_value). A query that may read nothing gets zeros. None of the inputs is changed.
    """
    raise NotImplementedError
