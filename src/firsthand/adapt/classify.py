"""A model that names classes at work: texts in, probabilities out."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.adapt.heads import pool_last
from firsthand.data.labelled import Examples, in_order
from firsthand.model.language_model import LanguageModel
from firsthand.tokens import Tokenizer
from firsthand.types import Place

ROWS = 32


def encoded(tokenizer: Tokenizer, text: str, at_most: int) -> list[int]:
    """The end-of-text mark, where documents begin in pretraining, and the text; its first tokens if it is long."""
    return [tokenizer.end_of_text, *tokenizer.encode(text)][:at_most]


@torch.inference_mode()
def class_logits(
    model: LanguageModel, examples: Examples, row_tokens: int, rows: int = ROWS
) -> Float[Tensor, "texts classes"]:
    """The head's logits for each text, in evaluation mode; the mode is put back.

    `row_tokens`: so many of a text are read.
    """
    training, device = model.training, model.embedding.weight.device
    model.eval()
    found: dict[int, Tensor] = {}
    lengths = examples.lengths(row_tokens)
    for numbers, batch in in_order(examples, row_tokens, rows, device):
        place = Place.of(batch.inputs)
        x, _, _ = model.trunk(model.embed(batch.inputs, place), place)
        logits = model.head(pool_last(x, lengths[numbers].to(device))).float().cpu()
        found.update(zip(numbers, logits, strict=True))
    model.train(training)
    return torch.stack([found[number] for number in range(len(examples))])


def classify(
    model: LanguageModel, tokenizer: Tokenizer, labels: Sequence[str], texts: Sequence[str], row_tokens: int
) -> list[dict[str, float]]:
    """The probability of every class for each text, the likeliest first."""
    rows = [encoded(tokenizer, text, row_tokens) for text in texts]
    chances = class_logits(model, Examples.of(rows, [0] * len(rows)), row_tokens).double().softmax(-1)
    return [dict(sorted(zip(labels, row, strict=True), key=lambda item: -item[1])) for row in chances.tolist()]
