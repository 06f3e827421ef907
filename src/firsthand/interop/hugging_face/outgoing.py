"""A model of ours as a folder that transformers opens."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firsthand.checkpoint import files, tidy, write_safetensors
from firsthand.errors import DamagedError, UserError
from firsthand.interop.families import FAMILIES, Family
from firsthand.interop.families.full import Full, differences, in_full
from firsthand.interop.families.halves import halves
from firsthand.interop.families.rules import steps
from firsthand.interop.families.settings import Settings
from firsthand.interop.hugging_face.words import begin, ends, tokenizer_config
from firsthand.interop.imported import Imported

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def write_folder(model: Imported, out: Path, dtype: str) -> list[Path]:
    """Make the folder `out`, whole or not at all. UserError if no family can express the model: which field it is."""
    full = in_full(model.fields, model.vocab_size)
    weights, full = halves(model.weights, full)
    family, config = express(full, model.vocab_size)
    stops = ends(model)
    ids = {"bos_token_id": begin(model), "eos_token_id": _one(stops), "pad_token_id": _one(stops[-1:])}
    config |= {
        "model_type": family.model_type,
        "architectures": [family.architecture],
        "vocab_size": model.vocab_size,
        "dtype": str(DTYPES[dtype]).removeprefix("torch."),
        **ids,
    }
    half = tidy.temporary(out.parent)
    try:
        files.make_folder(half)
        write_safetensors(half / "model.safetensors", _theirs(family, weights, DTYPES[dtype]))
        _write_json(half / "config.json", config)
        _write_json(half / "generation_config.json", {**ids, "do_sample": False})
        _write_json(half / "tokenizer_config.json", tokenizer_config(model))
        model.tokenizer.save(half)
        files.sync_folder(half)
        files.move(half, out)
    except BaseException:
        if half.exists():
            files.remove(half)
        raise
    return [out / name for name in files.names(out)]


def express(full: Full, vocab_size: int) -> tuple[Family, dict[str, Any]]:
    """The first family that can express the model, and its config.json: one that, read back, gives this very model.

    UserError if there is none; it names what the nearest family has otherwise.
    """
    misses: list[tuple[int, str]] = []
    for family in FAMILIES.values():
        config = family.config_of(full)
        try:
            back = in_full(family.fields_of(Settings(config, "the export")), vocab_size)
        except UserError as reason:
            misses.append((99 if isinstance(reason, DamagedError) else 1, f"{family.model_type} cannot: {reason}"))
            continue
        apart = differences(full, back)
        if not apart:
            return family, config
        said = "; ".join(
            f"model.{key} is {mine!r}, there {theirs!r}" for key, (mine, theirs) in list(apart.items())[:4]
        )
        misses.append((len(apart), f"nearest is {family.model_type}, and differs: {said}"))
    _, nearest = min(misses, key=lambda miss: miss[0])
    raise UserError(f"No family of Hugging Face's known here can express this model: {nearest}. {_ADVICE}")


_ADVICE = "To be exported, a model is trained with one of the presets gpt2, llama, qwen3, mixtral, mamba or mamba2."


def _theirs(family: Family, weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    plan = steps(family.rules, {name: tuple(tensor.shape) for name, tensor in weights.items()})
    return {name: tensor.to(dtype) for step in plan for name, tensor in step.out(weights).items()}


def _one(ids: list[int]) -> int | list[int] | None:
    return ids if len(ids) > 1 else next(iter(ids), None)


def _write_json(path: Path, tree: dict[str, Any]) -> None:
    files.write(path, [json.dumps(tree, indent=2, ensure_ascii=False).encode() + b"\n"])
