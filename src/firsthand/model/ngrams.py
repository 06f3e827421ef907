"""A layer that looks up what the last two, three, … tokens together mean, before it does anything else."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model.canon import Canon
from firsthand.model.mixers.segments import segments
from firsthand.model.residuals import Residual
from firsthand.types import Place, State

BASE, MODULUS = 1_000_003, (1 << 31) - 1
"""Primes. An n-gram's ids are the digits of a number in this base, kept below the modulus; its remainder is the row."""


@dataclass
class NgramState:
    """What the layer remembers beside its tables, the last tokens (0: none, else 1 + id), the last one's document."""

    within: State
    before: Int[Tensor, "batch past"]
    document: Int[Tensor, " batch"] | None = None


class Ngrams(Canon):
    """x + gain · Σ_n table_n[the last n tokens], then the layer `canon`; in other `layers` that layer alone.

    Each of `orders` has a table of `rows` rows; which of them belongs to n tokens is a hash of their ids, so several
    n-grams may share one (Svenstrup et al. 2017, arXiv 1709.03933; n-grams at the foot of a language model: Huang et
    al. 2025, arXiv 2501.16975, section 3). A lookup costs no product, whatever the number of rows; all of them are
    parameters that the optimizer visits. An n-gram begins within its document. The tables begin at 0, and `gain`
    multiplies their learning rate, in effect.
    """

    def __init__(
        self,
        mixer: nn.Module,
        ffn: nn.Module | None,
        mixer_norm: nn.Module,
        ffn_norm: nn.Module | None,
        d_model: int,
        layer: int = 0,
        residual: Residual | None = None,
        width: int = 4,
        scale: float = 8.0,
        orders: Sequence[int] = (2, 3, 4),
        rows: int = 1 << 15,
        gain: float = 8.0,
        layers: Sequence[int] = (0,),
    ) -> None:
        if not orders or min(orders) < 2 or len(set(orders)) < len(orders):
            raise UserError(f"model.block: orders = {list(orders)}; name n-grams of at least two tokens, each once.")
        super().__init__(mixer, ffn, mixer_norm, ffn_norm, d_model, residual, width, scale)
        self.orders, self.gain, self.past = tuple(orders), gain, max(orders) - 1
        own = self.orders if layer in layers else ()
        # called tables, since Muon takes what is called a weight
        self.tables = nn.ParameterList([nn.Parameter(torch.zeros(rows, d_model)) for _ in own])

    def initial_state(self, batch: int, length: int) -> State:
        within = super().initial_state(batch, length)
        if not len(self.tables):
            return within
        return NgramState(within, torch.zeros(batch, self.past, dtype=torch.long, device=self.tables[0].device))

    def state_size(self, length: int) -> int:
        return super().state_size(length) + (self.past if len(self.tables) else 0)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State, Float[Tensor, ""]]:
        if not len(self.tables):
            return super().forward(x, place, state)
        found, after = self.look_up(place, state)
        x, within, extra_loss = super().forward(x + found.to(x.dtype), place, state and state.within)
        if state is None:
            return x, None, extra_loss
        last = state.document if place.document is None else place.document[:, -1]
        return x, NgramState(within, after, last), extra_loss

    def look_up(
        self, place: Place, state: NgramState | None
    ) -> tuple[Float[Tensor, "batch time d_model"], Int[Tensor, "batch past"]]:
        """What is added to the stream, and the tokens to remember. UserError if nobody said which tokens these are."""
        if place.ids is None:
            raise UserError(
                "model.block=ngrams looks tokens up, but this Place does not say which they are. Make it with "
                "Place.of(ids), or give it `ids`; inputs without tokens (pictures) cannot have it."
            )
        past, time = self.past, place.ids.shape[1]
        before = place.ids.new_zeros(len(place.ids), past) if state is None else state.before
        ids = torch.cat((before, place.ids + 1), dim=1)
        segment, _ = segments(place, None if state is None else state.document)
        numbers = torch.zeros_like(ids) if segment is None else torch.cat((torch.zeros_like(before), segment), dim=1)
        key, power, found = ids[:, past:], 1, torch.zeros((), device=ids.device)
        for back in range(1, past + 1):
            there = slice(past - back, past - back + time)
            power = power * BASE % MODULUS
            same = numbers[:, there] == numbers[:, past:]
            key = (key + torch.where(same, ids[:, there], 0) * power) % MODULUS
            if back + 1 in self.orders:
                table = self.tables[self.orders.index(back + 1)]
                found = found + nn.functional.embedding(key % len(table), table)
        return self.gain * found, torch.where(numbers[:, time:] == numbers[:, -1:], ids[:, time:], 0)
