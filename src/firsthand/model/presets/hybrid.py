"""Hybrid: Mamba-2 with a few layers of attention, which looks up exactly what a state can only summarise.

A tenth of the layers is enough, anywhere but at the ends (Dao and Gu 2024, arXiv 2405.21060, section 9.2.3). On a
laptop it is every fourth. Bamba (IBM, Princeton, CMU and UIUC 2024) has an FFN in every layer besides; it turns only
half of the channels of each head, ours all, which changes no parameter. The authors' own mamba2attn-2.7b (attention
in the layers 9, 18, 27, 36, 45 and 56 of 64, 30 heads of 128) is not among the sizes: its attention also convolves
queries, keys and values, 345,600 parameters that no mixer of ours has.
"""

from typing import Any

from firsthand.model.presets.family import Family, laptop, published
from firsthand.model.presets.mamba import WIDTH

MAMBA2 = {"part": "mamba2", "d_head": 64, "d_state": 128, "d_conv": 4, "expand": 2}


def with_attention(n_layers: int, layers: tuple[int, ...]) -> list[str | dict[str, Any]]:
    """A pattern as long as the model: attention in the given layers, Mamba-2 in the others."""
    return ["attention" if number in layers else MAMBA2 for number in range(n_layers)]


BAMBA = {"n_layers": 32, "d_model": 4096, "n_heads": 32, "n_kv_heads": 8, "d_ff": 14336, "context_length": 4096}

HYBRID = Family(
    {
        "context_length": 256,
        "d_model": 384,
        "n_layers": 12,
        "mixer": [MAMBA2, MAMBA2, "attention", MAMBA2],
        "ffn": "none",
        "position": {"part": "rope", "layout": "half"},
        "norm": {"part": "rms_norm", "eps": 1e-5},
        "initialize": "gpt2",
    },
    {
        "bamba-9b": published(
            "Bamba-9B",
            128256,
            9_780_235_392,
            **BAMBA,
            mixer=with_attention(32, (9, 18, 27)),
            ffn={"part": "gated", "activation": "silu"},
            tied=False,
        ),
        **laptop((4, 8, 12), WIDTH),
    },
    width=WIDTH,
)
