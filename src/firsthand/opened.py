"""A model opened by its name: a run, a checkpoint, a folder of Hugging Face's, a GGUF file."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firsthand import checkpoint, interop, tokens
from firsthand.adapt import peft
from firsthand.adapt.attach import merged_weights
from firsthand.adapt.heads import put_head
from firsthand.adapt.prepare import make_adapter
from firsthand.adapt.saved import Adapted
from firsthand.assemble import load_weights
from firsthand.compress.saved import apart
from firsthand.config import AdaptNode, setting
from firsthand.errors import DamagedError, UserError
from firsthand.interop import Imported, models
from firsthand.interop.hugging_face.maps import their_maps
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import Unfilled, build_model
from firsthand.model.quantized import put
from firsthand.model.vocabulary import grown
from firsthand.parts import named_again
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import ChatTemplate

DEEPEST = 8
"""So many models may stand on one another."""


@dataclass(frozen=True)
class Opened:
    """A model, in evaluation mode, and what it needs to be used. `fields`: of a recipe's `model`.

    `vocab_size`: rows of its embedding, at least the tokenizer's. `chat`: None for a model that only continues texts.
    `labels`: the classes of a model that names these instead of tokens; an adapter has been folded into the weights.
    `row_tokens`: so many of a text it reads to name its class.
    """

    model: LanguageModel
    tokenizer: Tokenizer
    fields: dict[str, Any]
    vocab_size: int
    chat: ChatTemplate | None = None
    labels: tuple[str, ...] | None = None
    row_tokens: int | None = None


def load(path: str | Path, device: str = "cpu", parts: Iterable[str] = ()) -> tuple[LanguageModel, Tokenizer]:
    """The model, in evaluation mode, and the tokenizer of whatever `open_model` opens."""
    opened = open_model(path, device, parts)
    if opened.labels:
        raise UserError(
            f"{path} names classes ({', '.join(opened.labels[:4])}, …) and writes no text. Ask it with "
            "`firsthand classify`, or open it with firsthand.opened.open_model."
        )
    return opened.model, opened.tokenizer


def open_model(path: str | Path, device: str = "cpu", parts: Iterable[str] = ()) -> Opened:
    """The model of a run folder, a checkpoint, a Hugging Face folder, a GGUF file, or a name of `firsthand get`.

    Every byte of a checkpoint is verified. UserError if there is nothing, DamagedError if it is not what was saved.
    Never runs code that only the files name: a model with parts from files is opened if `parts` names them again, each
    as "model.mixer=my_idea.py:MyMixer". The file may have moved meanwhile; the part's arguments are those saved.
    """
    named = dict(setting(part) for part in parts)
    found, adapted = _found(Path(path), named)
    with Unfilled(), torch.random.fork_rng(devices=[]):  # the caller's random numbers are none of our business
        model = build_model(_with_parts(found.fields, named), found.vocab_size, files=bool(named))
    if adapted.labels:
        put_head(model, len(adapted.labels))
    for name, quantized in found.quantized.items():
        put(model, name, quantized)
    load_weights(model, found.weights, str(path))
    given = (found.tokenizer, found.fields, found.vocab_size, found.chat, adapted.labels, adapted.row_tokens)
    return Opened(model.to(device).eval(), *given)


def find(path: str | Path) -> Imported:
    """What `open_model` opens, before it is made a model: adapters are folded in, and every weight is there in full.
    UserError if it names classes."""
    found, adapted = _found(Path(path), {})
    if adapted.labels:
        raise UserError(f"{path} names classes ({', '.join(adapted.labels[:4])}, …); begin with its base instead.")
    return found.whole()


def _found(path: Path, named: dict[str, Any], depth: int = 0) -> tuple[Imported, Adapted]:
    """What lies at `path`. An adapter's base is opened too, and the adapter folded into its weights."""
    path = models.place_of(path)
    if depth > DEEPEST:
        raise UserError(f"{path} stands on another model, which stands on another, and so on without an end.")
    if peft.fits(path):
        return _of_peft(path, named, depth), Adapted()
    imported = interop.read(path)
    if imported:
        return imported, Adapted()
    saved = checkpoint.load(path)
    found, adapted = _saved(saved), Adapted.of_json(saved.config.get("adapt"), str(saved.path))
    weights = found.weights
    if adapted.base:
        where = adapted.base.found()
        below = _found(Path(where), named, depth + 1)[0].whole()
        adapted.base.check(below.weights, where)
        weights = grown(below.weights, below.tokenizer.vocab_size, found.tokenizer.vocab_size)
    if adapted.adapter or adapted.quantize or adapted.base:
        weights = folded(adapted, weights, saved.model, named)
    return replace(found, weights=weights), adapted


def _of_peft(path: Path, named: dict[str, Any], depth: int) -> Imported:
    """What an adapter of peft's makes of its base."""
    name = peft.base_of(path)
    places = [place for place in (Path(name).expanduser(), path / name) if place.exists()]
    if not places:
        raise UserError(
            f"The adapter in {path} is for {name}, which is not here: looked for {name} and {path / name}. Bring the "
            f"base here, and give its folder as base_model_name_or_path in {path / peft.CONFIG}."
        )
    below = _found(places[0], named, depth + 1)[0].whole()
    spec, learnt = peft.read_peft(path, their_maps(below))
    adapter, _ = make_adapter(AdaptNode(adapter=spec))
    return replace(below, weights=merged_weights(below.weights, learnt, adapter), quantized={})


def folded(
    adapted: Adapted, weights: dict[str, Tensor], learnt: dict[str, Tensor], named: dict[str, Any]
) -> dict[str, Tensor]:
    """The weights of a plain model that does what the base does with the adapter."""
    spec = named_again("adapt.adapter", adapted.adapter, named.pop("adapt.adapter", None))
    node = AdaptNode(adapter=spec, quantize=adapted.quantize)
    try:
        adapter, quantizer = make_adapter(node)  # a file that it names has just been named again
        return merged_weights(weights, learnt, adapter, quantizer, adapted.quantized)
    except (TypeError, RuntimeError, OverflowError) as error:
        raise DamagedError(f"The adapter {spec!r} cannot be made: {' '.join(str(error).split())[:200]}.") from None


def _saved(saved: checkpoint.Checkpoint) -> Imported:
    """What a checkpoint of ours holds."""
    tokenizer = tokens.load(saved.path)
    if tokens.fingerprint(tokenizer) != saved.config["tokenizer"]:
        raise DamagedError(
            f"The tokenizer in {saved.path} is not the one that this model was trained with, so the ids would mean "
            "other texts. Put back the tokenizer.json that was saved with the checkpoint."
        )
    chat = saved.config.get("chat")
    template = ChatTemplate.of_json(chat, tokenizer) if chat else None
    weights, quantized = apart(saved.model, saved.config.get("compress"), str(saved.path))
    return Imported(saved.config["model"], saved.config["vocab_size"], weights, tokenizer, template, quantized)


def _with_parts(fields: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """The fields of a saved model, each part from a file as `named` names it again."""
    unknown = named.keys() - {f"model.{name}" for name in fields}
    if unknown:
        raise UserError(f"A model has no part called {min(unknown)!r}. Write model.mixer=my_idea.py:MyMixer.")
    return {name: named_again(f"model.{name}", spec, named.get(f"model.{name}")) for name, spec in fields.items()}
