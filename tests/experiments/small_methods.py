"""Methods for tests of plans, as somebody's own file: rounding to the nearest, a bit of training, a refusal."""

from firsthand.compress.subject import linear_maps
from firsthand.errors import UserError
from firsthand.model.quantized import put
from firsthand.ops.quantized import Affine, Quantized


class Rounded:
    def __init__(self, bits=8, group=None, symmetric=True, targets=None, embedding=None):
        self.format, self.targets, self.embedding = Affine(bits, group, symmetric), targets, embedding

    def __call__(self, subject, given):
        for name, part in linear_maps(subject.model).items():
            if self.targets is None or name in self.targets:
                put(subject.model, name, Quantized.of(part.weight, self.format))
        for name in ("embedding", "unembedding") if self.embedding else ():
            put(subject.model, name, Quantized.of(getattr(subject.model, name).weight, Affine(**self.embedding)))
        subject.notes.append(f"looked at {given.windows.numel()} tokens")


class Trained:
    def __init__(self, steps=3, settings=None):
        self.settings = {"train.steps": steps, "data.batch_tokens": 128, "data.row_tokens": 32} | (settings or {})

    def __call__(self, subject, given):
        given.train(subject, self.settings)


class Refused:
    def __call__(self, subject, given):
        raise UserError("This layer cannot be packed.")
