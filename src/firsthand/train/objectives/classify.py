"""Name the class of a text: the objective of a model whose head names classes."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.types import IGNORE, Batch, Loss


class Classify:
    """The sum of -weight · ln p(class) over the tokens that have a target: the last one of each text (nats).

    `class_weights`: "none"; "balanced", which makes each class count as if all were equally frequent, rows / (classes ·
    rows of the class); or a number for each class. Weights are on average 1 over the training rows if balanced, so the
    sum is divided by the number of rows as always. `class_counts`: rows of each class to train on.
    """

    def __init__(self, class_weights: str | list[float] = "none", class_counts: Sequence[int] | None = None) -> None:
        self.weights: torch.Tensor | None = None
        if class_weights == "balanced":
            counts = torch.tensor(class_counts or [1], dtype=torch.float32)
            self.weights = counts.sum() / (len(counts) * counts.clamp_min(1))
        elif class_weights != "none":
            if isinstance(class_weights, str) or (class_counts and len(class_weights) != len(class_counts)):
                raise UserError(
                    f"train.objective: class_weights={class_weights!r} is none of none, balanced, or a list with a "
                    f"number for each of the {len(class_counts or ()) or ''} classes."
                )
            self.weights = torch.tensor([float(weight) for weight in class_weights])

    def __call__(self, model: LanguageModel, batch: Batch) -> Loss:
        x, _, extra_loss = model.trunk(model.embed(batch.inputs, batch.place), batch.place)
        last = batch.targets != IGNORE
        targets, count = batch.targets[last], last.sum()
        logits = model.head(x[last]).float()
        weights = None if self.weights is None else self.weights.to(logits.device)
        nats = F.cross_entropy(logits, targets, weight=weights, reduction="sum")
        right = (logits.detach().argmax(-1) == targets).sum()
        return Loss(nats + extra_loss * count, count, {"nats": nats.detach(), "right": right})
