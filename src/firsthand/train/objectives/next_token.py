"""Predict the next token: the objective of pretraining."""

from firsthand.model.language_model import LanguageModel
from firsthand.ops.cross_entropy import cross_entropy as shipped
from firsthand.ops.cross_entropy import linear_cross_entropy
from firsthand.parts import find
from firsthand.types import Batch, Loss


class NextToken:
    """The sum of -ln p(target) over all targets but IGNORE (nats), plus what the FFNs ask for (zero unless experts).

    `cross_entropy`: file.py:Name of a function that computes the sum from logits, as `ops.cross_entropy.cross_entropy`
    does; absent: the shipped one that never holds all logits.
    """

    def __init__(self, cross_entropy: str | None = None) -> None:
        self.own = find("train.objective.cross_entropy", {"plain": shipped}, cross_entropy) if cross_entropy else None

    def __call__(self, model: LanguageModel, batch: Batch) -> Loss:
        x = model.embed(batch.inputs, batch.place)
        x, _, extra_loss = model.trunk(x, batch.place)
        if self.own:
            nats, count = self.own(model.head(x), batch.targets)
        else:
            nats, count = linear_cross_entropy(model.final(x), model.head_weight, batch.targets, model.softcap)
        return Loss(nats + extra_loss * count, count, {"nats": nats.detach()})
