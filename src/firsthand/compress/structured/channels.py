"""Fewer channels in the feed-forward parts: d_ff becomes smaller."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from firsthand.compress.structured.budget import Curve, sensitivity, share_out
from firsthand.compress.structured.least_squares import SCORES, Normal, check_score, check_share, leaving, refitted
from firsthand.compress.structured.specs import put_sizes, settled
from firsthand.compress.structured.walk import check_subject, narrow, put_weight, walk
from firsthand.compress.subject import Given, Subject, Unsuited
from firsthand.errors import UserError, suggest
from firsthand.model.ffns.gated import Gated
from firsthand.model.ffns.mlp import MLP
from firsthand.model.language_model import LanguageModel

READERS: dict[type, tuple[str, ...]] = {Gated: ("gate", "up"), MLP: ("up",)}
"""The maps of each kind of FFN that make the channels; `down` reads them."""
SCOPES = ("layer", "model")


class Channels:
    """Take away the `share` of the FFNs' channels that their down maps miss least (ZipLM, arXiv 2302.04089, section 3).

    A channel is a row of `up` (and of `gate`) and a column of `down`. `score`: how it is chosen, "obs" or "wanda" (see
    least_squares.py). `scope`: whether every "layer" loses the same share, or of the whole "model" so many leave, most
    where the loss feels it least (budget.py). `compensate`: whether the channels that stay take over, by least squares,
    what the others said and what earlier layers have lost. d_ff stays a multiple of `multiple`, which products on a CPU
    like.
    """

    def __init__(
        self,
        share: float = 0.25,
        score: str = "obs",
        scope: str = "layer",
        compensate: bool = True,
        damping: float = 0.01,
        multiple: int = 16,
    ) -> None:
        check_share("channels", share)
        check_score("channels", score, damping)
        if scope not in SCOPES:
            raise UserError(f"channels: there is no scope {scope!r}. {suggest(scope, SCOPES)}")
        if multiple < 1:
            raise UserError(f"channels: multiple = {multiple} must be at least 1.")
        self.share, self.score, self.compensate = share, SCORES[score], compensate
        self.damping, self.multiple, self.scope = damping, multiple, scope
        self.shares: dict[int, float] = {}

    def __call__(self, subject: Subject, given: Given) -> None:
        check_subject("channels", subject)
        check_ffns(subject.model)
        before = copy.deepcopy(subject.model)
        self.share_out(subject.model, before, given.windows)
        walk(subject.model, before, given.windows, {"ffn": self.change}, done=given.done)
        say_channels(subject)

    def share_out(
        self,
        model: LanguageModel,
        before: LanguageModel,
        windows: Int[Tensor, "windows time"],
        kept: Sequence[int] | None = None,
    ) -> None:
        """Find each layer's share; the same for all unless `scope` is the model. Arguments as in `walk`."""
        if self.scope == "layer" or not self.share:
            return
        curves: dict[int, Curve] = {}

        def note(number: int, block: Any, normal: Normal) -> None:
            weight = block.ffn.down.weight.detach()
            rounds = leaving(weight, normal, min(self.multiple, weight.shape[1]), 1, 1, self.damping)
            curves[number] = [(len(gone), cost * float(felt[number])) for gone, cost in rounds]

        felt = sensitivity(before, windows)[list(kept or range(len(before.blocks)))]
        walk(model, before, windows, {"ffn": note}, kept)
        sizes = {number: size["d_ff"] for number, size in enumerate(d_ffs(model)) if size}
        lost = share_out(list(curves.values()), round(self.share * sum(sizes.values())))
        self.shares = {number: gone / sizes[number] for number, gone in zip(curves, lost, strict=True)}

    def stay(self, d_ff: int, share: float) -> int:
        """How many of d_ff channels stay. UserError for none."""
        wished = (1 - share) * d_ff
        kept = max(round(wished / self.multiple) * self.multiple, min(self.multiple, d_ff)) if share else d_ff
        if round(wished) < 1:
            raise UserError(f"channels: share = {share} leaves none of {d_ff} channels. Take away fewer.")
        return min(kept, d_ff)

    def change(self, number: int, block: Any, normal: Normal) -> None:
        """Make a layer's FFN narrower, or at least fit to what it reads."""
        ffn = block.ffn
        weight = ffn.down.weight.detach()
        stay = self.stay(weight.shape[1], self.shares.get(number, self.share))
        kept = torch.arange(weight.shape[1])
        if stay < len(kept):
            kept = self.score(weight, normal, stay, 1, 1, self.damping)
        for name in READERS[type(ffn)]:
            narrow(getattr(ffn, name), rows=kept)
        put_weight(ffn.down, refitted(weight, normal, kept, self.damping) if self.compensate else weight[:, kept])


def check_ffns(model: Any) -> None:
    """Unsuited unless some layer has an FFN and each is of a kind whose channels are known."""
    ffns: list[nn.Module] = [block.ffn for block in model.blocks if block.ffn is not None]
    for ffn in ffns:
        if type(ffn) not in READERS:
            raise Unsuited(
                f"channels: what a channel of {type(ffn).__name__} is, is not known here; the FFNs gated and mlp have "
                "them. Take away whole layers instead (part: layers)."
            )
    if not ffns:
        raise Unsuited("channels: no layer of this model has an FFN. Take away whole layers instead (part: layers).")


def say_channels(subject: Subject) -> None:
    """Write every FFN's d_ff into the fields."""
    put_sizes(settled(subject), "ffn", d_ffs(subject.model))


def d_ffs(model: LanguageModel) -> list[dict[str, int]]:
    """The d_ff of each layer; {} for one without an FFN."""
    ffns: list[Any] = [block.ffn for block in model.blocks]
    return [{} if ffn is None else {"d_ff": ffn.down.in_features} for ffn in ffns]
