"""Llama: pre-norm, RMSNorm, RoPE, SwiGLU, no biases (Touvron et al. 2023, arXiv 2302.13971, section 2.2).

Llama 2 (arXiv 2307.09288, section 2.2) shares keys and values in its largest model; Llama 3 (arXiv 2407.21783,
section 3.2) does so in all, and has a vocabulary four times as large and a larger theta. TinyLlama (arXiv 2401.02385)
and SmolLM2 (arXiv 2502.02737) have the same parts. Llama 1 is Llama 2 at 7B and 13B with `context_length: 2048` and
`norm: {part: rms_norm, eps: 1.0e-6}`. RoPE has the layout of the weights that are published for `transformers`;
Meta's own files have the other one.
"""

from typing import Any

from firsthand.model.presets.family import Family, Size, eight_thirds, laptop, published


def rope(theta: float, **scaling: Any) -> dict[str, Any]:
    return {"part": "rope", "theta": theta, "layout": "half", **scaling}


def llama2(size: str, parameters: int, **fields: Any) -> Size:
    return published(f"Llama-2-{size}", 32000, parameters, context_length=4096, tied=False, **fields)


def llama3(name: str, parameters: int, **fields: Any) -> Size:
    return published(name, 128256, parameters, **{"position": rope(5e5), "n_kv_heads": 8, **fields})


def smollm2(size: str, parameters: int, theta: float = 1e5, **fields: Any) -> Size:
    more = {"context_length": 8192, "position": rope(theta), "tied": True}
    return published(f"SmolLM2-{size}", 49152, parameters, **more, **fields)


LONG = rope(5e5, scaling="llama3", factor=32.0, trained_length=8192)
TINY = {"n_layers": 22, "d_model": 2048, "n_heads": 32, "n_kv_heads": 4, "d_ff": 5632, "context_length": 2048}
LARGE = {"n_layers": 80, "d_model": 8192, "n_heads": 64, "n_kv_heads": 64, "d_ff": 22016, "context_length": 2048}
EIGHT = {"n_layers": 32, "d_model": 4096, "n_heads": 32, "d_ff": 14336, "context_length": 8192}
THREE = {"n_layers": 28, "d_model": 3072, "n_heads": 24, "d_ff": 8192, "context_length": 131072}
ONE = {"n_layers": 16, "d_model": 2048, "n_heads": 32, "d_ff": 8192, "context_length": 131072}

LLAMA = Family(
    {
        "context_length": 256,
        "d_model": 384,
        "n_layers": 6,
        "mixer": "attention",
        "ffn": {"part": "gated", "activation": "silu"},
        "position": rope(1e4),
        "norm": {"part": "rms_norm", "eps": 1e-5},
        "initialize": "gpt2",
    },
    {
        "7b": llama2("7b", 6_738_415_616, n_layers=32, d_model=4096, n_heads=32, d_ff=11008),
        "13b": llama2("13b", 13_015_864_320, n_layers=40, d_model=5120, n_heads=40, d_ff=13824),
        "70b": llama2("70b", 68_976_648_192, n_layers=80, d_model=8192, n_heads=64, n_kv_heads=8, d_ff=28672),
        "65b": published("LLaMA-65B", 32000, 65_285_660_672, **LARGE, tied=False),
        "8b": llama3("Meta-Llama-3-8B", 8_030_261_248, **EIGHT, tied=False),
        "3b": llama3("Llama-3.2-3B", 3_212_749_824, **THREE, position=LONG, tied=True),
        "1b": llama3("Llama-3.2-1B", 1_235_814_400, **ONE, position=LONG, tied=True),
        "tinyllama-1.1b": published("TinyLlama-1.1B", 32000, 1_100_048_384, **TINY, tied=False),
        "smollm2-135m": smollm2("135M", 134_515_008, n_layers=30, d_model=576, n_heads=9, n_kv_heads=3, d_ff=1536),
        "smollm2-360m": smollm2("360M", 361_821_120, n_layers=32, d_model=960, n_heads=15, n_kv_heads=5, d_ff=2560),
        "smollm2-1.7b": smollm2("1.7B", 1_711_376_384, 1.3e5, n_layers=24, d_model=2048, n_heads=32, d_ff=8192),
        **laptop(),
    },
    d_ff=eight_thirds,
)
