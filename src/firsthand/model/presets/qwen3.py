"""Qwen3: Llama's parts, with queries and keys normed in each head by a learned gain (arXiv 2505.09388, section 2)."""

from typing import Any

from firsthand.model.presets.family import Family, Size, eight_thirds, laptop, published


def qwen3(size: str, parameters: int, tied: bool, **fields: Any) -> Size:
    """Heads are 128 wide whatever the model's width."""
    more = {"d_head": 128, "n_kv_heads": 8, "context_length": 40960, "tied": tied}
    return published(f"Qwen3-{size}", 151936, parameters, **more, **fields)


QWEN3 = Family(
    {
        "context_length": 256,
        "d_model": 384,
        "n_layers": 6,
        "mixer": {"part": "attention", "qk_norm": "gain", "qk_norm_eps": 1e-6},
        "ffn": {"part": "gated", "activation": "silu"},
        "position": {"part": "rope", "theta": 1e6, "layout": "half"},
        "norm": {"part": "rms_norm", "eps": 1e-6},
        "initialize": "gpt2",
    },
    {
        "0.6b": qwen3("0.6B", 596_049_920, True, n_layers=28, d_model=1024, n_heads=16, d_ff=3072),
        "1.7b": qwen3("1.7B", 1_720_574_976, True, n_layers=28, d_model=2048, n_heads=16, d_ff=6144),
        "4b": qwen3("4B", 4_022_468_096, True, n_layers=36, d_model=2560, n_heads=32, d_ff=9728),
        "8b": qwen3("8B", 8_190_735_360, False, n_layers=36, d_model=4096, n_heads=32, d_ff=12288),
        "14b": qwen3("14B", 14_768_307_200, False, n_layers=40, d_model=5120, n_heads=40, d_ff=17408),
        "32b": qwen3("32B", 32_762_123_264, False, n_layers=64, d_model=5120, n_heads=64, d_ff=25600),
        **laptop(),
    },
    group=2,
    d_ff=eight_thirds,
)
