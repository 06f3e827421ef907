"""Mixtral: Llama's parts, with eight gated experts of which each token meets two (arXiv 2401.04088, section 2)."""

from firsthand.model.presets.family import Family, eight_thirds, laptop, published

EIGHT_TIMES_7 = {"n_layers": 32, "d_model": 4096, "n_heads": 32, "d_ff": 14336, "context_length": 32768}
EIGHT_TIMES_22 = {"n_layers": 56, "d_model": 6144, "n_heads": 48, "d_ff": 16384, "context_length": 65536}


def half_of_dense(d_model: int) -> int:
    """d_ff of one expert: the two that a token meets do the arithmetic of one dense gated FFN."""
    return eight_thirds(d_model // 2)


MIXTRAL = Family(
    {
        "context_length": 256,
        "d_model": 384,
        "n_layers": 6,
        "mixer": "attention",
        "ffn": {"part": "experts", "n_experts": 8, "top_k": 2, "activation": "silu"},
        "position": {"part": "rope", "theta": 1e6, "layout": "half"},
        "norm": {"part": "rms_norm", "eps": 1e-5},
        "initialize": "gpt2",
    },
    {
        "8x7b": published("Mixtral-8x7B-v0.1", 32000, 46_702_792_704, **EIGHT_TIMES_7, n_kv_heads=8, tied=False),
        "8x22b": published("Mixtral-8x22B-v0.1", 32000, 140_620_634_112, **EIGHT_TIMES_22, n_kv_heads=8, tied=False),
        **laptop(),
    },
    group=2,
    d_ff=half_of_dense,
)
