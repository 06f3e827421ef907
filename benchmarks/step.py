"""Claim: a training step takes a fraction of the time that nanoGPT and `transformers` need for it, equal shapes.

GPT-2's layers over characters at T = 256, a random text, AdamW and clipping on every side. Each side stands twice: as
its README runs it on a CPU, and with its best flags. All in turn, several windows each; the median window counts.
"share of peak" divides model FLOPs (6 for each weight and token, and the causal half of attention) by the best matmul
rate of this process. nanoGPT is read from the checkout that FIRSTHAND_NANOGPT names, and left out without it.
"""

import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from firsthand import assemble, config
from firsthand.data.shards import Tokens
from firsthand.model.count import flops_per_token
from firsthand.ops.roof import measure_peak
from firsthand.train import precision
from firsthand.train.loop import Loop
from firsthand.train.parallel import Ranks

SHAPES = ((6, 256, 4, 16), (6, 384, 6, 16))
"""Layers, width, heads, rows of T."""
TIME, VOCAB_SIZE, WINDOWS, STEPS = 256, 65, 4, 3
TEXT = np.random.default_rng(0).integers(0, VOCAB_SIZE, 1_000_000).astype(np.uint16)
CPU = torch.device("cpu")


def rows() -> list[dict[str, Any]]:
    return [row for shape in SHAPES for row in _shape(*shape)]


def _shape(n_layers: int, d_model: int, n_heads: int, batch: int) -> list[dict[str, Any]]:
    size = {"n_layers": n_layers, "d_model": d_model, "n_heads": n_heads}
    sides: dict[str, Callable[[], Any]] = {}
    for compiled in (False, True):
        name = "compiled" if compiled else "eager"
        loop = ours({"preset": "gpt2", "dropout": 0.0, **size}, "adamw", batch, compiled)
        sides[f"firsthand, {loop.precision}, {name}"] = stepper(loop)
        for peer in (nanogpt, transformers_gpt2):
            step = peer(size, batch, compiled)
            if step is not None:
                sides[f"{peer.__name__}, {'bf16' if peer is transformers_gpt2 and compiled else 'fp32'}, {name}"] = step
    flops = flops_per_token(loop.model)
    rates = {name: batch * TIME / seconds for name, seconds in windows(sides).items()}
    first = next(iter(rates.values()))
    return [
        {
            "layers x width": f"{n_layers} x {d_model}",
            "who": name,
            "tokens/s": rate,
            "share of peak": rate * flops / measure_peak(),
            "ours, eager, over it": first / rate,
        }
        for name, rate in rates.items()
    ]


def windows(sides: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of a step of each side: the median of WINDOWS windows of STEPS steps, in turn, after two steps each."""
    for step in sides.values():
        step(), step()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(WINDOWS):
        for name, step in sides.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                step()
            seconds[name].append((time.perf_counter() - start) / STEPS)
    return {name: statistics.median(values) for name, values in seconds.items()}


def ours(model: dict[str, Any], optimizer: Any, batch: int, compiled: bool = False) -> Loop:
    """The training loop on random characters, in the precision that a run would choose."""
    tree = {"model": {"context_length": TIME, **model}, "data": {"batch_tokens": batch * TIME}}
    settled, _ = assemble.settle(config.parse(tree | {"train": {"optimizer": optimizer, "steps": 10**6}}, "benchmark"))
    chosen = precision.choose("auto", CPU)
    built = assemble.make_model(settled, VOCAB_SIZE)
    return Loop(
        built,
        assemble.make_objective(settled),
        assemble.make_optimizer(settled, built, chosen),
        assemble.make_schedule(settled),
        assemble.make_loader(settled, Tokens.of(TEXT), TIME, Ranks(), CPU),
        assemble.make_budget(settled),
        flops_per_token(built),
        CPU,
        chosen,
        compiled=compiled,
    )


def stepper(loop: Loop) -> Callable[[], Any]:
    steps: Iterator[Any] = iter(loop)
    return lambda: next(steps)


def nanogpt(size: dict[str, int], batch: int, compiled: bool) -> Callable[[], Any] | None:
    """Its model and optimizer in its loop: on a CPU it knows no other precision than fp32."""
    folder = os.environ.get("FIRSTHAND_NANOGPT")
    if not folder:
        return None
    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(folder) / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    names = {"n_layers": "n_layer", "d_model": "n_embd", "n_heads": "n_head"}
    shape = {names[key]: value for key, value in size.items()} | {"block_size": TIME, "vocab_size": VOCAB_SIZE}
    model = module.GPT(module.GPTConfig(**shape, dropout=0.0, bias=True))
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
    run = torch.compile(model) if compiled else model
    return _peer_step(lambda x, y: run(x, y)[1], model, optimizer, batch)


def transformers_gpt2(size: dict[str, int], batch: int, compiled: bool) -> Callable[[], Any] | None:
    """GPT2LMHeadModel; compiled means all its best flags: autocast to bf16 and fused AdamW besides."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return None
    shape = {"n_layer": size["n_layers"], "n_embd": size["d_model"], "n_head": size["n_heads"], "n_positions": TIME}
    still = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB_SIZE, **shape, **still, **ends)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=compiled)
    run = torch.compile(model) if compiled else model

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=compiled):
            logits = run(x).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), y.flatten())

    return _peer_step(loss, model, optimizer, batch)


def _peer_step(loss: Callable[..., Any], model: torch.nn.Module, optimizer: Any, batch: int) -> Callable[[], None]:
    """A step as nanoGPT's train.py takes it: random windows, backward, clipping, optimizer."""

    def step() -> None:
        starts = torch.randint(len(TEXT) - TIME, (batch,)).tolist()
        x, y = (
            torch.stack([torch.from_numpy(TEXT[i + shift : i + shift + TIME].astype(np.int64)) for i in starts])
            for shift in (0, 1)
        )
        loss(x, y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
