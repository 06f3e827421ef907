"""Claims: a row of SmolLM2-135M's shape is written in int8 1.7 times as fast as in bf16, and in int4 as fast as by
llama.cpp in Q4_0.

Weights only are in few bits, in llama.cpp's blocks of 32: int8 is its Q8_0, int4 its Q4_0, both with a table of Q8_0.
All sides take the same random weights, turns and threads, and read a prompt of PROMPT tokens before they write NEW,
greedily; the median of some rounds counts, reading excluded (benchmarks/decode.py). A packed model must give the scores
of its definition first, which multiplies in fp32 with the decoded weights. "share of copy": of the bytes that must be
read for a token, beside the rate at which the machine copies memory. llama.cpp needs `pip install llama-cpp-python`.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.decode import LARGE, NEW, PROMPT, ROUNDS, _decoding, _model, ours
from benchmarks.llama_cpp import _theirs, _write
from benchmarks.report import roofs
from firsthand.generate.packed import pack
from firsthand.interop.gguf.blocks import blocks, kind_of
from firsthand.model.language_model import LanguageModel
from firsthand.model.quantized import put, quantized_parts
from firsthand.ops.quantized import Affine, Quantized

TABLE = Affine(8, 32)
FORMATS = {"int8": Affine(8, 32), "int4": Affine(4, 32)}
WHAT = "SmolLM2-135M"


def rows() -> list[dict[str, Any]]:
    models = {"bf16": _model(LARGE, 49152)} | {name: _few(_model(LARGE, 49152), name) for name in FORMATS}
    packed = {name: pack(model, "bf16") for name, model in models.items()}
    prompt = torch.randint(49152, (PROMPT,), generator=torch.Generator().manual_seed(1)).tolist()
    for name in FORMATS:
        _check(name, models[name], prompt)
    sides: dict[str, Callable[[int, int], Any]] = {
        f"firsthand {name}": lambda n, _, model=model: ours(model, [prompt], n) for name, model in packed.items()
    }
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        peers, missing = _peers(Path(folder), prompt)
        if missing:
            found.append({"what": f"{WHAT}, 1 row, tokens/s", "who": "llama.cpp", "figure": f"skipped: {missing}"})
        seconds = _decoding(sides | peers, 1)
    copy = roofs()["copy"] * 1e9
    for name, value in seconds.items():
        row: dict[str, Any] = {"what": f"{WHAT}, 1 row, tokens/s", "who": name, "figure": (NEW - 1) / value}
        row["over bf16"] = seconds["firsthand bf16"] / value
        own = name.removeprefix("firsthand ")
        if own in models:
            row["bytes a token"] = _bytes(models[own])
            row["share of copy"] = _bytes(models[own]) * (NEW - 1) / value / copy
        found.append(row)
    return found + _prefill(packed)


def _few(model: LanguageModel, name: str) -> LanguageModel:
    """The model with its maps in this format, and its table in int8."""
    for path, part in list(model.named_modules()):
        if type(part) is nn.Linear:
            put(model, path, Quantized.of(part.weight, FORMATS[name]))
    put(model, "embedding", Quantized.of(model.embedding.weight, TABLE))
    return model


@torch.inference_mode()
def _check(name: str, model: LanguageModel, prompt: list[int]) -> None:
    """A packed model in fp32 gives its definition's scores, token by token, to rounding, and writes the same ids."""
    ready = pack(model, "fp32")
    expected = model(torch.tensor([prompt]))[0, -1]
    off = float((ready(torch.tensor([prompt]))[0, -1] - expected).abs().max() / expected.abs().max())
    assert off < 1e-4, f"{name}: the scores differ by {off:.1%} of the largest"
    first = ours(ready, [prompt], 8)
    scores = model(torch.tensor([prompt + first[:-1]]))[0, len(prompt) - 1 :]
    gaps = (scores.amax(-1) - scores.gather(-1, torch.tensor(first).unsqueeze(-1)).squeeze(-1)) / scores.abs().amax()
    assert float(gaps.max()) < 1e-4, f"{name}: a token is written that is not the likeliest"


def _bytes(model: LanguageModel) -> int:
    """Of the weights that a token needs; in full they are in bf16, and a row of a table is nothing."""
    few = sum(part.quantized.bytes for _, part in quantized_parts(model))
    return few + sum(2 * parameter.numel() for parameter in model.parameters())


def _peers(folder: Path, prompt: list[int]) -> tuple[dict[str, Callable[[int, int], Any]], str]:
    """llama.cpp with the same numbers, and why it is left out."""
    try:
        import gguf
        import llama_cpp
    except ImportError as error:
        return {}, f"{error.name} is not installed"
    threads = {"n_threads": torch.get_num_threads(), "n_threads_batch": torch.get_num_threads()}
    sides: dict[str, Callable[[int, int], Any]] = {}
    for name, format in FORMATS.items():

        def store(tensor: str, weight: torch.Tensor, format: Affine = format) -> tuple[Any, Any]:
            few = Quantized.of(weight, TABLE if tensor.startswith("token_embd") else format)
            return blocks(few).numpy(), gguf.GGMLQuantizationType[str(kind_of(few))]

        path = folder / f"{name}.gguf"
        _write(gguf, _model(LARGE, 49152), 1e5, path, store)
        peer = llama_cpp.Llama(str(path), n_ctx=256, verbose=False, logits_all=False, **threads)
        sides[f"llama.cpp {kind_of(Quantized.of(torch.ones(1, 32), format))}"] = lambda n, _, peer=peer: _theirs(
            llama_cpp, peer, prompt, n
        )
    return sides, ""


@torch.inference_mode()
def _prefill(packed: dict[str, LanguageModel]) -> list[dict[str, Any]]:
    """Reading 512 tokens, the head at the last of them alone: the best of some rounds, in turn."""
    ids = torch.randint(49152, (1, 512), generator=torch.Generator().manual_seed(2)).tolist()
    best = dict.fromkeys(packed, float("inf"))
    for _ in range(ROUNDS + 1):
        for name, model in packed.items():
            start = time.perf_counter()
            ours(model, ids, 1)
            best[name] = min(best[name], time.perf_counter() - start)
    return [
        {
            "what": f"{WHAT}, prompt of 512, tokens/s",
            "who": f"firsthand {name}",
            "figure": 512 / seconds,
            "over bf16": best["bf16"] / seconds,
        }
        for name, seconds in best.items()
    ]
