"""What a run begins with where the recipe names a model: its weights, fields, tokenizer and template."""

from dataclasses import dataclass
from typing import Any

from firsthand import opened
from firsthand.adapt.saved import Base
from firsthand.assemble import load_weights
from firsthand.config import Config, ModelNode, replaced
from firsthand.errors import UserError
from firsthand.interop import Imported, models
from firsthand.model.language_model import LanguageModel
from firsthand.model.presets import resolve
from firsthand.model.vocabulary import grown
from firsthand.parts import named_again, split
from firsthand.tokens import Tokenizer

OF_WEIGHTS = "weights"
"""`tokenizer: weights`: the one that model.weights brings."""

FREE = ("weights", "weights_sha256", "dropout")
"""Fields of a recipe's `model` that need not be those of the model in `weights`."""


@dataclass(frozen=True)
class Origin:
    """A model to begin with. `base`: how it was named, and the SHA-256 of its weights."""

    found: Imported
    base: Base

    def put_into(self, model: LanguageModel, tokens: int) -> None:
        """Give a model of the same fields, for `tokens` tokens, these weights; new tokens begin as the mean."""
        load_weights(model, grown(self.found.weights, self.found.tokenizer.vocab_size, tokens), self.base.name)

    def check_new_tokens(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        """UserError if the tokenizer has tokens that the model has never seen and could not learn."""
        new = tokenizer.vocab_size - self.found.tokenizer.vocab_size
        if new > 0 and not model.embedding.weight.requires_grad:
            raise UserError(
                f"{self.base.name} has never seen the {new} marks that conversations need, and with adapt.train="
                "adapter or last_block its table of tokens stays as it is, so it could not tell them apart. Let all of "
                "it learn (adapt.train=all), or tune a model that knows conversations."
            )


def begin(config: Config, stored: Config | None = None) -> tuple[Config, Origin | None]:
    """The config with every field that `model.weights` decides, and that model; None where the recipe names none.

    `stored`: the config of the run that is continued. Its checkpoints have all that is needed unless they hold only
    what learns, so the model need not be there any more. UserError where the recipe says otherwise than the model.
    """
    name = config.model.weights
    if name is None:
        if split(config.tokenizer)[0] == OF_WEIGHTS:
            raise UserError("tokenizer=weights is the tokenizer of model.weights, and the recipe names no such model.")
        return config, None
    _no_other_tokenizer(config)
    if (
        stored is not None
        and stored.model.weights == name
        and config.adapt.policy == "all"
        and not config.adapt.adapter
    ):
        return _agreed(config, stored.model.model_dump()), None
    found = opened.find(name)
    base = Base.of(name, models.place_of(name), found.weights)
    pinned = config.model.weights_sha256
    if pinned and pinned != base.sha256:
        raise UserError(
            f"model.weights={name} is not the model that model.weights_sha256 names: its weights have the SHA-256 "
            f"{base.sha256}. Take the right one, or leave the setting out."
        )
    fields = resolve(found.fields) | {"tied": "unembedding.weight" not in found.weights, "weights_sha256": base.sha256}
    return _agreed(config, fields), Origin(found, base)


def _agreed(config: Config, fields: dict[str, Any]) -> Config:
    """The config with the fields of the model that it begins with. UserError where it gives others.

    A part from a file is imported only if the recipe names it again: the model's own files are data.
    """
    values: dict[str, Any] = {}
    for key, value in fields.items():
        given = getattr(config.model, key)
        if key == "preset" and given == ModelNode().preset:
            given = None  # the default, which nobody may have asked for
        if key in FREE:
            value = value if given is None else given
        elif ".py:" in str(value):
            value = named_again(f"model.{key}", value, given)
        elif given is not None and _plain(given) != _plain(value):
            raise UserError(
                f"model.{key} = {given!r}, but the model in model.weights = {config.model.weights} has {value!r}, "
                "which its weights were trained with. Leave the setting out."
            )
        values[f"model.{key}"] = value
    values["model.weights"] = config.model.weights
    return replaced(config, values | {"tokenizer": OF_WEIGHTS})


def _plain(value: Any) -> Any:
    """A part with arguments or without, in one form."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {"part": value} if isinstance(value, str) else value


def _no_other_tokenizer(config: Config) -> None:
    default = Config().tokenizer
    if config.tokenizer != default and split(config.tokenizer)[0] != OF_WEIGHTS:
        raise UserError(
            f"tokenizer = {config.tokenizer!r}, but model.weights = {config.model.weights} brings the tokenizer that "
            "its weights were trained with. Leave the setting out, or write tokenizer=weights."
        )
