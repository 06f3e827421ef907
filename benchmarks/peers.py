"""Whoever is timed beside us: a training step on random tokens, as a call. Equal shapes, AdamW and clipping for all."""

import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from firsthand import assemble, config
from firsthand.data.shards import Tokens
from firsthand.model.count import flops_per_token
from firsthand.train import precision
from firsthand.train.loop import Loop
from firsthand.train.parallel import Ranks

Step = Callable[[], Any]


@dataclass(frozen=True)
class Shape:
    """A model with GPT-2's layers, and the batches that it learns from."""

    n_layers: int
    d_model: int
    n_heads: int
    rows: int
    time: int = 256
    vocab_size: int = 65
    device: str = "cpu"

    @property
    def tokens(self) -> int:
        """Of one step."""
        return self.rows * self.time

    def text(self) -> Any:
        return np.random.default_rng(0).integers(0, self.vocab_size, 1_000_000).astype(np.uint16)


def ours(shape: Shape, model: Mapping[str, Any], optimizer: Any, compiled: bool = False) -> Loop:
    """The training loop, in the precision that a run would choose. `model`: fields of a recipe beside the sizes."""
    sizes = {"n_layers": shape.n_layers, "d_model": shape.d_model, "n_heads": shape.n_heads}
    tree: dict[str, Any] = {"model": {**sizes, "context_length": shape.time, **model}}
    tree |= {"data": {"batch_tokens": shape.tokens}, "train": {"optimizer": optimizer, "steps": 10**6}}
    settled, _ = assemble.settle(config.parse(tree, "benchmark"))
    device = torch.device(shape.device)
    chosen = precision.choose("auto", device)
    built = assemble.make_model(settled, shape.vocab_size).to(device)
    return Loop(
        built,
        assemble.make_objective(settled),
        assemble.make_optimizer(settled, built, chosen),
        assemble.make_schedule(settled),
        assemble.make_loader(settled, Tokens.of(shape.text()), shape.time, Ranks(), device),
        assemble.make_budget(settled),
        flops_per_token(built),
        device,
        chosen,
        compiled=compiled,
    )


def stepper(loop: Loop) -> Step:
    steps: Iterator[Any] = iter(loop)
    return lambda: next(steps)


def nanogpt(shape: Shape, compiled: bool) -> tuple[str, Step] | None:
    """Its model and optimizer as its train.py steps them, from the checkout that FIRSTHAND_NANOGPT names.

    On a CPU it knows no other precision than fp32; on CUDA its autocast is bf16.
    """
    folder = os.environ.get("FIRSTHAND_NANOGPT")
    if not folder:
        return None
    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(folder) / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    sizes = {"n_layer": shape.n_layers, "n_embd": shape.d_model, "n_head": shape.n_heads}
    sizes |= {"block_size": shape.time, "vocab_size": shape.vocab_size}
    model = module.GPT(module.GPTConfig(**sizes, dropout=0.0, bias=True)).to(shape.device)
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), shape.device)
    run = torch.compile(model) if compiled else model
    half = shape.device != "cpu"

    def loss(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(shape.device, torch.bfloat16, enabled=half):
            value: Tensor = run(x, y)[1]
        return value

    return "bf16" if half else "fp32", _step(shape, loss, model, optimizer)


def transformers(shape: Shape, compiled: bool) -> tuple[str, Step] | None:
    """GPT2LMHeadModel; `compiled` means all its best flags: autocast to bf16 and fused AdamW besides."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return None
    sizes = {"n_layer": shape.n_layers, "n_embd": shape.d_model, "n_head": shape.n_heads, "n_positions": shape.time}
    still = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=shape.vocab_size, **sizes, **still, **ends)).train().to(shape.device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=compiled)
    run = torch.compile(model) if compiled else model

    def loss(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(shape.device, torch.bfloat16, enabled=compiled):
            logits = run(x).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), y.flatten())

    return "bf16" if compiled else "fp32", _step(shape, loss, model, optimizer)


PEERS: dict[str, Callable[[Shape, bool], tuple[str, Step] | None]] = {"nanoGPT": nanogpt, "transformers": transformers}


def _step(shape: Shape, loss: Callable[[Tensor, Tensor], Tensor], model: nn.Module, optimizer: Any) -> Step:
    """A step as nanoGPT's train.py takes it: random windows, backward, clipping, optimizer."""
    text = shape.text()

    def step() -> None:
        starts = torch.randint(len(text) - shape.time, (shape.rows,)).tolist()
        x, y = (
            torch.stack([torch.from_numpy(text[i + shift : i + shift + shape.time].astype(np.int64)) for i in starts])
            for shift in (0, 1)
        )
        torch.autograd.backward(loss(x.to(shape.device), y.to(shape.device)))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def windows(sides: Mapping[str, Step], device: str = "cpu", count: int = 4, steps: int = 3) -> dict[str, float]:
    """Seconds of a step of each side: the median of `count` windows of `steps` steps, in turn, after two steps each."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(count + 1):
        for name, step in sides.items():
            start = time.perf_counter()
            for _ in range(steps if number else 2):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            if number:
                seconds[name].append((time.perf_counter() - start) / steps)
    return {name: statistics.median(values) for name, values in seconds.items()}
