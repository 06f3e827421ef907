"""Copying: a string of symbols, a mark, and the string again."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from firsthand.types import IGNORE


class Copying:
    """x₁ … x_size mark x₁ … x_size (Jelassi et al. 2024, "Repeat after me", arXiv 2402.01032, section 3).

    A row is 2 · size tokens long; from the mark on, every token has the next symbol of the string as its target.
    """

    def __init__(self, symbols: int = 32) -> None:
        self.symbols = symbols
        self.vocab_size = symbols + 1

    def length(self, size: int) -> int:
        return 2 * size

    def rows(
        self, count: int, size: int, generator: Generator
    ) -> tuple[Int[Tensor, "count time"], Int[Tensor, "count time"]]:
        string = torch.randint(self.symbols, (count, size), generator=generator)
        mark = torch.full((count, 1), self.symbols)
        ids = torch.cat((string, mark, string), dim=1)
        targets = ids.roll(-1, dims=1)
        targets[:, :size] = IGNORE
        return ids[:, :-1], targets[:, :-1]
