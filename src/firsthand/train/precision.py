"""In which precision a step computes. Weights, optimizer state, norms' statistics and the loss stay in fp32."""

import contextlib
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from firsthand.errors import UserError
from firsthand.ops.roof import bf16_gain

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WORTH_IT = 1.3
"""On a CPU bf16 must multiply matrices so many times faster than fp32 to pay for its casts."""

logger = logging.getLogger(__name__)


def choose(precision: str, device: torch.device) -> str:
    """`precision`, or what suits the device if it is "auto"; the choice is logged.

    CUDA: bf16 where the GPU has it, else fp16. CPU: bf16 only if a probe of some 30 ms finds it clearly faster
    (without the instructions it is up to 500 times slower, pytorch issue 146508). Else fp32.
    """
    if precision == "fp16" and device.type != "cuda":
        raise UserError(f"train.precision=fp16 needs CUDA; this run is on {device.type}. Use auto, bf16 or fp32.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type != "cpu":
        return "fp32"
    gain = bf16_gain()
    chosen = "bf16" if gain > WORTH_IT else "fp32"
    logger.info("matrix products in bf16 are %.2g times as fast as in fp32: training in %s", gain, chosen)
    return chosen


def compute_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which forward and loss run."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


@dataclass
class LossScale:
    """Keeps fp16 gradients from vanishing: multiply the loss, divide the gradients.

    Halved whenever a gradient overflows, doubled after `patience` steps without (Micikevicius et al. 2018, section
    3.2). In other precisions it is 1 and stays 1.
    """

    scale: float = 1.0
    good_steps: int = 0
    patience: int = 2000

    @classmethod
    def of(cls, precision: str) -> "LossScale":
        return cls(2.0**16) if precision == "fp16" else cls(1.0)

    def update(self, finite: bool) -> None:
        if self.scale == 1.0:
            return
        self.good_steps = self.good_steps + 1 if finite else 0
        if not finite:
            self.scale = max(2.0, self.scale / 2)
        elif self.good_steps % self.patience == 0:
            self.scale *= 2
