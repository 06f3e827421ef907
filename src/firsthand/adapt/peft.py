"""Adapters in the files of the library `peft`: adapter_config.json and adapter_model.safetensors.

Names are those of the base's Hugging Face form; whoever calls says which map of theirs holds which of ours.
(https://huggingface.co/docs/peft, "Checkpoint format"; the names of what learns are those of peft 0.17 and later.)
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from firsthand.checkpoint import files, read_safetensors, write_safetensors
from firsthand.errors import DamagedError, UserError
from firsthand.parts import PartSpec, split
from firsthand.tables import read_table

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
OWN = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "magnitude": "lora_magnitude_vector"}
PLAIN: dict[str, Any] = {
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "layers_to_transform": None,
    "layer_replication": None,
    "lora_bias": False,
    "megatron_config": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "alora_invocation_tokens": None,
}
"""Settings that change what is computed, and their only value here."""

Maps = Mapping[str, Sequence[tuple[str, int]]]
"""By their names of linear maps: those of ours that each holds, side by side, and the size of what they give."""


def fits(path: Path) -> bool:
    """Whether `path` is a folder that peft has written."""
    return (path / CONFIG).is_file()


def base_of(path: Path) -> str:
    """The name of the model that the adapter in a folder was made for."""
    name = read_table(path / CONFIG).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise UserError(f"{path / CONFIG} does not say which model the adapter is for (base_model_name_or_path).")
    return name


def read_peft(path: Path, maps: Maps) -> tuple[PartSpec, dict[str, Tensor]]:
    """The adapter in a folder as a part, and what it has learnt by our parameter names.

    UserError for what is not known here.
    """
    settings = read_table(path / CONFIG)
    for key, plain in PLAIN.items():
        if settings.get(key, plain) not in (plain, None) and settings[key]:
            raise UserError(f"{path / CONFIG}: {key} = {settings[key]!r} is not known here; only {plain!r} is.")
    if settings.get("peft_type") != "LORA":
        raise UserError(
            f"{path / CONFIG}: {settings.get('peft_type')!r} is not known here; LORA is, with use_dora too."
        )
    theirs = {tail: own for own, tail in OWN.items()} | {"lora_magnitude_vector.weight": "magnitude"}
    learnt: dict[str, Tensor] = {}
    for key, tensor in read_safetensors(path / WEIGHTS).items():
        module, _, tail = key.removeprefix(PREFIX).partition(".lora_")
        if module not in maps or f"lora_{tail}" not in theirs:
            raise UserError(f"{path / WEIGHTS}: the base has no place for {key!r}.")
        own, ours = theirs[f"lora_{tail}"], maps[module]
        sizes = [size for _, size in ours]
        if own != "lora_a" and len(tensor) != sum(sizes):
            raise UserError(f"{path / WEIGHTS}: {key} has {len(tensor)} rows; the base's map gives {sum(sizes)}.")
        parts = [tensor] * len(ours) if own == "lora_a" else tensor.split_with_sizes(sizes)
        learnt |= {f"{name}.{own}": part.float() for (name, _), part in zip(ours, parts, strict=True)}
    return _part(settings, path) | {"targets": _maps(learnt)}, learnt


def write_peft(path: Path, adapter: PartSpec, learnt: Mapping[str, Tensor], maps: Maps, base: str) -> list[Path]:
    """Write what an adapter has learnt (by our names) for peft into the folder `path`; returns the files.

    `base`: how peft is to find the model that it was made for. UserError for what peft has no words for.
    """
    kind, arguments = split(adapter)
    adapted = _maps(learnt)
    odd = [name for name in learnt if name.rpartition(".")[2] not in OWN]
    if kind not in ("lora", "dora") or odd:
        raise UserError(
            f"peft has no place for {odd[0] if odd else kind!r}: an adapter file holds what LoRA or DoRA have learnt "
            "and nothing else. Export the whole model instead (--format hf)."
        )
    theirs = {ours[0][0]: name for name, ours in maps.items() if len(ours) == 1}
    joined = [name for name in adapted if name not in theirs]
    if joined:
        raise UserError(
            f"The base's Hugging Face form has no map that is {joined[0]} alone, so peft cannot fasten an adapter to "
            "it. Export the whole model instead (--format hf)."
        )
    targets = {theirs[name] for name in adapted}
    lasts = {name.rpartition(".")[2] for name in targets}
    whole = {name for name in maps if name.rpartition(".")[2] in lasts} == targets
    settings = PLAIN | {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": arguments.get("rank", 8),
        "lora_alpha": arguments.get("alpha", 16.0),
        "lora_dropout": arguments.get("dropout", 0.0),
        "use_rslora": arguments.get("rank_stabilized", False),
        "use_dora": kind == "dora",
        "target_modules": sorted(lasts if whole else targets),
    }
    tensors = {}
    for name, tensor in learnt.items():
        module, _, own = name.rpartition(".")
        tensors[f"{PREFIX}{theirs[module]}.{OWN[own]}"] = tensor.detach()
    path.mkdir(parents=True, exist_ok=True)
    files.write(path / CONFIG, [json.dumps(settings, indent=1).encode() + b"\n"])
    write_safetensors(path / WEIGHTS, tensors)
    return [path / CONFIG, path / WEIGHTS]


def _part(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The adapter's part and its arguments. DamagedError for numbers that are none."""
    rank, alpha, dropout = settings.get("r", 8), settings.get("lora_alpha", 8), settings.get("lora_dropout", 0.0)
    if type(rank) is not int or not all(isinstance(number, int | float) for number in (alpha, dropout)):
        raise DamagedError(f"{path / CONFIG} is damaged: r, lora_alpha and lora_dropout must be numbers.")
    dora, stabilized = bool(settings.get("use_dora")), bool(settings.get("use_rslora"))
    if dora and stabilized:
        alpha = alpha * rank**0.5  # alpha / √rank, said in DoRA's own terms
    part = {"part": "dora" if dora else "lora", "rank": rank, "alpha": float(alpha), "dropout": float(dropout)}
    return part if dora else part | {"rank_stabilized": stabilized}


def _maps(learnt: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in learnt))
