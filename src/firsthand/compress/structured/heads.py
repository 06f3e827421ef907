"""Fewer heads of attention."""

import copy
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from firsthand.compress.structured.least_squares import SCORES, Normal, check_score, check_share, refitted
from firsthand.compress.structured.specs import put_sizes, settled
from firsthand.compress.structured.walk import check_subject, narrow, put_weight, walk
from firsthand.compress.subject import Given, Subject, Unsuited
from firsthand.errors import UserError, suggest
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.linear_attention import LinearAttention
from firsthand.model.positions.alibi import ALiBi
from firsthand.model.value_embedding import ValueEmbedding

KINDS = (CausalSelfAttention, LinearAttention)
UNITS = ("query", "group")


class Heads:
    """Take away the `share` of a layer's heads that its output map misses least (ZipLM, arXiv 2302.04089, section 3).

    `unit`: "query" heads, equally many of each group that shares keys and values, since groups are equal; or a whole
    "group", its head of keys and values with it, as where heads share nothing. At least one stays, in each group or of
    the groups. `score`, `compensate` and `damping` are those of `channels`. Layers that are no attention stay.
    """

    def __init__(
        self,
        share: float = 0.25,
        unit: str = "query",
        score: str = "obs",
        compensate: bool = True,
        damping: float = 0.01,
    ) -> None:
        check_share("heads", share)
        check_score("heads", score, damping)
        if unit not in UNITS:
            raise UserError(f"heads: there is no unit {unit!r}. {suggest(unit, UNITS)}")
        self.share, self.unit, self.score = share, unit, SCORES[score]
        self.compensate, self.damping = compensate, damping

    def __call__(self, subject: Subject, given: Given) -> None:
        check_subject("heads", subject)
        check_mixers(subject.model)
        walk(subject.model, copy.deepcopy(subject.model), given.windows, {"mixer": self.change}, done=given.done)
        say_heads(subject)

    def change(self, number: int, block: Any, normal: Normal) -> None:
        """Take heads from a layer, or at least fit its output map to what it reads."""
        mixer = block.mixer
        if type(mixer) not in KINDS:
            return
        there, stay, sets = self.units(mixer)
        weight = mixer.out.weight.detach()
        columns = torch.arange(weight.shape[1])
        if stay < there:
            width = len(columns) // there // sets
            columns = self.score(weight, normal, stay, width, sets, self.damping)
        fitted = refitted(weight, normal, columns, self.damping) if self.compensate else weight[:, columns]
        put_weight(mixer.out, fitted)
        heads = columns.view(-1, mixer.d_head)[:, 0] // mixer.d_head
        keep_heads(mixer, heads, mixer.n_heads // mixer.n_kv_heads if self.whole(mixer) else 0)

    def whole(self, mixer: Any) -> bool:
        """Whether keys and values leave with their queries."""
        return self.unit == "group" or mixer.n_heads == mixer.n_kv_heads

    def units(self, mixer: Any) -> tuple[int, int, int]:
        """How many units each set of them has, how many of these stay, and how many sets there are."""
        there, sets = (mixer.n_heads // mixer.n_kv_heads, mixer.n_kv_heads)
        if self.whole(mixer):
            there, sets = mixer.n_kv_heads, 1
        return there, max(1, round((1 - self.share) * there)), sets

    def saves(self, mixer: Any) -> int:
        """How many weights will leave with the heads."""
        if type(mixer) not in KINDS:
            return 0
        there, stay, _ = self.units(mixer)
        maps = (mixer.query, mixer.out, *((mixer.key, mixer.value) if self.whole(mixer) else ()))
        return int(sum(each.weight.numel() for each in maps) * (there - stay) // there)


def keep_heads(mixer: Any, heads: Int[Tensor, " kept"], group: int) -> None:
    """Let these query heads stay; if they come in groups of `group`, only those groups' keys and values."""
    narrow(mixer.query, rows=_rows(heads, mixer.d_head))
    sinks = getattr(getattr(mixer, "lookup", None), "sinks", None)
    if sinks is not None:
        mixer.lookup.sinks = nn.Parameter(sinks.detach()[heads])
    mixer.n_heads = len(heads)
    if group:
        shared = heads[::group] // group
        for name in ("key", "value"):
            narrow(getattr(mixer, name), rows=_rows(shared, mixer.d_head))
        embedding = getattr(mixer, "value_embedding", None)
        if isinstance(embedding, ValueEmbedding):
            embedding.table = nn.Parameter(embedding.table.detach()[:, _rows(shared, mixer.d_head)])
            narrow(embedding.gate, rows=shared)
        mixer.n_kv_heads = len(shared)


def _rows(heads: Int[Tensor, " kept"], d_head: int) -> Int[Tensor, " rows"]:
    """The numbers of the channels of these heads."""
    return (heads[:, None] * d_head + torch.arange(d_head)).flatten()


def check_mixers(model: LanguageModel) -> None:
    """Unsuited unless some layer has heads that can be taken away."""
    reason = why_not(model)
    if reason:
        raise Unsuited(f"heads: {reason}. Take away channels or layers instead.")


def why_not(model: LanguageModel) -> str:
    """Why no heads can be taken from this model; empty if they can."""
    if isinstance(model.position, ALiBi):
        return (
            "model.position=alibi gives each head its slope by its number and by how many there are; without some of "
            "them the others would look elsewhere"
        )
    if any(type(block.mixer) in KINDS for block in model.blocks):
        return ""
    mixers = ", ".join(sorted({type(block.mixer).__name__ for block in model.blocks}))
    return f"the mixers of this model ({mixers}) have no heads that are known here; attention and linear_attention have"


def say_heads(subject: Subject) -> None:
    """Write every layer's heads into the fields."""
    mixers: list[Any] = [block.mixer for block in subject.model.blocks]
    names = ("n_heads", "n_kv_heads", "d_head")
    sizes = [{key: getattr(mixer, key) for key in names} if type(mixer) in KINDS else {} for mixer in mixers]
    put_sizes(settled(subject), "mixer", sizes)
