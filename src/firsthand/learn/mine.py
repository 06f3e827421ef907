"""Your own parts in a real run: each slot whose exercise has passed, if its file is still the one that passed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from firsthand.errors import UserError
from firsthand.learn import manifest
from firsthand.learn.manifest import Exercise
from firsthand.learn.state import State
from firsthand.learn.workspace import Workspace, sha256_of
from firsthand.parts import files_in, find, split, takes

if TYPE_CHECKING:
    from firsthand.config import Config

SETTINGS = {
    "tokenizer.merges": "tokenizer.merges",
    "data.batches": "data.batches",
    "ops.attention": "train.attention",
    "ops.cross_entropy": "train.objective.cross_entropy",
    "model.mixer": "model.mixer",
    "model.ffn": "model.ffn",
    "model.block": "model.block",
    "model.position": "model.position",
    "model.norm": "model.norm",
    "model.initialize": "model.initialize",
    "train.objective": "train.objective",
    "train.optimizer": "train.optimizer",
    "train.schedule": "train.schedule",
    "adapt.adapter": "adapt.adapter",
}
"""By the slot of an exercise: the setting of a run that takes its part."""

ELSEWHERE = {
    "adapt.adapter": "it acts when a trained model is tuned: firsthand learn milestone M5",
    "train.objective.loss": "it acts when a teacher teaches a smaller model: firsthand learn milestone M7",
    "compress.quantizer": "it acts when a trained model is made smaller: firsthand learn milestone M7",
    "generate.sampler": "it acts when text is written: firsthand generate RUN --sampler my_llm/FILE.py:sample",
}
"""Slots that no setting of a run that begins anew fills, and why."""


@dataclass(frozen=True)
class Part:
    """`spec`: what the setting gets, file.py:Name. The name is the last of the exercise's `entry`. `arguments`: what
    the recipe gives the shipped part of that name."""

    exercise: str
    setting: str
    spec: str
    sha256: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def override(self) -> str:
        if not self.arguments:
            return f"{self.setting}={self.spec}"
        words = ", ".join(f"{name}: {json.dumps(one)}" for name, one in self.arguments.items())
        return f"{self.setting}={{part: {json.dumps(self.spec)}, {words}}}"


@dataclass(frozen=True)
class Mine:
    """`parts`: those that enter. `shipped`: settings that stay as they are, as their exercise has not passed.
    `elsewhere`: slots of passed exercises that no run takes, with the reason."""

    parts: tuple[Part, ...]
    shipped: tuple[str, ...]
    elsewhere: dict[str, str]

    def fitting(self, shipped: "Config") -> "Mine":
        """As this run takes them: what it has no place for stays out, and `elsewhere` says why.

        A part that stands in for the shipped one of its name is given the same arguments: with another learning rate
        the two runs would not tell whether the parts do the same.
        """
        tree, out = shipped.model_dump(mode="json"), _no_place(shipped)
        kept = tuple(replace(one, arguments=_arguments(one, tree)) for one in self.parts if one.setting not in out)
        left = tuple(one for one in self.shipped if one not in out)
        told = {one.setting: out[one.setting] for one in self.parts if one.setting in out}
        return Mine(kept, left, self.elsewhere | told)

    @property
    def overrides(self) -> list[str]:
        return [part.override for part in self.parts]

    @property
    def of_the_model(self) -> list[str]:
        """What has to be named again whenever a model that was trained with it is opened."""
        named = [part for part in self.parts if part.setting.startswith(("model.", "adapt."))]
        return [f"{part.setting}={part.spec}" for part in named]  # its arguments are kept with the model

    @property
    def banner(self) -> str:
        """How many of the parts that a run takes are the learner's, and which."""
        total = len(self.parts) + len(self.shipped)
        names = ", ".join(part.setting for part in self.parts)
        return f"{len(self.parts)} of {total} parts are yours{f': {names}' if names else ''}"

    def as_json(self) -> dict[str, Any]:
        return {
            "parts": [vars(part) | {"arguments": dict(part.arguments)} for part in self.parts],
            "shipped": list(self.shipped),
            "elsewhere": self.elsewhere,
        }


def _no_place(shipped: "Config") -> dict[str, str]:
    """The settings that such a run has no place for, and why."""
    out = {}
    if shipped.data.kind != "text":
        out["data.batches"] = f"data.kind={shipped.data.kind} has rows of its own"
    if shipped.model.weights:
        out["tokenizer.merges"] = "the model that this run begins with has a tokenizer"
    elif (kind := split(shipped.tokenizer)[0]) != "bpe":
        out["tokenizer.merges"] = (
            f"the tokenizer of this run is {kind}, which has no merges: firsthand learn milestone M1"
        )
    return out


def _arguments(part: Part, tree: Any) -> dict[str, Any]:
    """Of what the recipe gives the part in its place, all that it takes; nothing if that part is another one."""
    for key in part.setting.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or "part" not in tree:
        return {}
    name, given = split(tree)
    own = part.spec.rpartition(":")[2]
    if name.replace("_", "").lower() != own.replace("_", "").lower():
        return {}
    known, takes_any = takes(find(part.setting, {}, part.spec))
    return {key: one for key, one in given.items() if takes_any or key in known}


