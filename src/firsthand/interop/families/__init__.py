"""Families of published models: how their config.json and tensors are ours, each in one table for both directions."""

from firsthand.interop.families.family import Family
from firsthand.interop.families.gpt2 import GPT2
from firsthand.interop.families.llama import LLAMA
from firsthand.interop.families.mamba import MAMBA
from firsthand.interop.families.mamba2 import MAMBA2
from firsthand.interop.families.mistral import MISTRAL
from firsthand.interop.families.mixtral import MIXTRAL
from firsthand.interop.families.qwen2 import QWEN2
from firsthand.interop.families.qwen3 import QWEN3

__all__ = ["FAMILIES", "Family"]

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (GPT2, LLAMA, MISTRAL, QWEN2, QWEN3, MIXTRAL, MAMBA, MAMBA2)
}
"""By the model_type of config.json. A model of ours leaves as the first that can express it."""
