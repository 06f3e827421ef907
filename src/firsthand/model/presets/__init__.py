"""Presets fill the fields of a recipe's `model` that it leaves out: a family, and one of its sizes."""

from typing import Any

from firsthand import dial
from firsthand.config import ModelNode, parse
from firsthand.errors import UserError, suggest
from firsthand.model.presets.family import Family
from firsthand.model.presets.gpt2 import GPT2
from firsthand.model.presets.hybrid import HYBRID
from firsthand.model.presets.llama import LLAMA
from firsthand.model.presets.mamba import MAMBA
from firsthand.model.presets.mamba2 import MAMBA2
from firsthand.model.presets.mixtral import MIXTRAL
from firsthand.model.presets.modern import MODERN
from firsthand.model.presets.qwen3 import QWEN3

PRESETS: dict[str, Family] = {
    "gpt2": GPT2,
    "modern": MODERN,
    "llama": LLAMA,
    "qwen3": QWEN3,
    "mixtral": MIXTRAL,
    "mamba": MAMBA,
    "mamba2": MAMBA2,
    "hybrid": HYBRID,
}

USUAL = {"block": "pre", "residual": "plain", "bias": False, "dropout": 0.0, "softcap": 0.0}
"""What holds where neither the recipe nor the family says otherwise."""


def resolve(node: ModelNode | dict[str, Any]) -> dict[str, Any]:
    """Every field of the model: the given ones, else those of the given size, else the family's, else derived.

    With n_layers and no size the dial sets the width (dial.py). Derived are heads of size 64 as far as d_model allows,
    and d_ff by the family's rule. `tied` may stay None: then the vocabulary decides (`build_model`); and so may
    `size`. Resolving twice changes nothing. UserError for what is unknown or impossible.
    """
    node = node if isinstance(node, ModelNode) else parse({"model": node}, "The model").model
    given = node.model_dump(exclude_none=True)
    family = family_of(given["preset"])
    sizes = family.fields | _size(family, given)
    fields: dict[str, Any] = dict.fromkeys(ModelNode.model_fields) | USUAL | sizes | given
    d_model = fields["d_model"]
    fields["n_heads"] = fields["n_heads"] or max(1, d_model // (fields["d_head"] or 64))
    if fields["n_kv_heads"] is None:
        shared = fields["n_heads"] % family.group == 0
        fields["n_kv_heads"] = fields["n_heads"] // family.group if shared else fields["n_heads"]
    if fields["d_head"] is None:
        if d_model % fields["n_heads"]:
            raise UserError(
                f"model.d_model = {d_model} cannot be shared by model.n_heads = {fields['n_heads']} heads. "
                f"Choose a multiple, or set model.d_head."
            )
        fields["d_head"] = d_model // fields["n_heads"]
    fields["d_ff"] = fields["d_ff"] or family.d_ff(d_model)
    return fields


def family_of(preset: str) -> Family:
    """The family called `preset`, or UserError with the valid names."""
    if preset not in PRESETS:
        raise UserError(f"model.preset: there is no preset called {preset!r}. {suggest(preset, PRESETS)}")
    return PRESETS[preset]


def _size(family: Family, given: dict[str, Any]) -> dict[str, Any]:
    """The fields that the recipe's size stands for; without one, the width that the dial derives from n_layers."""
    size = given.get("size")
    if size is None:
        return {"d_model": dial.width(given["n_layers"], family.width)} if "n_layers" in given else {}
    if size not in family.sizes:
        names = suggest(size, family.sizes)
        raise UserError(f"model.size: {given['preset']} has no size {size!r}. {names}")
    return family.sizes[size].fields
