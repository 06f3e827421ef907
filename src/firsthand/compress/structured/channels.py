"""Fewer channels in the feed-forward parts: d_ff becomes smaller."""

import copy
from typing import Any

import torch
from torch import nn

from firsthand.compress.structured.least_squares import SCORES, Normal, check_score, check_share, refitted
from firsthand.compress.structured.specs import put_sizes, settled
from firsthand.compress.structured.walk import Change, check_subject, narrow, put_weight, walk
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.ffns.gated import Gated
from firsthand.model.ffns.mlp import MLP

READERS: dict[type, tuple[str, ...]] = {Gated: ("gate", "up"), MLP: ("up",)}
"""The maps of each kind of FFN that make the channels; `down` reads them."""


class Channels:
    """Take away the `share` of every FFN's channels that its down map misses least (ZipLM, arXiv 2302.04089, section 3).

    A channel is a row of `up` (and of `gate`) and a column of `down`. `score`: how it is chosen, "obs" or "wanda" (see
    least_squares.py). `compensate`: whether the channels that stay take over, by least squares, what the others said
    and what earlier layers have lost. d_ff stays a multiple of `multiple`, which products on a CPU like.
    """

    def __init__(
        self,
        share: float = 0.25,
        score: str = "obs",
        compensate: bool = True,
        damping: float = 0.01,
        multiple: int = 16,
    ) -> None:
        check_share("channels", share)
        check_score("channels", score, damping)
        if multiple < 1:
            raise UserError(f"channels: multiple = {multiple} must be at least 1.")
        self.share, self.score, self.compensate = share, SCORES[score], compensate
        self.damping, self.multiple = damping, multiple

    def __call__(self, subject: Subject, given: Given) -> None:
        check_subject("channels", subject)
        check_ffns(subject.model)
        change = {"ffn": self.change}
        walk(subject.model, copy.deepcopy(subject.model), given.windows, change, done=given.done)
        say_channels(subject)

    def stay(self, d_ff: int) -> int:
        """How many of d_ff channels stay. UserError for none."""
        wished = (1 - self.share) * d_ff
        kept = max(round(wished / self.multiple) * self.multiple, min(self.multiple, d_ff)) if self.share else d_ff
        if round(wished) < 1:
            raise UserError(f"channels: share = {self.share} leaves none of {d_ff} channels. Take away fewer.")
        return min(kept, d_ff)

    def change(self, number: int, block: Any, normal: Normal) -> None:
        """Make a layer's FFN narrower, or at least fit to what it reads."""
        ffn = block.ffn
        weight = ffn.down.weight.detach()
        stay = self.stay(weight.shape[1])
        kept = torch.arange(weight.shape[1])
        if stay < len(kept):
            kept = self.score(weight, normal, stay, 1, 1, self.damping)
        for name in READERS[type(ffn)]:
            narrow(getattr(ffn, name), rows=kept)
        put_weight(ffn.down, refitted(weight, normal, kept, self.damping) if self.compensate else weight[:, kept])


def check_ffns(model: Any) -> None:
    """UserError unless some layer has an FFN and each is of a kind whose channels are known."""
    ffns: list[nn.Module] = [block.ffn for block in model.blocks if block.ffn is not None]
    for ffn in ffns:
        if type(ffn) not in READERS:
            raise UserError(
                f"channels: what a channel of {type(ffn).__name__} is, is not known here; the FFNs gated and mlp have "
                "them. Take away whole layers instead (part: layers)."
            )
    if not ffns:
        raise UserError("channels: no layer of this model has an FFN. Take away whole layers instead (part: layers).")


def say_channels(subject: Subject) -> None:
    """Write every FFN's d_ff into the fields."""
    ffns = [block.ffn for block in subject.model.blocks]
    put_sizes(settled(subject), "ffn", [{} if ffn is None else {"d_ff": ffn.down.in_features} for ffn in ffns])
