"""From a recipe's `adapt` to a model of which some learns."""

from collections.abc import Sequence
from typing import Any

import torch

from firsthand.adapt import ADAPTERS, QUANTIZERS
from firsthand.adapt.attach import attach, linear_names
from firsthand.adapt.freeze import freeze
from firsthand.adapt.heads import put_head
from firsthand.adapt.saved import Adapted, Base
from firsthand.config import AdaptNode
from firsthand.model.language_model import LanguageModel
from firsthand.parts import build


def make_adapter(node: AdaptNode, files: bool = True) -> tuple[Any, Any]:
    """The adapter and the quantizer that `adapt` names, each None if it names none."""
    adapter = build("adapt.adapter", ADAPTERS, node.adapter, files) if node.adapter else None
    return adapter, build("adapt.quantize", QUANTIZERS, node.quantize, files) if node.quantize else None


def prepare(
    model: LanguageModel,
    node: AdaptNode,
    seed: int,
    labels: Sequence[str] | None = None,
    row_tokens: int | None = None,
    base: Base | None = None,
) -> Adapted:
    """Make of a model with its first weights what `adapt` asks for, and let learn only what it says.

    `labels`: the classes that it is to name, after `row_tokens` of a text. `base`: where its weights came from. What is
    new is drawn from the `seed`. Returns what a checkpoint must say about it.
    """
    torch.manual_seed(seed)
    adapter, quantizer = make_adapter(node)
    quantized = tuple(linear_names(model)) if quantizer else ()
    attach(model, adapter, quantizer)
    if labels:
        put_head(model, len(labels))
    learning = freeze(model, node.policy)
    if len(learning) == len(list(model.parameters())):
        base = None  # nothing of it is left
    return Adapted(node.adapter, node.quantize, quantized, tuple(labels) if labels else None, row_tokens, base)
