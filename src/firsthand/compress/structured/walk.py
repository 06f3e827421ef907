"""The calibration text goes through a model that becomes smaller, beside the model as it was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.compress.calibration import TOGETHER
from firsthand.compress.structured.least_squares import Normal
from firsthand.compress.subject import Subject, is_quantized
from firsthand.errors import UserError
from firsthand.model.block import Block
from firsthand.model.canon import Canon
from firsthand.model.language_model import LanguageModel
from firsthand.model.residuals import Residual
from firsthand.types import Place

LAST = {"mixer": "out", "ffn": "down"}
"""The map through which a part speaks to the stream."""

Change = Callable[[int, Any, Normal], None]


def check_subject(method: str, subject: Subject) -> None:
    """UserError for a model whose weights are no longer numbers in full."""
    if is_quantized(subject.model):
        raise UserError(f"{method} makes tensors smaller and needs their numbers in full. Let it stand before int4.")


@torch.no_grad()
def walk(
    model: LanguageModel,
    before: LanguageModel,
    windows: Int[Tensor, "windows time"],
    changes: Mapping[str, Change],
    kept: Sequence[int] | None = None,
    done: Callable[[float, str], object] = lambda share, what: None,
) -> None:
    """Let the windows go through both models; before they leave a layer of `model`, its parts may be changed.

    `changes["mixer"]` and `changes["ffn"]` are called as (number of the layer, the layer, Normal), where Normal is that
    of the part's LAST map: of what it reads now, and of what it should say so that the stream comes nearest to that of
    `before` (the errors of earlier layers, too, are then made up for; asymmetric calibration, arXiv 2504.02692).
    Where a layer does not simply add to the stream, or has no such map, it should say what it says.
    `kept`: which layer of `before` each layer of `model` is; absent: all. A layer in front of a gap is to say, with its
    FFN, what those in the gap said too.
    """
    kept = range(len(before.blocks)) if kept is None else kept
    ends = [following - 1 for following in (*kept[1:], len(before.blocks))]
    rows = batches(windows)
    places = [Place.of(some) for some in rows]
    was = [before.embed(some, place) for some, place in zip(rows, places, strict=True)]
    now = [model.embed(some, place) for some, place in zip(rows, places, strict=True)]
    begun, first = list(was), list(now)
    start = 0
    for number, (block, residual) in enumerate(zip(model.blocks, model.residuals, strict=True)):
        middle, was = _reference(before, range(start, ends[number] + 1), kept[number], was, begun, places)
        start = ends[number] + 1
        now = [residual.enter(x, embedded) for x, embedded in zip(now, first, strict=True)]  # type: ignore[operator]
        for slot, change in changes.items():
            if last_map(block, slot) is not None:
                aims = middle if slot == "mixer" else was
                change(number, block, _normal(block, slot, now, aims if _adds(block) else None, places))
        now = [block(x, place, None)[0] for x, place in zip(now, places, strict=True)]
        done((number + 1) / len(model.blocks), f"layer {number + 1} of {len(model.blocks)}")


def batches(windows: Int[Tensor, "windows time"]) -> list[Int[Tensor, "some time"]]:
    """The windows, as many at a time as go through a layer at once."""
    return [windows[start : start + TOGETHER] for start in range(0, len(windows), TOGETHER)]


def last_map(block: Any, slot: str) -> nn.Linear | None:
    """The map through which the layer's mixer or FFN speaks, if it has one."""
    part = getattr(getattr(block, slot, None), LAST[slot], None)
    return part if type(part) is nn.Linear else None


def _adds(block: Any) -> bool:
    """Whether what a part says is added to the stream as it is."""
    return type(block) in (Block, Canon) and type(block.residual).join is Residual.join


def _reference(
    before: LanguageModel,
    numbers: range,
    heard: int,
    streams: list[Tensor],
    begun: list[Tensor],
    places: list[Place],
) -> tuple[list[Tensor], list[Tensor]]:
    """The streams between the two halves of the layer `heard`, and after the last of the layers `numbers`."""
    middle: list[Tensor] = []
    for number in numbers:
        block, residual = before.blocks[number], before.residuals[number]
        streams = [residual.enter(x, first) for x, first in zip(streams, begun, strict=True)]  # type: ignore[operator]
        with _heard(block.ffn_norm if number == heard and _adds(block) else None, middle):
            streams = [block(x, place, None)[0] for x, place in zip(streams, places, strict=True)]
    return middle or streams, streams


@contextmanager
def _heard(part: Any, inputs: list[Tensor]) -> Iterator[None]:
    """What a part reads within the context, call by call; of None, nothing."""
    handle = part and part.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        yield
    finally:
        if handle:
            handle.remove()


def _normal(block: Any, slot: str, entered: list[Tensor], aims: list[Tensor] | None, places: list[Place]) -> Normal:
    """The normal equations of the part's last map: `aims` is what the stream should be after it."""
    last: Any = last_map(block, slot)
    gram = torch.zeros(last.in_features, last.in_features, dtype=torch.float64)
    cross = torch.zeros(last.out_features, last.in_features, dtype=torch.float64)
    for number, (x, place) in enumerate(zip(entered, places, strict=True)):
        read: list[Tensor] = []
        middle: list[Tensor] = []
        with _heard(last, read), _heard(block.ffn_norm if slot == "ffn" and aims else None, middle):
            block(x, place, None)
        h: Float[Tensor, "rows d_in"] = read[0].flatten(0, -2)
        gram += (h.T @ h).double()
        if aims is not None:
            said = aims[number] - (middle[0] if slot == "ffn" else x)
            said = said if last.bias is None else said - last.bias
            cross += (said.flatten(0, -2).T @ h).double()
    return Normal(gram, last.weight.double() @ gram if aims is None else cross)


def narrow(linear: Any, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    """Let a map keep these rows (what it says) or columns (what it reads) alone."""
    weight, bias = linear.weight.detach(), linear.bias
    if rows is not None:
        weight = weight[rows]
        linear.bias = None if bias is None else nn.Parameter(bias.detach()[rows])
    if columns is not None:
        weight = weight[:, columns]
    put_weight(linear, weight)


def put_weight(linear: Any, weight: Float[Tensor, "d_out d_in"]) -> None:
    """Let a map have this weight, whatever its shape."""
    linear.weight = nn.Parameter(weight.contiguous())
    linear.out_features, linear.in_features = weight.shape
