"""Mamba-2: Mamba with one decay a head and a larger state (Dao and Gu 2024, arXiv 2405.21060, section 7).

The vocabulary is that of GPT-NeoX, 50,277, padded to a multiple of 16.
"""

from typing import Any

from firsthand.model.presets.family import Family, Size, laptop, published
from firsthand.model.presets.mamba import WIDTH

MIXER = {"part": "mamba2", "d_state": 128, "d_conv": 4, "expand": 2}


def mamba2(size: str, parameters: int, **fields: Any) -> Size:
    return published(f"mamba2-{size}", 50288, parameters, context_length=2048, tied=True, **fields)


MAMBA2 = Family(
    {
        "context_length": 256,
        "d_model": 384,
        "n_layers": 12,
        "mixer": MIXER,
        "ffn": "none",
        "position": "none",
        "norm": {"part": "rms_norm", "eps": 1e-5},
        "initialize": "gpt2",
    },
    {
        "130m": mamba2("130m", 128_989_632, n_layers=24, d_model=768),
        "370m": mamba2("370m", 368_346_624, n_layers=48, d_model=1024),
        "780m": mamba2("780m", 780_161_280, n_layers=48, d_model=1536),
        "1.3b": mamba2("1.3b", 1_343_757_312, n_layers=48, d_model=2048),
        "2.7b": mamba2("2.7b", 2_702_599_680, n_layers=64, d_model=2560),
        **laptop((4, 8, 12), WIDTH),
    },
    width=WIDTH,
)
