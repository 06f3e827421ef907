"""How a run computes where its recipe leaves it open: precision, attention, threads, compiler. A short probe decides.

A run records what was chosen, and resumed it computes as before: another choice would round otherwise.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from firsthand.ops.attention import choose as rule
from firsthand.ops.attention.trial import LENGTHS, training_seconds
from firsthand.ops.roof import bf16_gain
from firsthand.train import compiling, host
from firsthand.train import precision as precisions
from firsthand.train.parallel import Ranks

ATTENTION = ("auto", "product", "sdpa", "reference")
PRECISIONS = ("fp32", "bf16", "fp16")
CLEARLY = 1.2
"""The version of attention that the rule does not name must be so many times as fast: a tie must not depend on noise,
or the same run would round otherwise each time."""


@dataclass(frozen=True)
class Choices:
    """`attention` is for training steps ("auto": the rule of ops/attention, call by call); `why` is for people."""

    precision: str
    attention: str
    threads: int
    compiled: bool
    why: tuple[str, ...] = field(default=(), compare=False)

    def record(self) -> dict[str, Any]:
        """What `choose` takes as `earlier`."""
        return {name: value for name, value in asdict(self).items() if name != "why"}

    def agreed(self, ranks: Ranks) -> "Choices":
        """Those of the first rank, for all: two ranks must not round differently."""
        mine = [PRECISIONS.index(self.precision), ATTENTION.index(self.attention), self.threads, self.compiled]
        first = [int(value) for value in ranks.gather([float(value) for value in mine])[0]]
        torch.set_num_threads(first[2])
        return Choices(PRECISIONS[first[0]], ATTENTION[first[1]], first[2], bool(first[3]), self.why)


def choose(
    device: torch.device,
    precision: str = "auto",
    attention: str = "auto",
    threads: int | None = None,
    compiled: bool | str = "auto",
    attends: tuple[int, int] | None = None,
    earlier: Mapping[str, Any] | None = None,
    seconds: float | None = None,
    flops: float | None = None,
) -> Choices:
    """Settings that name something are kept; the rest is as it was `earlier`, or as a probe finds it best.

    `attends`: length and d_head of the model's attention, if it has some. `seconds`, `flops`: the bounds of the run.
    Sets the number of threads. UserError if a setting cannot be honoured on this device.
    """
    earlier, why = earlier or {}, []
    rates = {} if threads or "threads" in earlier else host.thread_rates()
    count = host.use_threads(threads or earlier.get("threads") or host.best_threads(rates))
    why.append(f"{count} thread{'s' * (count != 1)}{_beside(rates, count)}")
    given = earlier.get("precision", "auto") if precision == "auto" else precision
    chosen = precisions.choose(given, device)
    probed = given == "auto" and device.type == "cpu"
    why.append(chosen + (f" (products in bf16 are {bf16_gain():.2g} times as fast as in fp32)" if probed else ""))
    version = earlier.get("attention", "auto") if attention == "auto" else attention
    if version == "auto" and attends and device.type == "cpu" and attends[0] in LENGTHS and chosen != "fp16":
        version, said = _attention(precisions.DTYPES[chosen], *attends)
        why.append(said)
    compile_it = earlier.get("compiled", "auto") if compiled == "auto" else compiled
    if compile_it == "auto" and device.type == "cpu":
        compile_it, said = compiling.choose(precisions.DTYPES[chosen], seconds, flops)
        why.append(said)
    compile_it = device.type == "cuda" if compile_it == "auto" else bool(compile_it)
    if compile_it:
        compiling.keep_cache()
    return Choices(chosen, version, count, compile_it, tuple(why))


def _beside(rates: Mapping[int, float], count: int) -> str:
    others = [f"{rates[count] / rate:.2g} times as fast as {other}" for other, rate in rates.items() if other != count]
    return f" ({', '.join(others)})" if others else ""


def _attention(dtype: torch.dtype, length: int, d_head: int) -> tuple[str, str]:
    """The version for training steps, and the reason."""
    seconds = training_seconds(dtype, length, d_head)
    usual = rule("cpu", dtype, length)
    other = next(name for name in seconds if name != usual)
    chosen, left = (other, usual) if seconds[usual] > CLEARLY * seconds[other] else (usual, other)
    return chosen, f"attention by {chosen} ({left} takes {seconds[left] / seconds[chosen]:.2g} times as long)"
