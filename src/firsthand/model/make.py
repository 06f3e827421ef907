"""From the fields of a recipe's `model` to a model."""

from typing import Any

from torch import nn

from firsthand.model.block import Block
from firsthand.model.ffns import FFNS
from firsthand.model.initialize import INITIALIZERS
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers import MIXERS
from firsthand.model.norms import NORMS
from firsthand.model.positions import POSITIONS
from firsthand.model.presets import resolve
from firsthand.parts import PartSpec, build

TIE_FROM = 1024
"""From this vocabulary on, the head shares the embedding's weights unless the recipe says otherwise."""

NO_FFN = "none"
"""In the place of an FFN: the layer has none."""


def build_model(fields: dict[str, Any], vocab_size: int, files: bool = True) -> LanguageModel:
    """The model that `fields` (of a ModelNode; absent ones come from the preset) describe, initialised.

    Its random weights come from torch's global generator. Under `torch.device("meta")` nothing is allocated.
    UserError names an unknown part, argument or impossible size. `files=False` refuses parts from files.
    """
    fields = resolve(fields)
    sizes = {key: fields[key] for key in ("d_model", "n_heads", "n_kv_heads", "d_head", "d_ff", "context_length")}
    plain = {"bias": fields["bias"], "dropout": fields["dropout"], "n_layers": fields["n_layers"]}
    position = build("model.position", POSITIONS, fields["position"], files, **sizes)

    def norm() -> Any:
        return build("model.norm", NORMS, fields["norm"], files, **sizes, **plain)

    def block(number: int) -> nn.Module:
        mixer, ffn = _tile(fields["mixer"], number), _tile(fields["ffn"], number)
        return Block(
            build("model.mixer", MIXERS, mixer, files, **sizes, **plain, position=position, layer=number),
            None if ffn == NO_FFN else build("model.ffn", FFNS, ffn, files, **sizes, **plain, layer=number),
            norm(),
            norm(),
        )

    model = LanguageModel(
        [block(number) for number in range(fields["n_layers"])],
        vocab_size,
        fields["d_model"],
        fields["context_length"],
        position,
        norm(),
        tied=vocab_size >= TIE_FROM if fields["tied"] is None else fields["tied"],
        softcap=fields["softcap"] or None,
        dropout=fields["dropout"],
    )
    build("model.initialize", INITIALIZERS, fields["initialize"], files, model=model)
    return model


def _tile(pattern: PartSpec | list[PartSpec], number: int) -> PartSpec:
    """Layer `number` of a pattern that repeats: [a, a, b] gives a a b a a b …"""
    return pattern[number % len(pattern)] if isinstance(pattern, list) else pattern
