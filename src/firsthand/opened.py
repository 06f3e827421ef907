"""A model opened by its name: a run, a checkpoint, a folder of Hugging Face's, a GGUF file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from firsthand import checkpoint, interop, tokens
from firsthand.assemble import load_weights
from firsthand.config import setting
from firsthand.errors import DamagedError, UserError
from firsthand.interop import Imported, models
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model
from firsthand.parts import named_again
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import ChatTemplate


@dataclass(frozen=True)
class Opened:
    """A model, in evaluation mode, and what it needs to be used. `fields`: of a recipe's `model`.

    `vocab_size`: rows of its embedding, at least the tokenizer's. `chat`: None for a model that only continues texts.
    """

    model: LanguageModel
    tokenizer: Tokenizer
    fields: dict[str, Any]
    vocab_size: int
    chat: ChatTemplate | None = None


def load(path: str | Path, device: str = "cpu", parts: Iterable[str] = ()) -> tuple[LanguageModel, Tokenizer]:
    """The model, in evaluation mode, and the tokenizer of whatever `open_model` opens."""
    opened = open_model(path, device, parts)
    return opened.model, opened.tokenizer


def open_model(path: str | Path, device: str = "cpu", parts: Iterable[str] = ()) -> Opened:
    """The model of a run folder, a checkpoint, a Hugging Face folder, a GGUF file, or a name of `firsthand get`.

    Every byte of a checkpoint is verified. UserError if there is nothing, DamagedError if it is not what was saved.
    Never runs code that only the files name: a model with parts from files is opened if `parts` names them again, each
    as "model.mixer=my_idea.py:MyMixer". The file may have moved meanwhile; the part's arguments are those saved.
    """
    named = dict(setting(part) for part in parts)
    place = models.place_of(path)
    found = interop.read(place) or _saved(place)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are none of our business
        model = build_model(_with_parts(found.fields, named), found.vocab_size, files=bool(named))
    load_weights(model, found.weights, str(path))
    return Opened(model.to(device).eval(), found.tokenizer, found.fields, found.vocab_size, found.chat)


def _saved(path: Path) -> Imported:
    """What a checkpoint of ours holds."""
    saved = checkpoint.load(path)
    tokenizer = tokens.load(saved.path)
    if tokens.fingerprint(tokenizer) != saved.config["tokenizer"]:
        raise DamagedError(
            f"The tokenizer in {saved.path} is not the one that this model was trained with, so the ids would mean "
            "other texts. Put back the tokenizer.json that was saved with the checkpoint."
        )
    chat = saved.config.get("chat")
    template = ChatTemplate.of_json(chat, tokenizer) if chat else None
    return Imported(saved.config["model"], saved.config["vocab_size"], saved.model, tokenizer, template)


def _with_parts(fields: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """The fields of a saved model, each part from a file as `named` names it again."""
    unknown = named.keys() - {f"model.{name}" for name in fields}
    if unknown:
        raise UserError(f"A model has no part called {min(unknown)!r}. Write model.mixer=my_idea.py:MyMixer.")
    return {name: named_again(f"model.{name}", spec, named.get(f"model.{name}")) for name, spec in fields.items()}
