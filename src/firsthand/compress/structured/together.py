"""Channels, heads and layers at once: a model of which a given share of all parameters is gone."""

import copy
from typing import Any

from torch import nn

from firsthand.compress.structured.channels import READERS, Channels, say_channels
from firsthand.compress.structured.heads import Heads, say_heads, why_not
from firsthand.compress.structured.layers import Layers, block_influence, keep_layers, most_influential
from firsthand.compress.structured.least_squares import check_share
from firsthand.compress.structured.walk import Change, check_subject, walk
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel


class Structured:
    """Make the model smaller by `share` of its parameters, embedding and head counted.

    Whole layers go first, as many as come nearest to `layers` of the cut; then the share `heads` of the heads of every
    layer that is left; the channels of the FFNs make up the rest. What is left is fitted, by least squares, to the
    stream as it was, in one walk through the calibration text. See `layers`, `heads` and `channels`, whose settings
    the others are. Where no heads or no channels are known (a Mamba has neither), the layers make up for them.
    """

    def __init__(
        self,
        share: float = 0.25,
        layers: float = 0.3,
        heads: float = 0.0,
        unit: str = "query",
        score: str = "obs",
        scope: str = "layer",
        compensate: bool = True,
        damping: float = 0.01,
        multiple: int = 16,
    ) -> None:
        check_share("structured", share)
        if not 0 <= layers <= 1:
            raise UserError(f"structured: layers = {layers} is a share of the cut, from 0 to 1.")
        self.share, self.layers = share, layers
        self.heads = Heads(heads, unit, score, compensate, damping)
        self.settings: dict[str, Any] = {"score": score, "compensate": compensate, "damping": damping}
        self.multiple, self.scope = multiple, scope

    def __call__(self, subject: Subject, given: Given) -> None:
        check_subject("structured", subject)
        before, model = copy.deepcopy(subject.model), subject.model
        channels, heads = has_channels(before), bool(self.heads.share) and not why_not(before)
        cut = self.share * size_of(before)
        kept = self.kept_layers(before, given, self.layers * cut if channels else cut)
        keep_layers(subject, kept)
        changes: dict[str, Change] = {}
        if self.settings["compensate"]:
            last = Layers(damping=self.settings["damping"])
            changes = {"mixer": last.change, "ffn": last.change_ffn}
        if heads:
            changes["mixer"] = self.heads.change
        if channels:
            left = cut - size_of(before) + size_of(model)
            left -= sum(self.heads.saves(block.mixer) for block in model.blocks) if heads else 0
            narrower = self.channels(model, left)
            narrower.share_out(model, before, given.windows, kept)
            changes["ffn"] = narrower.change
        walk(model, before, given.windows, changes, kept, given.done)
        if heads:
            say_heads(subject)
        if channels:
            say_channels(subject)
        now = f"{len(kept)} of {len(before.blocks)} layers, {size_of(model):,} of {size_of(before):,} parameters"
        subject.notes.append(f"structured: {now} are left")

    def kept_layers(self, model: LanguageModel, given: Given, cut: float) -> list[int]:
        """The layers that stay, such that those that leave have about `cut` parameters."""
        there = len(model.blocks)
        count = round(cut / (size_of(model.blocks) / there))
        if count >= there:
            raise UserError(
                f"structured: share = {self.share} would take all {there} layers, since the embedding and the head "
                "stay. Take away less."
            )
        return most_influential(block_influence(model, given.windows), there - count) if count else list(range(there))

    def channels(self, model: LanguageModel, cut: float) -> Channels:
        """What takes `cut` parameters away."""
        share = max(0.0, cut / sum(size_of(block.ffn) for block in model.blocks if isinstance(block.ffn, nn.Module)))
        if share >= 1:
            raise UserError(
                f"structured: share = {self.share} is more than there is in the channels of the layers that stay. Take "
                "away less, or more by layers."
            )
        return Channels(share, scope=self.scope, multiple=self.multiple, **self.settings)


def has_channels(model: LanguageModel) -> bool:
    """Whether there are FFNs, all of a kind whose channels are known."""
    ffns = [type(block.ffn) for block in model.blocks if block.ffn is not None]
    return bool(ffns) and all(kind in READERS for kind in ffns)


def size_of(part: nn.Module) -> int:
    """Its parameters, each counted once."""
    return sum(parameter.numel() for parameter in part.parameters())
