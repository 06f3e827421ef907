"""Presets fill the fields of a recipe's `model` that it leaves out."""

from typing import Any

from firsthand.config import ModelNode, parse
from firsthand.errors import UserError, suggest

PRESETS: dict[str, dict[str, Any]] = {
    # Radford et al. 2019; without further fields it is the 124M model
    "gpt2": {
        "context_length": 1024,
        "d_model": 768,
        "n_layers": 12,
        "mixer": {"part": "attention", "attention_dropout": True},
        "ffn": {"part": "mlp", "activation": "gelu_tanh"},
        "position": "learned",
        "norm": "layer_norm",
        "initialize": "gpt2",
        "bias": True,
        "dropout": 0.0,
        "tied": True,
        "softcap": 0.0,
    },
    # what the speed runs of the GPT-2 size agree on
    "modern": {
        "context_length": 256,
        "d_model": 256,
        "n_layers": 6,
        "mixer": {"part": "attention", "qk_norm": True},
        "ffn": {"part": "mlp", "activation": "relu2"},
        "position": "rope",
        "norm": "rms_norm",
        "initialize": "modern",
        "bias": False,
        "dropout": 0.0,
        "softcap": 15.0,
    },
}


def resolve(node: ModelNode | dict[str, Any]) -> dict[str, Any]:
    """Every field of the model: the given ones, else the preset's, else derived from them.

    Derived are heads of size 64 as far as d_model allows, and d_ff = 4 · d_model. `tied` may stay None: then the
    vocabulary decides (`build_model`). Resolving twice changes nothing. UserError for what is unknown or impossible.
    """
    node = node if isinstance(node, ModelNode) else parse({"model": node}, "The model").model
    fields = node.model_dump(exclude_none=True)
    preset = fields["preset"]
    if preset not in PRESETS:
        raise UserError(f"model.preset: there is no preset called {preset!r}. {suggest(preset, PRESETS)}")
    fields = dict.fromkeys(ModelNode.model_fields) | PRESETS[preset] | fields
    d_model = fields["d_model"]
    fields["n_heads"] = fields["n_heads"] or max(1, d_model // (fields["d_head"] or 64))
    fields["n_kv_heads"] = fields["n_kv_heads"] or fields["n_heads"]
    if fields["d_head"] is None:
        if d_model % fields["n_heads"]:
            raise UserError(
                f"model.d_model = {d_model} cannot be shared by model.n_heads = {fields['n_heads']} heads. "
                f"Choose a multiple, or set model.d_head."
            )
        fields["d_head"] = d_model // fields["n_heads"]
    fields["d_ff"] = fields["d_ff"] or 4 * d_model
    return fields
