"""From the fields of a recipe's `model` to a model."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from firsthand.errors import UserError
from firsthand.model.block import Block
from firsthand.model.blocks import BLOCKS
from firsthand.model.ffns import FFNS
from firsthand.model.initialize import INITIALIZERS
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers import MIXERS
from firsthand.model.norms import NORMS
from firsthand.model.positions import POSITIONS
from firsthand.model.presets import resolve
from firsthand.model.residuals import RESIDUALS, Residual
from firsthand.parts import PartSpec, build, import_files, split

TIE_FROM = 1024
"""From this vocabulary on, the head shares the embedding's weights unless the recipe says otherwise."""

NO_FFN = "none"
"""In the place of an FFN: the layer has none."""

SMALL = 30_000_000
"""Up to so many weights a model is sketched with numbers: torch loads for more than a second what meta tensors need."""


def build_model(fields: dict[str, Any], vocab_size: int, files: bool = True) -> LanguageModel:
    """The model that `fields` (of a ModelNode; absent ones come from the preset) describe, initialised.

    Its random weights come from torch's global generator. UserError names an unknown part, argument or impossible
    size. `files=False` refuses parts from files.
    """
    fields = resolve(fields)
    sizes = {key: fields[key] for key in ("d_model", "n_heads", "n_kv_heads", "d_head", "d_ff", "context_length")}
    plain = {"bias": fields["bias"], "dropout": fields["dropout"], "n_layers": fields["n_layers"]}
    position = build("model.position", POSITIONS, fields["position"], files, **sizes)

    def norm() -> Any:
        return build("model.norm", NORMS, fields["norm"], files, **sizes, **plain)

    residuals = [
        build("model.residual", RESIDUALS, fields["residual"], files, **sizes, **plain, layer=number)
        for number in range(fields["n_layers"])
    ]
    given = {"position": position, "vocab_size": vocab_size}
    model = LanguageModel(
        [
            _block(fields, number, residuals[number], norm, given, files, **sizes, **plain)
            for number in range(len(residuals))
        ],
        vocab_size,
        fields["d_model"],
        fields["context_length"],
        position,
        norm(),
        tied=vocab_size >= TIE_FROM if fields["tied"] is None else fields["tied"],
        softcap=fields["softcap"] or None,
        dropout=fields["dropout"],
        residuals=residuals,
    )
    build("model.initialize", INITIALIZERS, fields["initialize"], files, model=model)
    return model


class Unfilled(TorchFunctionMode):
    """Within it random weights are not drawn: for models whose weights are about to be loaded."""

    draws = (Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func in self.draws:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def sketch(fields: dict[str, Any], vocab_size: int, files: bool = True) -> LanguageModel:
    """A model to ask for its shapes; the caller's random numbers are left alone.

    A SMALL one is real, a large one is on the meta device, where nothing is allocated.
    """
    if files:
        import_parts(fields)
    sizes = resolve(fields)
    weights = sizes["n_layers"] * sizes["d_model"] * (4 * sizes["d_model"] + 3 * sizes["d_ff"])
    where = torch.device("cpu" if weights <= SMALL else "meta")
    with where, torch.random.fork_rng(devices=[]):
        return build_model(fields, vocab_size, files)


def import_parts(fields: dict[str, Any]) -> None:
    """Import the files that `fields` name: outside of any mode in which their own tensors would have no numbers."""
    for key, spec in fields.items():
        import_files(f"model.{key}", spec)


def _block(
    fields: dict[str, Any],
    number: int,
    residual: Residual,
    norm: Callable[[], nn.Module],
    for_mixers: dict[str, Any],
    files: bool,
    **offered: Any,
) -> nn.Module:
    """Layer `number`."""
    mixer, ffn = _tile(fields["mixer"], number), _tile(fields["ffn"], number)
    some = ffn != NO_FFN
    block: nn.Module = build(
        "model.block",
        BLOCKS,
        fields["block"],
        files,
        mixer=build("model.mixer", MIXERS, mixer, files, **offered, **for_mixers, layer=number),
        ffn=build("model.ffn", FFNS, ffn, files, **offered, layer=number) if some else None,
        mixer_norm=norm(),
        mixer_after_norm=norm(),
        ffn_norm=norm() if some else None,
        ffn_after_norm=norm() if some else None,
        residual=residual,
        d_model=fields["d_model"],
        layer=number,
    )
    _honoured(residual, block, fields)
    if isinstance(block, Block):  # another one may remember in its own way
        _remembers(block.mixer, mixer)
    return block


def _remembers(mixer: nn.Module, spec: PartSpec) -> None:
    """UserError if a mixer lacks a method that writing text will call, long after training has begun."""
    for method, wanted in (("initial_state", "batch, length"), ("state_size", "length")):
        if not callable(getattr(mixer, method, None)):
            name, _ = split(spec)
            raise UserError(
                f"model.mixer: {name} has no method {method}({wanted}), which is called to write text. Add it; "
                f"`firsthand check mixer {name}` says what else a mixer needs, docs/your-own-part.md shows one."
            )


def _tile(pattern: PartSpec | list[PartSpec], number: int) -> PartSpec:
    """Layer `number` of a pattern that repeats: [a, a, b] gives a a b a a b …"""
    return pattern[number % len(pattern)] if isinstance(pattern, list) else pattern


def _honoured(residual: Residual, block: nn.Module, fields: dict[str, Any]) -> None:
    """UserError if the layer would not use what the residual does."""
    if type(residual).join is not Residual.join and residual not in block.modules():
        raise UserError(
            f"model.residual = {fields['residual']!r} changes how parts are added to the stream, but the layers of "
            f"model.block = {fields['block']!r} have no argument `residual`. Give their constructor one and add with "
            "residual.join(x, y), or set model.residual=plain."
        )