@dataclass(frozen=True)
class Functions:
    """The functions of a lesson by name: the learner's where their exercise has passed, and all the shipped ones.
    `mine`: the exercises that have passed, of all `exercises`."""

    functions: SimpleNamespace
    shipped: SimpleNamespace
    mine: tuple[str, ...]
    exercises: tuple[str, ...]

    @property
    def banner(self) -> str:
        names = f": {', '.join(self.mine)}" if self.mine else ""
        return f"{len(self.mine)} of {len(self.exercises)} parts are yours{names}"


def lesson_parts(workspace: Workspace, lesson: int) -> Functions:
    """What the exercises of a lesson ask for. UserError for a part that passed and has been changed since."""
    from firsthand.learn.grader.entry import learners, shipped

    exercises = manifest.lesson(lesson).exercises
    state = workspace.state()
    passed = [one for one in exercises if state.of(one.id).passed]
    for one in passed:
        _part(workspace, state, one.slot or one.id, [one])
    theirs = {name: part for one in exercises for name, part in vars(shipped(one)).items()}
    own = {name: part for one in passed for name, part in vars(learners(one, workspace.file(one))).items()}
    names = tuple(one.id for one in exercises)
    return Functions(SimpleNamespace(**theirs | own), SimpleNamespace(**theirs), tuple(one.id for one in passed), names)


def collect(
    workspace: Workspace,
    up_to: int | None = None,
    tuning: bool = False,
    built: Mapping[str, str] = MappingProxyType({}),
) -> Mine:
    """What of the workspace enters a run; `up_to`: parts of later lessons stay out. `tuning`: it has an adapter.

    Where two exercises fill one slot, the later one that has passed does; where `built` names, by setting, the part
    that a model was trained with, the one of that name. UserError for a part that passed and has been changed since.
    """
    state = workspace.state()
    parts: list[Part] = []
    shipped: list[str] = []
    elsewhere: dict[str, str] = {}
    for slot, exercises in _by_slot(up_to).items():
        passed = [one for one in exercises if state.of(one.id).passed]
        named = built.get(SETTINGS.get(slot, ""))
        passed = [one for one in passed if named in (None, one.entry[-1])]
        if slot == "model.position" and passed and _deaf(parts):
            passed = [one for one in passed if _embeds(workspace, one)]
            if not passed:
                elsewhere[slot] = "it acts on queries and keys, and your attention takes no position before lesson 10"
        if slot not in SETTINGS or (slot in ELSEWHERE and not tuning):
            if passed:
                elsewhere[slot] = ELSEWHERE.get(slot, "no setting of a run takes it")
        elif passed:
            parts.append(_part(workspace, state, slot, passed))
        else:
            shipped.append(SETTINGS[slot])
    return Mine(tuple(parts), tuple(shipped), elsewhere)


def built_from(trained: "Config") -> dict[str, str]:
    """The names of the parts from files that a run's model was built from, by setting."""
    specs = {f"model.{key}": files_in(spec) for key, spec in trained.model.model_dump(mode="json").items()}
    return {setting: files[0].rpartition(":")[2] for setting, files in specs.items() if files}


def _deaf(parts: list[Part]) -> bool:
    """Whether the mixer is the learner's and takes no position: one that turns queries and keys would do nothing."""
    mixers = [part.spec for part in parts if part.setting == "model.mixer"]
    return bool(mixers) and "position" not in takes(find("model.mixer", {}, mixers[0]))[0]


def _embeds(workspace: Workspace, exercise: Exercise) -> bool:
    """Whether a position scheme is added to the tokens, and so needs no mixer that knows of it."""
    from firsthand.model import Position

    made: Any = find("model.position", {}, f"{workspace.file(exercise)}:{exercise.entry[-1]}")
    return getattr(made, "embed", None) is not Position.embed


def _by_slot(up_to: int | None) -> dict[str, list[Exercise]]:
    slots: dict[str, list[Exercise]] = {}
    for exercise in manifest.exercises():
        if exercise.slot and (up_to is None or exercise.lesson <= up_to):
            slots.setdefault(exercise.slot, []).append(exercise)
    return slots


def _part(workspace: Workspace, state: State, slot: str, passed: list[Exercise]) -> Part:
    """The part that fills the slot: of the exercises that passed, the last whose file is as it was then."""
    for exercise in reversed(passed):
        file = workspace.file(exercise)
        found = sha256_of(file) if file.is_file() else None
        if found and found == state.of(exercise.id).sha256:
            return Part(exercise.id, SETTINGS.get(slot, slot), f"{file}:{exercise.entry[-1]}", found)
    last = passed[-1]
    raise UserError(
        f"{workspace.file(last)} has changed since {last.id} passed, so it does not enter a run. Check it again: "
        f"firsthand learn check {last.id}"
    )
