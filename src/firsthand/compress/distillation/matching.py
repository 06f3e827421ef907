"""A student that also does inside what its teacher does: layers that become alike, and heads that look alike.

Learned projections stand between the two where they differ. They are attached to the student as `lessons`, so that the
optimizer, clipping and other ranks see them, and are no part of the student that is saved.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from firsthand.compress.distillation.listening import Heard, lookup_of
from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel

LESSONS = "lessons"
"""The student's part that holds the projections while it learns."""


class Pairs:
    """The setting {layers: [[student's, teacher's], ...], weight: 1.0}, layers counted from 0. UserError if it is not.

    `name`: hidden or attention.
    """

    def __init__(self, name: str, setting: dict[str, Any]) -> None:
        unknown = setting.keys() - {"layers", "weight"}
        layers, self.weight = setting.get("layers"), float(setting.get("weight", 1.0))
        pairs = [pair for pair in layers if _is_pair(pair)] if isinstance(layers, list) else []
        if unknown or not pairs or len(pairs) != len(layers or []):
            raise UserError(
                f"train.objective.{name} = {setting!r}: write {{layers: [[0, 1], [1, 3]], weight: 1.0}}, a pair for "
                "each layer of the student that learns from one of the teacher's, counted from 0."
            )
        self.name, self.layers = name, [(int(own), int(other)) for own, other in pairs]

    def check(self, student: LanguageModel, teacher: LanguageModel) -> None:
        """UserError for a layer that is not there."""
        for place, (whose, model) in enumerate((("student", student), ("teacher", teacher))):
            highest = max(pair[place] for pair in self.layers)
            if highest >= len(model.blocks):
                raise UserError(
                    f"train.objective.{self.name}: the {whose} has no layer {highest}; its layers are 0 to "
                    f"{len(model.blocks) - 1}."
                )


class HiddenMatch(nn.Module):
    """weight · mean over pairs and channels of (h W - h')², h after a layer of the student, h' of the teacher.

    TinyBERT, arXiv 1909.10351, equation 8. W, learned, begins as the identity as far as the widths agree.
    """

    def __init__(self, pairs: Pairs, student: LanguageModel, teacher: LanguageModel) -> None:
        super().__init__()
        pairs.check(student, teacher)
        self.layers, self.weight = pairs.layers, pairs.weight
        own, other = (model.embedding.weight for model in (student, teacher))
        self.maps = nn.ModuleList(nn.Linear(own.shape[1], other.shape[1], bias=False) for _ in pairs.layers)
        for part in self.maps:
            nn.init.eye_(part.weight)  # type: ignore[arg-type]
        self.maps.to(own.device)

    def forward(self, student: Heard, teacher: Heard, counted: Bool[Tensor, "batch time"]) -> Float[Tensor, ""]:
        total = torch.zeros((), device=counted.device)
        for part, (own, other) in zip(self.maps, self.layers, strict=True):
            apart = part(student.hidden[own][counted]).float() - teacher.hidden[other][counted].float()
            total = total + apart.square().mean(-1).sum()
        return total * (self.weight / len(self.layers))


class AttentionMatch(nn.Module):
    """weight · mean over pairs and heads of KL(teacher's map ‖ student's), for each token that looks.

    MiniLM, arXiv 2002.10957, equation 4. Where the numbers of heads differ, each head of the teacher has a learned
    mixture of the student's maps beside it, which is a map again; it begins as their mean.
    """

    def __init__(self, pairs: Pairs, student: LanguageModel, teacher: LanguageModel) -> None:
        super().__init__()
        pairs.check(student, teacher)
        self.layers, self.weight = pairs.layers, pairs.weight
        self.shares = nn.ParameterDict()
        device = student.embedding.weight.device
        for number, (own, other) in enumerate(pairs.layers):
            lookup_of(student, own, "student"), lookup_of(teacher, other, "teacher")
            heads = [_heads(model, layer) for model, layer in ((teacher, other), (student, own))]
            if heads[0] != heads[1]:
                self.shares[str(number)] = nn.Parameter(torch.zeros(*heads, device=device))

    def forward(self, student: Heard, teacher: Heard, counted: Bool[Tensor, "batch time"]) -> Float[Tensor, ""]:
        total = torch.zeros((), device=counted.device)
        for number, (own, other) in enumerate(self.layers):
            q, p = student.maps[own].float(), teacher.maps[other].float()
            if str(number) in self.shares:
                q = torch.einsum("ts,bsij->btij", self.shares[str(number)].softmax(-1), q)
            apart = torch.xlogy(p, p) - p * q.clamp_min(torch.finfo(q.dtype).tiny).log()
            total = total + apart.sum(-1).mean(1)[counted].sum()
        return total * (self.weight / len(self.layers))


MATCHES: dict[str, Callable[..., nn.Module]] = {"hidden": HiddenMatch, "attention": AttentionMatch}


def attach(student: LanguageModel, teacher: LanguageModel, pairs: Mapping[str, Pairs]) -> None:
    """Let the student carry what stands between the two. UserError for layers that do not fit."""
    if pairs:
        student.add_module(
            LESSONS, nn.ModuleDict({name: MATCHES[name](one, student, teacher) for name, one in pairs.items()})
        )


def detach(student: LanguageModel) -> None:
    """The student without what it carried to learn."""
    student._modules.pop(LESSONS, None)


def carried(student: LanguageModel) -> dict[str, nn.Module]:
    """What stands between a student and its teacher, by name."""
    return dict(getattr(student, LESSONS, nn.ModuleDict()).items())


def is_lesson(name: str) -> bool:
    """Whether a parameter of this name is no part of the student that is saved."""
    return name.startswith(f"{LESSONS}.")


def _heads(model: LanguageModel, layer: int) -> int:
    mixer: Any = model.blocks[layer].mixer
    return int(mixer.n_heads)


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(type(n) is int and n >= 0 for n in pair)
