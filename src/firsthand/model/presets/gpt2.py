"""GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3)."""

from firsthand.model.presets.family import Family, laptop, published

VOCABULARY = 50257

GPT2 = Family(
    {
        "context_length": 1024,
        "d_model": 768,
        "n_layers": 12,
        "mixer": {"part": "attention", "attention_dropout": True},
        "ffn": {"part": "mlp", "activation": "gelu_tanh"},
        "position": "learned",
        "norm": "layer_norm",
        "initialize": "gpt2",
        "bias": True,
        "tied": True,
    },
    {
        "124m": published("gpt2", VOCABULARY, 124_439_808, n_layers=12, d_model=768),
        "355m": published("gpt2-medium", VOCABULARY, 354_823_168, n_layers=24, d_model=1024),
        "774m": published("gpt2-large", VOCABULARY, 774_030_080, n_layers=36, d_model=1280),
        "1.5b": published("gpt2-xl", VOCABULARY, 1_557_611_200, n_layers=48, d_model=1600),
        **laptop(),
    },
)
