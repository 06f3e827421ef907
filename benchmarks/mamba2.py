"""Claims: Mamba-2 on a CPU takes a fraction of the time and memory of `transformers`' path; decoding with a recurrent
state is as fast after 65,536 tokens as after 1,024.

Time: forward and backward of the same shapes in turn, in one process, the best of some. Memory: the most that a second
such step holds beyond weights and inputs, each side in a process of its own. "mixer" is the whole mixer, "scan" the
state space alone. In bf16, weights and inputs of both mixers are bf16, and both scans get values, keys and queries in
bf16, steps and rates in fp32: `transformers` computes its scan in fp32 all the same, ours its products in bf16.

`transformers` is what is installed: version 5 has matrix products too; those before write out every product of time,
time and state (`pip install --target old "transformers<5"` and PYTHONPATH=old), and have no scan that could be called
alone.
"""

import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import RUNS, STEPS, best_seconds, decoding, place, row
from firsthand.experiments.memory import PeakMemory
from firsthand.model.mixers import MIXERS
from firsthand.model.mixers.mamba2 import Mamba2
from firsthand.model.positions import Rope
from firsthand.ops.linear_attention import linear_attention
from firsthand.parts import build

TIME, D_HEAD, D_STATE = 1024, 64, 128
WIDTHS = (256, 768)
SIDES = ("ours", "theirs")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
CONTEXTS = (1024, 4096, 16384, 65536)


def rows() -> list[dict[str, Any]]:
    import transformers

    found = []
    for what in ("mixer", "scan") if hasattr(_their_module(), "mamba2_chunk_scan") else ("mixer",):
        for d_model, precision in product(WIDTHS, PRECISIONS):
            title = f"{what}, d_model {d_model}, {precision}, transformers {transformers.__version__}"
            seconds = best_seconds({side: _step(what, d_model, precision, side) for side in SIDES}, runs=5)
            megabytes = [_memory_apart(what, d_model, precision, side) for side in SIDES]
            found.append(row(f"{title}: ms", *(1000 * seconds[side] for side in SIDES)))
            found.append(row(f"{title}: MB", *megabytes))
    return [*found, *_decoding()]


def _memory_apart(what: str, d_model: int, precision: str, side: str) -> float:
    command = [sys.executable, "-m", "benchmarks.mamba2", what, str(d_model), precision, side]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _memory(what: str, d_model: int, precision: str, side: str) -> float:
    """Megabytes that one step holds at most, beyond what stood there before; libraries have made their kernels."""
    step = _step(what, d_model, precision, side)
    step()
    with PeakMemory(torch.device("cpu")) as before:
        pass
    with PeakMemory(torch.device("cpu")) as peak:
        step()
    if before.bytes is None or peak.bytes is None:
        return float("nan")  # only Linux can tell
    return (peak.bytes - before.bytes) / 1e6


def _step(what: str, d_model: int, precision: str, side: str) -> Callable[[], None]:
    """Forward and backward of one side."""
    torch.manual_seed(0)
    dtype = PRECISIONS[precision]
    if what == "mixer":
        call, inputs = _mixer(d_model, dtype, side), [torch.randn(1, TIME, d_model, dtype=dtype)]
    else:
        heads = 2 * d_model // D_HEAD
        call = _our_scan if side == "ours" else _their_scan
        shapes = [(heads, D_HEAD), (1, D_STATE), (1, D_STATE)]
        inputs = [torch.rand(1, TIME, *shape).to(dtype) for shape in shapes]
        inputs += [torch.rand(1, TIME, heads) * 0.1, -torch.linspace(1, 16, heads)]
    leaves = [x.requires_grad_() for x in inputs]

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        call(*leaves).sum().backward()  # type: ignore[no-untyped-call]

    return step


def _their_module() -> Any:
    from transformers.models.mamba2 import modeling_mamba2

    return modeling_mamba2


def _mixer(d_model: int, dtype: torch.dtype, side: str) -> Callable[..., Tensor]:
    if side == "ours":
        ours = Mamba2(d_model, D_HEAD, D_STATE).to(dtype)
        return lambda x: ours(x, place(0, x.shape[1]))[0]
    from transformers import Mamba2Config

    sizes = {"hidden_size": d_model, "num_heads": 2 * d_model // D_HEAD, "head_dim": D_HEAD, "state_size": D_STATE}
    theirs: Callable[..., Tensor] = _their_module().Mamba2Mixer(Mamba2Config(**sizes, n_groups=1), 0).to(dtype)
    return theirs


def _our_scan(x: Tensor, key: Tensor, query: Tensor, step: Tensor, rate: Tensor) -> Tensor:
    value = (x * step.unsqueeze(3).to(x.dtype)).transpose(1, 2)
    decay = (step * rate).transpose(1, 2)
    return linear_attention(query.transpose(1, 2), key.transpose(1, 2), value, decay)[0].transpose(1, 2)


def _their_scan(x: Tensor, key: Tensor, query: Tensor, step: Tensor, rate: Tensor) -> Tensor:
    y: Tensor = _their_module().mamba2_chunk_scan(x, step, rate, key, query, chunk_size=256)
    return y


def _decoding() -> list[dict[str, Any]]:
    """Of every mixer whose state does not grow."""
    found = []
    sizes = {"d_model": 256, "n_heads": 4, "n_kv_heads": 4, "d_head": 64, "n_layers": 1, "layer": 0}
    for name in MIXERS:
        rope = Rope(64, context_length=CONTEXTS[-1] + RUNS * STEPS)
        mixer: Any = build("mixer", MIXERS, name, **sizes, position=rope).eval()
        if mixer.state_size(1) == mixer.state_size(CONTEXTS[-1]):
            found += decoding(name, mixer, 256, CONTEXTS)
    return found


if __name__ == "__main__":
    print(_memory(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
