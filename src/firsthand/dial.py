"""One dial: what the number of layers decides, where the recipe does not. Every rule is one line, with its source.

The rate and the batch follow the model alone, not the budget that a recipe gives: so a run can be resumed with a
longer one, and is the same experiment.
"""

import math

WIDTH_PER_LAYER = 64
"""d_model for each layer: 12 layers are as wide as GPT-2's, 768 (nanochat's depth dial has the same)."""

TOKENS_PER_WEIGHT = 20
"""How long to train: Hoffmann et al. 2022 ("Chinchilla", arXiv 2203.15556, table 3)."""

MUON_RATE = 0.02
"""For any width, because an orthogonal update has the same scale in all of them (K. Jordan et al. 2024; nanochat)."""

TUNING_EPOCHS = 3
"""How often a trained model goes through what it is tuned on: Radford et al. 2018 ("GPT"), section 4.1."""

TUNING_BATCH = 4096
"""Tokens of a step of tuning: some 64 short conversations or 32 of middle length. Radford et al. 2018 take 32
examples, Llama 2 (arXiv 2307.09288, section 3.1) 64."""

TUNING_SHARE = 0.1
"""A trained model's rate as a share of pretraining's, lest it forget: Llama 2 was pretrained at 3e-4 to 1.5e-4 and
tuned at 2e-5 (sections 2.2 and 3.1). Adapters want ten times the rate of all weights (Schulman et al. 2025, "LoRA
Without Regret"), which is pretraining's again."""


def width(n_layers: int, per_layer: int = WIDTH_PER_LAYER) -> int:
    """d_model."""
    return per_layer * n_layers


def horizon(weights: int) -> float:
    """Tokens to train on. `weights`: of the blocks' matrices, as far as a token meets them.

    Chinchilla's count has the embeddings too. Without them, as in Kaplan et al. 2020 (arXiv 2001.08361, section 2.1),
    the answer does not depend on the vocabulary, which is known only when the text has been read.
    """
    return _rounded(float(TOKENS_PER_WEIGHT * weights), 3)


def batch_tokens(flops: float, context_length: int, microbatches: int = 1) -> int:
    """Tokens of one optimizer step: 0.2920 · C^0.3271 (DeepSeek LLM, arXiv 2401.02954, section 3.1, eq. 1).

    C is `flops`, the arithmetic of the whole training without embedding and head. Rounded to a power of two of rows in
    each microbatch, at least one.
    """
    rows = 0.2920 * flops**0.3271 / context_length / microbatches
    return context_length * microbatches * (1 << max(0, round(math.log2(rows))))


def tuning_batch(row_tokens: int, microbatches: int = 1) -> int:
    """TUNING_BATCH tokens in whole rows, at least one in each microbatch."""
    return row_tokens * microbatches * max(1, round(TUNING_BATCH / row_tokens / microbatches))


def rates(optimizer: str, flops: float, d_model: int, share: float = 1.0) -> dict[str, float]:
    """The peak learning rates of the optimizer, by argument; none for an optimizer that no rule is known for.

    `share` of pretraining's are given.

    AdamW: 0.3118 · C^-0.1250 (DeepSeek LLM, the same equation). Lion: a fifth of that (Chen et al. 2023, arXiv
    2302.06675, section 5: a third to a tenth). Muon: the same for all sizes, and for its AdamW partner our 0.003 at
    GPT-2's width, falling with its root as in nanochat.
    """
    adamw = 0.3118 * flops**-0.1250
    rules = {
        "adamw": {"lr": adamw},
        "lion": {"lr": adamw / 5},
        "muon": {"lr": MUON_RATE, "adamw_lr": 0.003 * (768 / d_model) ** 0.5},
    }
    return {name: _rounded(share * rate, 2) for name, rate in rules.get(optimizer, {}).items()}


def _rounded(number: float, digits: int) -> float:
    """To so many significant digits: the fits are not more certain than that."""
    return float(f"{number:.{digits - 1}e}")
