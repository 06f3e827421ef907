"""GPT-2 from tensors that are in memory already."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from firsthand.interop.families.gpt2 import GPT2
from firsthand.interop.families.settings import Settings
from firsthand.interop.hugging_face.weights import plan_of


def convert_gpt2(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields of our model and its parameters, in fp32, by our names.

    `config`: what GPT-2's config.json says; `weights`: by GPT-2's names, which may lack their "transformer.". UserError
    for a setting that is not known here, and for a tensor that is missing, left over or of another shape. What comes
    back may share memory with `weights`.
    """
    settings = Settings(config, "config.json")
    fields, vocab_size = GPT2.fields_of(settings), settings.whole("vocab_size")
    there = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in weights.items()}
    return fields, plan_of(GPT2, fields, vocab_size, there, "GPT-2").carry_out(dict(weights))
