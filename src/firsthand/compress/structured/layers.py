"""Fewer layers: those that change their stream least go."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.compress.structured.least_squares import Normal, check_share, refitted
from firsthand.compress.structured.specs import put_specs, settled, specs_of
from firsthand.compress.structured.walk import batches, check_subject, last_map, put_weight, walk
from firsthand.compress.subject import Given, Subject, Unsuited
from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.parts import split
from firsthand.types import Place


class Layers:
    """Take away whole layers, those of least block influence (ShortGPT, arXiv 2403.03853, section 3.2).

    `share` of them, or `count`, leave. With `compensate`, the last map of the layer before a gap (and of every layer
    after it) is fitted, by least squares, to the stream as it was behind the gap, where layers simply add to it.
    `damping` is that of `channels`.
    """

    def __init__(
        self, share: float = 0.25, count: int | None = None, compensate: bool = True, damping: float = 0.01
    ) -> None:
        check_share("layers", share)
        self.share, self.count, self.compensate, self.damping = share, count, compensate, damping

    def __call__(self, subject: Subject, given: Given) -> None:
        check_subject("layers", subject)
        there = len(subject.model.blocks)
        count = round(self.share * there) if self.count is None else self.count
        if not 0 <= count < there:
            raise UserError(f"layers: {count} of {there} layers cannot leave; at least one stays.")
        kept = most_influential(block_influence(subject.model, given.windows), there - count)
        before = copy.deepcopy(subject.model) if self.compensate else None
        keep_layers(subject, kept)
        if before is not None:
            changes = {"mixer": self.change, "ffn": self.change_ffn}
            walk(subject.model, before, given.windows, changes, kept, given.done)

    def change(self, number: int, block: Any, normal: Normal) -> None:
        """Fit the last map of a layer that has no FFN to what it should say."""
        if last_map(block, "ffn") is None:
            _refit(block, "mixer", normal, self.damping)

    def change_ffn(self, number: int, block: Any, normal: Normal) -> None:
        """Fit the last map of a layer's FFN to what it should say."""
        _refit(block, "ffn", normal, self.damping)


@torch.no_grad()
def block_influence(model: LanguageModel, windows: Int[Tensor, "windows time"]) -> Float[Tensor, " layers"]:
    """1 - the mean cosine between what enters a layer and what leaves it (equation 1): how much it turns the stream."""
    turned = torch.zeros(len(model.blocks), dtype=torch.float64)
    for some in batches(windows):
        place = Place.of(some)
        x = first = model.embed(some, place)
        for number, (block, residual) in enumerate(zip(model.blocks, model.residuals, strict=True)):
            entered = residual.enter(x, first)  # type: ignore[operator]
            x = block(entered, place, None)[0]
            turned[number] += (1 - torch.cosine_similarity(entered, x, dim=-1)).double().sum()
    return turned / windows.numel()


def most_influential(influence: Float[Tensor, " layers"], stay: int) -> list[int]:
    """The numbers of the layers that stay, in their order."""
    order: list[int] = influence.argsort(descending=True, stable=True)[:stay].tolist()
    return sorted(order)


def keep_layers(subject: Subject, kept: Sequence[int]) -> None:
    """Let only these layers stay. Unsuited where the others would no longer be what they were."""
    model, fields = subject.model, settled(subject)
    if len(kept) < len(model.blocks) and split(fields["residual"])[1].get("by_depth"):
        raise Unsuited(
            "layers: model.residual scales what each layer says by the number of layers (by_depth), so the others "
            "would say something else without these. Take away channels or heads instead."
        )
    for slot in ("mixer", "ffn"):
        specs = specs_of(fields, slot)
        put_specs(fields, slot, [specs[number] for number in kept])
    fields["n_layers"] = len(kept)
    model.blocks = nn.ModuleList(model.blocks[number] for number in kept)
    model.residuals = nn.ModuleList(model.residuals[number] for number in kept)


def _refit(block: Any, slot: str, normal: Normal, damping: float) -> None:
    last: Any = last_map(block, slot)
    weight = last.weight.detach()
    put_weight(last, refitted(weight, normal, torch.arange(weight.shape[1]), damping))
