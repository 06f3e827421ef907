"""What a family of published models consists of, and what several share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from firsthand.interop.families.full import Full
from firsthand.interop.families.rules import Rule
from firsthand.interop.families.settings import Settings


@dataclass(frozen=True)
class Family:
    """`model_type` and `architecture`: how config.json names it. `rules`: which tensor is which.

    `fields_of`: the fields of a recipe's `model` from a config.json. `config_of`: the settings of config.json that come
    nearest to a model of ours; whether they hit it is seen by reading them back. `prefix` stands before all tensors but
    the head, and is missing where the head was never saved. `ignored`: tensors that hold nothing learnt.
    """

    model_type: str
    architecture: str
    rules: tuple[Rule, ...]
    fields_of: Callable[[Settings], dict[str, Any]]
    config_of: Callable[[Full], dict[str, Any]]
    prefix: str
    head: str = "lm_head.weight"
    ignored: str = r"(?!)"


ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu2",
}
"""Their names of the bends, and ours. Out go the first of each."""


def their_activation(name: str | None) -> str | None:
    return next((theirs for theirs, ours in ACTIVATIONS.items() if ours == name), name)


PLAIN = {"block": "pre", "residual": "plain", "bias": False, "dropout": 0.0, "softcap": 0.0}
"""What holds for all families."""


def sizes_in(settings: Settings, names: Mapping[str, str]) -> dict[str, int]:
    """Sizes that config.json must give, by our names. `names`: ours and theirs."""
    return {ours: settings.whole(theirs) for ours, theirs in names.items()}


def refuse_quantized(settings: Settings) -> None:
    """Of the settings that any family may have, those that change what the tensors mean."""
    settings.only("quantization_config")
    settings.only("compression_config")
    settings.only("is_encoder_decoder", False)
