"""GPT-2. Its matrices are stored as (d_in, d_out), queries, keys and values as one."""

from typing import Any

from firsthand.interop.families.family import ACTIVATIONS, PLAIN, Family, refuse_quantized, sizes_in, their_activation
from firsthand.interop.families.full import Full
from firsthand.interop.families.rules import Rule
from firsthand.interop.families.settings import Settings

SIZES = {"n_layers": "n_layer", "d_model": "n_embd", "n_heads": "n_head", "context_length": "n_positions"}


def _norm(theirs: str, ours: str) -> tuple[Rule, Rule]:
    return Rule(f"{theirs}.weight", (f"{ours}.gain",)), Rule(f"{theirs}.bias", (f"{ours}.bias",))


def _map(theirs: str, *ours: str) -> Rule:
    return Rule(f"transformer.h.{{n}}.{theirs}.{{kind}}", tuple(f"blocks.{{n}}.{one}.{{kind}}" for one in ours), True)


RULES = (
    Rule("transformer.wte.weight", ("embedding.weight",)),
    Rule("transformer.wpe.weight", ("position.table",)),
    Rule("lm_head.weight", ("unembedding.weight",)),
    *_norm("transformer.ln_f", "norm"),
    *_norm("transformer.h.{n}.ln_1", "blocks.{n}.mixer_norm"),
    *_norm("transformer.h.{n}.ln_2", "blocks.{n}.ffn_norm"),
    _map("attn.c_attn", "mixer.query", "mixer.key", "mixer.value"),
    _map("attn.c_proj", "mixer.out"),
    _map("mlp.c_fc", "ffn.up"),
    _map("mlp.c_proj", "ffn.down"),
)


def _fields(settings: Settings) -> dict[str, Any]:
    refuse_quantized(settings)
    settings.only("scale_attn_weights", True)
    settings.only("scale_attn_by_inverse_layer_idx", False)
    settings.only("add_cross_attention", False)
    sizes = sizes_in(settings, SIZES)
    activation = settings.word("activation_function", "gelu_new", ACTIVATIONS)
    return {
        "preset": "gpt2",
        **PLAIN,
        **sizes,
        "n_kv_heads": sizes["n_heads"],
        "d_head": max(1, sizes["d_model"] // sizes["n_heads"]),
        "d_ff": settings.whole("n_inner", 4 * sizes["d_model"]),
        "mixer": "attention",
        "ffn": {"part": "mlp", "activation": activation},
        "position": "learned",
        "norm": {"part": "layer_norm", "eps": settings.number("layer_norm_epsilon", 1e-5)},
        "bias": True,
        "tied": settings.flag("tie_word_embeddings", True),
    }


def _config(full: Full) -> dict[str, Any]:
    ffn = full["ffn"][0]
    return {
        **{theirs: {**full, "n_heads": full["mixer"][0].get("n_heads")}[ours] for ours, theirs in SIZES.items()},
        "n_inner": ffn.get("d_ff"),
        "activation_function": their_activation(ffn.get("activation")),
        "layer_norm_epsilon": full["norm"].get("eps"),
        "tie_word_embeddings": full["tied"],
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    }


MASKS = r"transformer\.h\.\d+\.attn\.(masked_)?bias"
"""Old files hold the causal mask."""

GPT2 = Family("gpt2", "GPT2LMHeadModel", RULES, _fields, _config, "transformer.", ignored=MASKS)
