"""What the speed runs of the GPT-2 size agree on; no published model."""

from firsthand.model.presets.family import Family, laptop

MODERN = Family(
    {
        "context_length": 256,
        "d_model": 256,
        "n_layers": 6,
        "mixer": {"part": "attention", "qk_norm": True},
        "ffn": {"part": "mlp", "activation": "relu2"},
        "position": "rope",
        "norm": "rms_norm",
        "initialize": "modern",
        "softcap": 15.0,
    },
    laptop(),
)
