"""Associative recall: pairs of a key and a value, then the keys again, in another order."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from firsthand.errors import UserError
from firsthand.types import IGNORE


class Recall:
    """k₁ v₁ k₂ v₂ … then every key once more: what was its value? (Arora et al. 2024, "Zoology", arXiv 2312.04927, 3.)

    Keys of a row differ; values are drawn from as many other symbols. A row of `size` pairs is 4 · size - 1 tokens
    long, and `size` of them have a target: the value of the key that stands there.
    """

    def __init__(self, symbols: int = 64) -> None:
        self.symbols = symbols
        self.vocab_size = 2 * symbols

    def length(self, size: int) -> int:
        return 4 * size - 1

    def rows(
        self, count: int, size: int, generator: Generator
    ) -> tuple[Int[Tensor, "count time"], Int[Tensor, "count time"]]:
        if not 1 <= size <= self.symbols:
            raise UserError(f"recall: {size} pairs need as many keys, and there are 1 to {self.symbols}.")
        keys = torch.rand(count, self.symbols, generator=generator).argsort(1)[:, :size]
        values = torch.randint(self.symbols, self.vocab_size, (count, size), generator=generator)
        order = torch.rand(count, size, generator=generator).argsort(1)
        shown = torch.stack((keys, values), dim=2).flatten(1)
        asked = torch.stack((keys.gather(1, order), values.gather(1, order)), dim=2).flatten(1)
        ids = torch.cat((shown, asked), dim=1)
        targets = torch.full_like(ids, IGNORE)
        targets[:, 2 * size :: 2] = asked[:, 1::2]
        return ids[:, :-1], targets[:, :-1]
