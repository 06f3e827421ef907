"""Mamba: layers that are a mixer only, with a state instead of a cache (Gu and Dao 2023, arXiv 2312.00752, 3.4).

Two such layers weigh what attention and an FFN of the same width do together, so models of one width have twice the
layers. The vocabulary is that of GPT-NeoX, 50,277, padded to a multiple of 8.
"""

from typing import Any

from firsthand.model.presets.family import Family, Size, laptop, published

WIDTH = 32
"""d_model for each layer: 24 layers are 768 wide."""


def mamba(size: str, parameters: int, **fields: Any) -> Size:
    return published(f"mamba-{size}", 50280, parameters, context_length=2048, tied=True, **fields)


MAMBA = Family(
    {
        "context_length": 256,
        "d_model": 384,
        "n_layers": 12,
        "mixer": {"part": "mamba", "d_state": 16, "d_conv": 4, "expand": 2},
        "ffn": "none",
        "position": "none",
        "norm": {"part": "rms_norm", "eps": 1e-5},
        "initialize": "gpt2",
    },
    {
        "130m": mamba("130m", 129_135_360, n_layers=24, d_model=768),
        "370m": mamba("370m", 371_516_416, n_layers=48, d_model=1024),
        "790m": mamba("790m", 793_204_224, n_layers=48, d_model=1536),
        "1.4b": mamba("1.4b", 1_372_178_432, n_layers=48, d_model=2048),
        "2.8b": mamba("2.8b", 2_768_345_600, n_layers=64, d_model=2560),
        **laptop((4, 8, 12), WIDTH),
    },
    width=WIDTH,
)
