"""What a check compares with, computed in another process and kept on disk: right answers, and those of known slips."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from firsthand.errors import UserError
from firsthand.learn.grader.checks import Checks, load
from firsthand.learn.grader.entry import NotStarted, shipped
from firsthand.learn.grader.leaves import Leaves, pack, unpack
from firsthand.learn.grader.mutate import Mutant, applied, mutants
from firsthand.learn.grader.profile import FINGERPRINT_SEED, Profile, answers, outputs, profile
from firsthand.learn.grader.subject import Subject
from firsthand.learn.manifest import PACKAGE, Exercise
from firsthand.text.download import cache

SEEDS = 5
"""How many seeds a check tries."""
FORMAT = 1


@dataclass(frozen=True)
class Prepared:
    """`answers`: see `profile.answers`. `mutants`: by name. `pairs`: outputs of two slips at once, by "one + other"."""

    answers: dict[str, Leaves]
    mutants: dict[str, Profile]
    pairs: dict[str, dict[str, Leaves]]


def seeds_of(seed: int) -> tuple[int, ...]:
    """The seeds that a check with this one tries."""
    return tuple(range(seed, seed + SEEDS))


def place(exercise: Exercise, what: str) -> Path:
    """Where something is kept: its name holds a hash of all that it was computed from."""
    return cache() / "learn" / f"{exercise.id}-{what}-{_version(exercise)}.safetensors"


def _version(exercise: Exercise) -> str:
    """A hash of our sources, the lesson's files, torch and the kind of machine."""
    ours = (path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("cli", "experiments"))
    lesson = [
        path for path in exercise.folder.rglob("*") if path.suffix in (".py", ".toml") and "stubs" not in path.parts
    ]
    digest = hashlib.sha256(f"{FORMAT} {_torch_version()} {sys.platform}".encode())
    for path in sorted((*ours, *lesson)):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _torch_version() -> str:
    return f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()}"


def prepare(exercise: Exercise, seed: int, pairs: bool = False) -> None:
    """Write what is missing: the answers for a seed, the slips, and if asked the pairs of slips."""
    checks = load(exercise)
    if not place(exercise, f"answers-{seed}").exists():
        subject = Subject(checks, shipped(exercise))
        seeds = tuple(dict.fromkeys((FINGERPRINT_SEED, *seeds_of(seed))))
        _write(place(exercise, f"answers-{seed}"), answers(subject, seeds))
    known = mutants(exercise)
    if not place(exercise, "mutants").exists():
        right = answers(Subject(checks, shipped(exercise)), (FINGERPRINT_SEED,))
        found = {name: _profile_of(one, exercise, checks, right) for name, one in known.items() if runs(one)}
        _write(place(exercise, "mutants"), found)
    if pairs and not place(exercise, "pairs").exists():
        _write(place(exercise, "pairs"), _pairs(exercise, checks, known))


def runs(mutant: Mutant) -> bool:
    """Whether it ever ends."""
    return not (mutant.symptom or "").startswith("timeout:")


def _profile_of(mutant: Mutant, exercise: Exercise, checks: Checks, right: dict[str, Leaves]) -> dict[str, Any]:
    with applied(mutant, exercise) as parts:
        found = profile(Subject(checks, parts, target=right))
    return {"outputs": found.outputs, "failed": list(found.failed), "warned": list(found.warned)}


def _pairs(exercise: Exercise, checks: Checks, known: Mapping[str, Mutant]) -> dict[str, dict[str, Leaves]]:
    """The outputs of two slips in one file at once, where both edits still find their place."""
    found = {}
    simple = [one for one in known.values() if one.edits and runs(one) and one.symptom is None]
    for one, other in combinations(simple, 2):
        both = Mutant(f"{one.name} + {other.name}", "", (*one.edits, *other.edits))
        try:
            with applied(both, exercise) as parts:
                found[both.name] = outputs(Subject(checks, parts), without=checks.once)
        except (UserError, SyntaxError, NotStarted):  # they do not go together
            continue
    return found


def read(exercise: Exercise, seed: int, pairs: bool = False) -> Prepared:
    """What has been prepared. FileNotFoundError if it has not."""
    slips = {
        name: Profile(row["outputs"], tuple(row["failed"]), tuple(row["warned"]))
        for name, row in _read(place(exercise, "mutants")).items()
    }
    both = _read(place(exercise, "pairs")) if pairs else {}
    return Prepared(_read(place(exercise, f"answers-{seed}")), slips, both)


def ready(exercise: Exercise, seed: int, pairs: bool = False) -> bool:
    """Whether `read` would find it all."""
    wanted = [f"answers-{seed}", "mutants", *(["pairs"] if pairs else [])]
    return all(place(exercise, what).exists() for what in wanted)


def _write(path: Path, tree: Any) -> None:
    tensors: dict[str, Tensor] = {}
    text = json.dumps(pack(tree, tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    # a file without tensors is refused by some readers
    save_file(
        {name: one.clone().contiguous() for name, one in (tensors | {"none": torch.zeros(1)}).items()},
        unfinished,
        {"tree": text},
    )
    os.replace(unfinished, path)


def _read(path: Path) -> Any:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        return unpack(json.loads(file.metadata()["tree"]), tensors)
