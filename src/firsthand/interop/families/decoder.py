"""Llama and its kin: pre-norm, RMSNorm, RoPE, attention with shared keys, a gated FFN."""

from typing import Any

from firsthand.interop.families.family import ACTIVATIONS, PLAIN, refuse_quantized, sizes_in, their_activation
from firsthand.interop.families.full import Full
from firsthand.interop.families.rotation import rotation_in, rotation_out
from firsthand.interop.families.rules import Rule
from firsthand.interop.families.settings import Settings

SIZES = {
    "n_layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "d_ff": "intermediate_size",
    "context_length": "max_position_embeddings",
}
EMBEDDING = Rule("model.embed_tokens.weight", ("embedding.weight",))
HEAD = Rule("lm_head.weight", ("unembedding.weight",))
ATTENTION = (
    EMBEDDING,
    HEAD,
    Rule("model.norm.weight", ("norm.gain",)),
    Rule("model.layers.{n}.input_layernorm.weight", ("blocks.{n}.mixer_norm.gain",)),
    Rule("model.layers.{n}.post_attention_layernorm.weight", ("blocks.{n}.ffn_norm.gain",)),
    Rule("model.layers.{n}.self_attn.q_proj.{kind}", ("blocks.{n}.mixer.query.{kind}",)),
    Rule("model.layers.{n}.self_attn.k_proj.{kind}", ("blocks.{n}.mixer.key.{kind}",)),
    Rule("model.layers.{n}.self_attn.v_proj.{kind}", ("blocks.{n}.mixer.value.{kind}",)),
    Rule("model.layers.{n}.self_attn.o_proj.{kind}", ("blocks.{n}.mixer.out.{kind}",)),
)
GATED = (
    Rule("model.layers.{n}.mlp.gate_proj.{kind}", ("blocks.{n}.ffn.gate.{kind}",)),
    Rule("model.layers.{n}.mlp.up_proj.{kind}", ("blocks.{n}.ffn.up.{kind}",)),
    Rule("model.layers.{n}.mlp.down_proj.{kind}", ("blocks.{n}.ffn.down.{kind}",)),
)
ROTATIONS = r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
"""Old files hold the frequencies of the rotation, which follow from the settings."""


def fields_in(settings: Settings, preset: str, theta: float = 1e4, **mixer: Any) -> dict[str, Any]:
    """The fields of a model with attention as `mixer` says and a gated FFN."""
    refuse_quantized(settings)
    sizes = sizes_in(settings, SIZES)
    sizes["n_kv_heads"] = settings.whole("num_key_value_heads", sizes["n_heads"])
    sizes["d_head"] = settings.whole("head_dim", max(1, sizes["d_model"] // sizes["n_heads"]))
    settings.only("pretraining_tp", 1)
    return {
        "preset": preset,
        **PLAIN,
        **sizes,
        "mixer": {"part": "attention", **mixer},
        "ffn": {"part": "gated", "activation": settings.word("hidden_act", "silu", ACTIVATIONS)},
        "position": rotation_in(settings, sizes["d_head"], sizes["context_length"], theta),
        "norm": {"part": "rms_norm", "eps": settings.number("rms_norm_eps", 1e-6)},
        "tied": settings.flag("tie_word_embeddings", False),
    }


def config_out(full: Full) -> dict[str, Any]:
    """What all of the kin say."""
    mixer, ffn = full["mixer"][0], full["ffn"][0]
    sizes = {**full, **{key: mixer.get(key) for key in ("n_heads", "n_kv_heads", "d_head")}, "d_ff": ffn.get("d_ff")}
    return {
        **{theirs: sizes[ours] for ours, theirs in SIZES.items()},
        "num_key_value_heads": sizes["n_kv_heads"],
        "head_dim": sizes["d_head"],
        "hidden_act": their_activation(ffn.get("activation")),
        "rms_norm_eps": full["norm"].get("eps"),
        "tie_word_embeddings": full["tied"],
        **rotation_out(full),
    }


def windows_in(settings: Settings, n_layers: int) -> list[int | None]:
    """How far each layer of Qwen sees: windows in the layers from max_window_layers on, if they are used at all."""
    kinds = settings.words("layer_types", n_layers, ("full_attention", "sliding_attention"))
    first = settings.whole("max_window_layers", 28, least=0)
    window = settings.whole_or_none("sliding_window", 4096)
    if not settings.flag("use_sliding_window", False):
        window = None
    if kinds is None:
        kinds = ["sliding_attention" if number >= first else "full_attention" for number in range(n_layers)]
    return [window if kind == "sliding_attention" else None for kind in kinds]


def with_windows(fields: dict[str, Any], windows: list[int | None]) -> dict[str, Any]:
    """The fields, with the mixer of each layer seeing as far as it should."""
    mixers = [{**fields["mixer"], "window": window} if window else fields["mixer"] for window in windows]
    return {**fields, "mixer": mixers if any(mixer != mixers[0] for mixer in mixers) else mixers[0]}


def windows_out(full: Full) -> dict[str, Any]:
    windows = [mixer.get("window") for mixer in full["mixer"]]
    used = [window for window in windows if window]
    return {
        "use_sliding_window": bool(used),
        "sliding_window": used[0] if used else None,
        "max_window_layers": next((number for number, window in enumerate(windows) if window), len(windows)),
        "layer_types": ["sliding_attention" if window else "full_attention" for window in windows],
    }
