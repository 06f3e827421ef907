"""A task: a small file that says which records to ask about, how, and what counts as right."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firsthand.errors import UserError, suggest
from firsthand.evaluate import records
from firsthand.evaluate.answers import MEASURES
from firsthand.evaluate.prompts import fill, value
from firsthand.evaluate.records import Record
from firsthand.types import Message

LARGEST = 1 << 20
"""Bytes of a task's file: it is a description, and its data lie elsewhere."""


class Task(BaseModel):
    """What a task's file may say. Texts with {places} are filled from each record (prompts.py).

    `choice`: which of several continuations is the most probable? `generate`: the model writes, and `metrics` compare
    with the right answer. `code`: what it writes is put into `program` and run, if the user allows it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    kind: Literal["choice", "generate", "code"]
    data: str = Field(description="a file of records, seen from the folder of the task's file")
    prompt: str
    answer: str = Field("", description="the right answer; for a choice its text, letter or number from 0")
    choices: str | list[str] = Field([], description="the continuations, or the field with their list")
    delimiter: str = Field(" ", description="between prompt and answer")
    examples: str | None = Field(None, description="a file of solved records, shown before each prompt")
    shots: int | None = Field(None, ge=0, description="how many of them; absent: all")
    separator: str = Field("\n\n", description="after each example")
    system: str | None = Field(None, description="for chat models")
    metrics: list[str] = ["exact", "normalized", "f1"]
    max_tokens: int = Field(256, ge=1)
    stop: list[str] = []
    temperature: float = Field(0.0, ge=0)
    program: str = Field("", description="for code: a text with {prompt}, {completion} and the record's fields")
    seconds: float = Field(10.0, gt=0, description="for code: how long a program may run")
    limit: int | None = Field(None, ge=1, description="so many records, drawn by the seed")
    seed: int = 0

    @model_validator(mode="after")
    def _whole(self) -> "Task":
        needed = {"choice": ("choices", "answer"), "generate": ("answer",), "code": ("program",)}[self.kind]
        for name in needed:
            if not getattr(self, name):
                raise ValueError(f"a task of kind {self.kind} needs {name!r}")
        for metric in self.metrics:
            if metric not in MEASURES:
                raise ValueError(f"there is no metric {metric!r}. {suggest(metric, MEASURES)}")
        return self


@dataclass(frozen=True)
class Item:
    """A record as a question. `right`: the accepted answers, or for a choice its number alone; empty for code."""

    number: int
    record: Record
    prompt: str
    choices: list[str]
    right: list[str] | list[int]


@dataclass(frozen=True)
class Loaded:
    """A task with its records. `examples`: solved ones, as (prompt, answer). `count`: records before the limit."""

    task: Task
    items: list[Item]
    examples: list[tuple[str, str]]
    count: int

    def text(self, item: Item) -> str:
        """The prompt behind the examples, as one text."""
        task = self.task
        shown = [prompt + task.delimiter + answer + task.separator for prompt, answer in self.examples]
        return "".join(shown) + item.prompt

    def messages(self, item: Item) -> list[Message]:
        """The same as a conversation: each example is a turn of the user and one of the assistant."""
        turns = [Message("system", self.task.system)] if self.task.system else []
        for prompt, answer in self.examples:
            turns += [Message("user", prompt), Message("assistant", answer)]
        return [*turns, Message("user", item.prompt)]


def load(path: str | Path, limit: int | None = None, seed: int | None = None) -> Loaded:
    """The task in a .yaml or .json file, and its records; `limit` and `seed` come before the file's own.

    UserError for a setting that is unknown or wrong, and for a record without what the task asks of it.
    """
    path = Path(path)
    tree = _tree(path)
    own = {"name": path.stem} | tree | {k: v for k, v in (("limit", limit), ("seed", seed)) if v is not None}
    try:
        task = Task.model_validate(own)
    except ValidationError as error:
        raise UserError(f"In {path}: {' '.join(_sentences(error))}") from error
    found = records.read(path.parent / task.data)
    chosen = list(range(len(found)))
    if task.limit is not None and task.limit < len(found):
        chosen = sorted(Random(task.seed).sample(chosen, task.limit))
    items = [_item(task, found[number], number, f"{task.data}, record {number + 1}") for number in chosen]
    return Loaded(task, items, list(_examples(task, path.parent)), len(found))


def _tree(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"There is no task file {path} (looked for {path.absolute()}).")
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} is too large for a task's description. Name its data in the setting `data`.")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML too
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {str(error)[:300]}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold settings, one a line, such as `kind: choice`.")
    return {str(name): setting for name, setting in tree.items()}


def _sentences(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        name = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            yield f"there is no setting {name!r}. {suggest(name, Task.model_fields)}"
        else:
            problem = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
            yield f"{name}: {problem}." if name else f"{problem.removesuffix('.')}."


def _examples(task: Task, folder: Path) -> Iterator[tuple[str, str]]:
    if task.examples is None:
        if task.shots:
            raise UserError(f"The task {task.name} shows {task.shots} examples but names no file of `examples`.")
        return
    found = records.read(folder / task.examples)
    shots = len(found) if task.shots is None else task.shots
    if shots > len(found):
        raise UserError(f"The task {task.name} shows {shots} examples, but {task.examples} has {len(found)}.")
    for number, record in enumerate(found[:shots]):
        item = _item(task, record, number, f"{task.examples}, record {number + 1}")
        yield item.prompt, str(item.choices[int(item.right[0])] if task.kind == "choice" else item.right[0])


def _item(task: Task, record: Record, number: int, where: str) -> Item:
    try:
        prompt = fill(task.prompt, record)
        if task.kind != "choice":
            accepted = value(task.answer, record) if task.answer else []
            several = accepted if isinstance(accepted, list) else [accepted]
            if task.kind == "generate" and not several:
                raise UserError("It has no right answer.")
            return Item(number, record, prompt, [], [str(one) for one in several])
        choices = value(task.choices, record) if isinstance(task.choices, str) else task.choices
        if not isinstance(choices, list) or len(choices) < 2:
            raise UserError("`choices` must give a list of two or more.")
        texts = [str(one) for one in choices] if isinstance(task.choices, str) else [fill(t, record) for t in choices]
        return Item(number, record, prompt, texts, [_right(value(task.answer, record), texts)])
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _right(answer: Any, choices: list[str]) -> int:
    """The number of the right choice, which is given as it, as its text, or as a letter."""
    if isinstance(answer, str):
        if answer in choices:
            return choices.index(answer)
        letter = answer.strip().upper()
        number = ord(letter) - ord("A") if len(letter) == 1 and letter.isalpha() else None
        number = int(letter) if number is None and letter.isdecimal() else number
    else:
        number = answer if isinstance(answer, int) else None
    if number is None or not 0 <= number < len(choices):
        raise UserError(
            f"The answer {answer!r} is none of the {len(choices)} choices: neither the text of one, nor a letter from "
            "A, nor a number from 0."
        )
    return number
