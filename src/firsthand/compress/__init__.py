"""Making a model smaller: its numbers in fewer bits, its weights fewer, or a small model taught by it.

A method is one file: a class whose arguments are what a plan may set, and `__call__(subject, given)`, which changes the
subject's own copy of the model. To write your own: such a class, and `{part: my_idea.py:Mine}` as a step of a plan; or
a line in the table.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from firsthand.compress.distillation.method import DistillInto
from firsthand.compress.prune.magnitude import Magnitude
from firsthand.compress.prune.sparsegpt import SparseGPT
from firsthand.compress.prune.wanda import Wanda
from firsthand.compress.quantize.aware import Aware
from firsthand.compress.quantize.awq import AWQ
from firsthand.compress.quantize.gptq import GPTQ
from firsthand.compress.quantize.int8_dynamic import Int8Dynamic
from firsthand.compress.quantize.kv_cache import KVCacheBits
from firsthand.compress.quantize.mixed import Mixed
from firsthand.compress.quantize.nf4 import NF4
from firsthand.compress.quantize.round_to_nearest import RoundToNearest
from firsthand.compress.quantize.smoothquant import SmoothQuant
from firsthand.compress.recover import Recover
from firsthand.compress.structured.channels import Channels
from firsthand.compress.structured.heads import Heads
from firsthand.compress.structured.layers import Layers
from firsthand.compress.structured.together import Structured
from firsthand.compress.structured.width import Width
from firsthand.compress.subject import Given, Subject


@runtime_checkable
class Method(Protocol):
    def __call__(self, subject: Subject, given: Given) -> None: ...


METHODS: dict[str, Callable[..., Method]] = {
    "aware": Aware,
    "awq": AWQ,
    "channels": Channels,
    "distill": DistillInto,
    "gptq": GPTQ,
    "heads": Heads,
    "int8_dynamic": Int8Dynamic,
    "kv_cache": KVCacheBits,
    "layers": Layers,
    "magnitude": Magnitude,
    "mixed": Mixed,
    "nf4": NF4,
    "recover": Recover,
    "round_to_nearest": RoundToNearest,
    "smoothquant": SmoothQuant,
    "sparsegpt": SparseGPT,
    "structured": Structured,
    "wanda": Wanda,
    "width": Width,
}
