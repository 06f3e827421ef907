"""Predict the next token: the objective of pretraining."""

from firsthand.model.language_model import LanguageModel
from firsthand.ops.cross_entropy import linear_cross_entropy
from firsthand.types import Batch, Loss


class NextToken:
    """The sum of -ln p(target) over all targets but IGNORE (nats), plus what the FFNs ask for (zero unless experts)."""

    def __call__(self, model: LanguageModel, batch: Batch) -> Loss:
        x = model.embed(batch.inputs, batch.place)
        x, _, extra_loss = model.trunk(x, batch.place)
        nats, count = linear_cross_entropy(model.final(x), model.head_weight, batch.targets, model.softcap)
        return Loss(nats + extra_loss * count, count, {"nats": nats.detach()})
