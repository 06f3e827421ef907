"""How well a model predicts a text: nats per token, perplexity, bits per byte."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from firsthand.model.language_model import LanguageModel
from firsthand.train.objectives import Objective
from firsthand.train.precision import compute_in
from firsthand.types import Batch


@dataclass(frozen=True)
class Score:
    """The summed surprise of a text and the number of tokens it was summed over."""

    nats: float
    targets: int

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.targets

    @property
    def perplexity(self) -> float:
        return perplexity(self.nats_per_token)

    def bits_per_byte(self, n_bytes: int) -> float:
        """The length of the text's code, in bits, over its length in UTF-8 bytes: comparable across tokenizers."""
        return bits_per_byte(self.nats, n_bytes)


def perplexity(nats_per_token: float) -> float:
    """Among how many equally likely tokens one would be as unsure; inf from 700 nats on, near where floats end."""
    return math.exp(nats_per_token) if nats_per_token < 700 else math.inf


def bits_per_byte(nats: float, n_bytes: int) -> float:
    """The surprise of a whole text, in bits, for each of its `n_bytes` bytes."""
    return nats / math.log(2) / n_bytes


def score(
    model: LanguageModel,
    batches: Iterable[Batch],
    objective: Objective,
    precision: str = "fp32",
) -> Score:
    """The objective summed over all batches, in evaluation mode and without gradients; the mode is put back."""
    training = model.training
    model.eval()
    device = model.embedding.weight.device
    nats, targets = 0.0, 0
    with torch.inference_mode(), compute_in(precision, device):
        for batch in batches:
            loss = objective(model, batch)
            nats += float(loss.value)
            targets += int(loss.count)
    model.train(training)
    return Score(nats, targets)
