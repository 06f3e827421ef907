"""Attention as somebody else defines it, in training steps of a run: one more version, for as long as the run lasts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from firsthand.errors import UserError
from firsthand.ops.attention import VERSIONS
from firsthand.ops.attention.mask import Mask
from firsthand.ops.choice import preferring
from firsthand.parts import find, is_file, takes


@contextmanager
def attention_by(name: str, chosen: str) -> Iterator[None]:
    """Inside, training steps compute attention by `name` if that is file.py:Name, else by the version `chosen`.

    Whatever the setting `name` says but "auto" is an order, which may not be left for what is faster.
    """
    if not is_file(name):
        with preferring("attention", chosen, forced=name != "auto"):
            yield
        return
    VERSIONS[name] = version(name, find("train.attention", {}, name))
    try:
        with preferring("attention", name, forced=True):
            yield
    finally:
        del VERSIONS[name]


def version(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A version of attention from a function of query, key, value (batch, heads, time, d_head) and visible.

    `visible` (..., query, key) is True where a query may read. A function that also names bias, softcap or sinks, as
    the reference does, gets those; scale it gets if it has no default or the model's is not 1 / √d_head. The version
    raises UserError where the model asks for what the function does not name.
    """
    names, takes_any = takes(function)

    def run(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Mask,
        scale: float,
        bias: Tensor | None,
        softcap: float | None,
        sinks: Tensor | None,
        dropout: float,
    ) -> Tensor:
        asked = {"bias": bias, "softcap": softcap, "sinks": sinks, "dropout": dropout or None}
        given = {key: value for key, value in asked.items() if takes_any or key in names}
        lacking = [key for key, value in asked.items() if value is not None and key not in given]
        unusual = abs(scale * query.shape[-1] ** 0.5 - 1) > 1e-6
        needed = "scale" in names and names["scale"].default is names["scale"].empty
        if needed or (unusual and (takes_any or "scale" in names)):
            given["scale"] = scale
        elif unusual:
            lacking.append("scale")
        if lacking:
            raise UserError(
                f"train.attention={name} has no argument {lacking[0]!r}, which this model's attention needs. Give it "
                "one, or train a model without (recipes/learn.yaml is plain enough)."
            )
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        dense = mask.dense(query.shape[2], key.shape[2], query.device)
        visible = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool) if dense is None else dense
        return function(query, key, value, visible.to(query.device), **given)

    return run
