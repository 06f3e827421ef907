"""A table of names, gone through once for each layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from firsthand.errors import UserError

ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
MAPS = {
    "attn.c_attn": ["mixer.query", "mixer.key", "mixer.value"],
    "attn.c_proj": ["mixer.out"],
    "mlp.c_fc": ["ffn.up"],
    "mlp.c_proj": ["ffn.down"],
}
NORMS = {"ln_1": "mixer_norm", "ln_2": "ffn_norm"}


def fields_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "preset": "gpt2",
        "n_layers": config["n_layer"],
        "d_model": config["n_embd"],
        "n_heads": config["n_head"],
        "context_length": config["n_positions"],
        "d_ff": config.get("n_inner") or 4 * config["n_embd"],
        "norm": {"part": "layer_norm", "eps": config.get("layer_norm_epsilon", 1e-5)},
        "ffn": {"part": "mlp", "activation": ACTIVATIONS[config.get("activation_function", "gelu_new")]},
        "tied": config.get("tie_word_embeddings", True),
    }


def convert_gpt2(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    fields = fields_of(config)
    left = {name.removeprefix("transformer."): one for name, one in weights.items()}
    ours: dict[str, Tensor] = {}

    def take(name: str) -> Tensor:
        if name not in left:
            raise UserError(f"{name} is missing.")
        return left.pop(name)

    ours["embedding.weight"] = take("wte.weight")
    ours["position.table"] = take("wpe.weight")
    if fields["tied"]:
        left.pop("lm_head.weight", None)
    else:
        ours["unembedding.weight"] = take("lm_head.weight")
    ours["norm.gain"], ours["norm.bias"] = take("ln_f.weight"), take("ln_f.bias")
    for n in range(fields["n_layers"]):
        theirs, mine = f"h.{n}.", f"blocks.{n}."
        for norm, name in NORMS.items():
            ours[f"{mine}{name}.gain"] = take(f"{theirs}{norm}.weight")
            ours[f"{mine}{name}.bias"] = take(f"{theirs}{norm}.bias")
        for stored, names in MAPS.items():
            weight = take(f"{theirs}{stored}.weight").T
            bias = take(f"{theirs}{stored}.bias")
            pieces = weight.chunk(len(names), 0)
            for name, piece in zip(names, pieces, strict=True):
                ours[f"{mine}{name}.weight"] = piece
            for name, part in zip(names, bias.chunk(len(names)), strict=True):
                ours[f"{mine}{name}.bias"] = part
        for mask in ("attn.bias", "attn.masked_bias"):
            left.pop(theirs + mask, None)
    if left:
        raise UserError(f"{min(left)} is left over.")
    return fields, {name: one.to(torch.float32).contiguous() for name, one in ours.items()}
