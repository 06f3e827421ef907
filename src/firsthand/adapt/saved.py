"""What a checkpoint of an adapted model says, beside the weights that learnt."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firsthand.errors import DamagedError, UserError
from firsthand.parts import PartSpec


@dataclass(frozen=True)
class Base:
    """The model that another one began with: how it was named, where that was, and what its weights were.

    The name is a path, or that of a model which `firsthand get` fetches.
    """

    name: str
    path: str
    sha256: str

    @classmethod
    def of(cls, name: str, path: Path, weights: Mapping[str, Tensor]) -> "Base":
        return cls(name, str(path.expanduser().absolute()), fingerprint(weights))

    def found(self) -> str:
        """Where to open it: where it was, or what has its name here. UserError if it is gone."""
        for place in (self.path, self.name):
            if Path(place).exists():
                return place
        if len(Path(self.name).parts) == 1:
            return self.name
        raise UserError(
            f"This checkpoint holds only what was learnt on top of {self.name!r}, and that model is gone: looked for "
            f"{self.path} and {self.name}. Put it back, or link it there."
        )

    def check(self, weights: Mapping[str, Tensor], where: str) -> None:
        """UserError unless these are the weights that the model began with."""
        if fingerprint(weights) != self.sha256:
            raise UserError(
                f"This checkpoint was learnt on top of {self.name!r}, whose weights have changed: those in {where} "
                f"have another SHA-256 than {self.sha256[:12]}…, so together they would make another model. Put the "
                "old ones back."
            )


@dataclass(frozen=True)
class Adapted:
    """`quantized`: the maps that stand in few bits. `labels`: of a model that names classes,
    after it has read at most `row_tokens` of a text.

    `base`: None if the checkpoint has all weights itself; else it has only those that learnt.
    """

    adapter: PartSpec | None = None
    quantize: PartSpec | None = None
    quantized: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    row_tokens: int | None = None
    base: Base | None = None

    def to_json(self) -> dict[str, Any] | None:
        """None for a model that is like any other."""
        return asdict(self) if self != Adapted() else None

    @classmethod
    def of_json(cls, tree: Any, where: str) -> "Adapted":
        """What `to_json` gave. DamagedError for what it never gives."""
        try:
            fields = dict(tree or {})
            base = Base(**fields.pop("base")) if fields.get("base") else None
            quantized, labels = fields.pop("quantized", ()), fields.pop("labels", None)
            texts = [*quantized, *(labels or ()), *(asdict(base).values() if base else ())]
            if fields.get("row_tokens") is not None and not 0 < int(fields["row_tokens"]) < 1 << 31:
                raise ValueError("row_tokens")
            if quantized and not fields.get("quantize"):
                raise ValueError("nothing has rounded what is rounded")
            if not all(isinstance(fields.get(key), str | dict | None) for key in ("adapter", "quantize")):
                raise TypeError("a part has no name")
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a name is no text")
            return cls(**fields | {"quantized": tuple(quantized), "labels": labels and tuple(labels), "base": base})
        except (TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"{where}: what it says about its adapter is damaged ({error}).") from None


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, dtypes, shapes and numbers, in the order of the names: whatever file they came from."""
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
