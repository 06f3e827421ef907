"""Somebody else's way from scores to the next token."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.parts import find, takes


class OwnSampler:
    """The function file.py:Name, `(logits, **settings) -> ids`, in the place of `sampling.sample`.

    It gets those of temperature, top_k, top_p and so on that it names, and `generator`, seeded, if it names that.
    UserError for a setting that was chosen and that it does not name, and for ids that are none.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.function = name, find("--sampler", {}, name)
        self.names, self.takes_any = takes(self.function)
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, logits: Float[Tensor, "batch vocab_size"], settings: dict[str, Any]) -> Int[Tensor, " batch"]:
        usual = {"temperature": 1.0, "repetition_penalty": 1.0}
        chosen = {key: value for key, value in settings.items() if value != usual.get(key)}
        lacking = [key for key in chosen if not (self.takes_any or key in self.names)]
        if lacking:
            raise UserError(f"{self.name} has no argument {lacking[0]!r}. Give it one, or leave that option out.")
        if "generator" in self.names:
            chosen["generator"] = self.generator
        ids = self.function(logits.clone(), **chosen)
        if not isinstance(ids, Tensor) or ids.shape != logits.shape[:1] or ids.is_floating_point():
            found = f"{tuple(ids.shape)} of {ids.dtype}" if isinstance(ids, Tensor) else type(ids).__name__
            raise UserError(f"{self.name} should give one whole number for each row, {len(logits)}, and gave {found}.")
        if int(ids.min()) < 0 or int(ids.max()) >= logits.shape[1]:
            raise UserError(f"{self.name} gave an id outside the vocabulary of {logits.shape[1]}: {ids.tolist()}.")
        return ids.long()
