"""Claim: characters of a text, 60 seconds of training with everything included, loss over the whole held-out tenth.

Uses the file that FIRSTHAND_BENCH_TEXT names (tiny Shakespeare, say), else the plays of the default corpus.
"""

from typing import Any

from benchmarks.speedrun import trained


def rows() -> list[dict[str, Any]]:
    return [trained("recipes/shakespeare-char.yaml", seed, "train.seconds=60") for seed in range(3)]
