"""What a teacher says of every token of a corpus, written once: then many students learn from it for nothing.

It is kept by the token's place in the corpus, so any order and any cut of the windows finds it. Of each place there are
the `top_k` likeliest next words and their ln p (16 bits), at one temperature. The teacher has read at least half of
what it can before each place (but near the beginning), whatever the student sees there.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from firsthand.compress.distillation.head import Aim
from firsthand.compress.distillation.teacher import Teacher
from firsthand.data.shards import Tokens
from firsthand.errors import DamagedError, UserError
from firsthand.tables import read_table
from firsthand.types import Place

INDEX = "taught.json"
SCHEMA = "firsthand.taught/1"
PART = 1 << 16
"""About so many places stand in one file; an interrupted command goes on after the last whole one."""
TOGETHER = 1 << 12
"""About so many tokens go through the teacher at once."""
ROWS = 512
"""Of so many the logits exist at once."""
LEAST = -6e4
"""The smallest ln p that is kept: near the end of what 16 bits can say."""

Done = Callable[[float], object]
_Item = TypeVar("_Item")


def same_text(tokens: Tokens) -> str:
    """The SHA-256 of the ids."""
    found = hashlib.sha256()
    for start in range(0, len(tokens), 1 << 22):
        found.update(tokens.slice(start, min(start + (1 << 22), len(tokens))).astype("<u4").tobytes())
    return found.hexdigest()


def teach(
    teacher: Teacher,
    tokens: Tokens,
    folder: Path,
    top_k: int = 32,
    temperature: float = 1.0,
    about: dict[str, Any] | None = None,
    done: Done = lambda share: None,
    part: int = PART,
) -> None:
    """Write what the teacher says of `tokens` to `folder`, or what is missing of it. `about`: noted in its index.

    UserError if the folder holds what was written otherwise.
    """
    context = min(teacher.model.context_length, len(tokens) - 1)
    stride = max(1, context // 2)
    part = max(1, part // stride) * stride
    top_k = min(top_k, tokens.vocab_size)
    index = {
        "schema": SCHEMA,
        "tokens": len(tokens),
        "sha256": same_text(tokens),
        "vocab_size": tokens.vocab_size,
        "fingerprint": tokens.fingerprint,
        "top_k": top_k,
        "temperature": temperature,
        "context": context,
        "part": part,
        **(about or {}),
    }
    _begin(folder, index)
    places = len(tokens) - 1
    done(0.0)
    for number, first in enumerate(range(0, places, part)):
        if not _file(folder, "logs", number).is_file():
            last = min(first + part, places)
            rows = list(_said(teacher, tokens, first, last, (context, stride), top_k, temperature))
            ids, logs = (np.concatenate(column) for column in zip(*rows, strict=True))
            _write(_file(folder, "ids", number), ids.astype("<u2" if tokens.vocab_size <= 1 << 16 else "<u4"))
            _write(_file(folder, "logs", number), logs.astype("<f2"))
        done(min(first + part, places) / places)


def _said(
    teacher: Teacher,
    tokens: Tokens,
    first: int,
    last: int,
    reach: tuple[int, int],
    top_k: int,
    temperature: float,
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Ids and ln p for the places from `first` up to `last`, some windows at a time. `reach`: context and stride."""
    context, stride = reach
    starts = range(first, last, stride)
    spans = [(max(0, end - context), start, end) for start in starts for end in [min(start + stride, last)]]
    device = next(teacher.model.parameters()).device
    for (_, kept), alike in groupby(spans, lambda span: (span[2] - span[0], span[2] - span[1])):
        for some in batched(alike, max(1, TOGETHER // context)):
            windows = np.stack([tokens.slice(begin, end) for begin, _, end in some]).astype(np.int64)
            ids = torch.from_numpy(windows).to(device)
            with torch.no_grad():
                x, _, _ = teacher.model.trunk(teacher.model.embed(ids, Place.of(ids)), Place.of(ids))
            for rows in torch.split(x[:, -kept:].flatten(0, 1), ROWS):
                logs = torch.log_softmax(teacher.logits(rows, tokens.vocab_size) / temperature, -1)
                likely = logs.topk(top_k, -1)
                yield likely.indices.cpu().numpy(), likely.values.clamp_min(LEAST).cpu().numpy()


def batched(items: Iterable[_Item], count: int) -> Iterator[list[_Item]]:
    """Lists of `count` items, the last perhaps shorter."""
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


class Stored:
    """What `teach` has written. UserError if there is nothing, DamagedError if it is not what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / INDEX).is_file():
            raise UserError(
                f"train.objective.logits: {folder} holds nothing that a teacher has said. Write it: firsthand data "
                f"teach RECIPE --teacher MODEL --out {folder}"
            )
        self.index = read_table(folder / INDEX)
        try:
            places, part, self.top_k = int(self.index["tokens"]) - 1, int(self.index["part"]), int(self.index["top_k"])
            self.temperature, self.vocab_size = float(self.index["temperature"]), int(self.index["vocab_size"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{folder / INDEX} does not say what it should ({error!s:.80}).") from None
        counts = [min(part, places - first) for first in range(0, places, part)]
        sides = [[self._read(name, number, count) for number, count in enumerate(counts)] for name in ("ids", "logs")]
        self._part, self._ids, self._logs = part, sides[0], sides[1]

    def _read(self, name: str, number: int, count: int) -> NDArray[Any]:
        path = _file(self.folder, name, number)
        if not path.is_file():
            raise UserError(f"{self.folder} is not finished: {path.name} is missing. Repeat the command that began it.")
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DamagedError(f"{path} is not a readable NPY file ({error}).") from None
        if array.shape != (count, self.top_k) or array.dtype.kind != ("u" if name == "ids" else "f"):
            raise DamagedError(f"{path} holds {array.dtype} of shape {array.shape}, not ({count}, {self.top_k}).")
        return array

    def check(self, tokens: Tokens, temperature: float) -> None:
        """UserError if this was said of another text, or at another temperature."""
        if self.index.get("fingerprint") != tokens.fingerprint:
            raise UserError(
                f"{self.folder} was written for another tokenizer (fingerprint {self.index.get('fingerprint')}) than "
                f"that of the training text ({tokens.fingerprint}). Train the student with the teacher's tokenizer."
            )
        if (self.index["tokens"], self.index.get("sha256")) != (len(tokens), same_text(tokens)):
            raise UserError(
                f"{self.folder} is about another text ({self.index['tokens']:,} tokens, this one has {len(tokens):,}). "
                "Write it again with the recipe of this run."
            )
        if self.temperature != temperature:
            raise UserError(
                f"{self.folder} was written at temperature {self.temperature}, and train.objective.temperature is "
                f"{temperature}. Set the one or write the other."
            )

    def covered(self) -> float:
        """The mean share of the teacher's probability that the words which are kept have."""
        sums = [np.exp(part[:].astype(np.float32)).sum() for part in self._logs]
        return float(sum(sums) / sum(len(part) for part in self._logs))

    def at(self, places: Int[Tensor, " rows"]) -> Aim:
        """What the teacher says after the tokens at these places of the corpus."""
        where = places.cpu().numpy()
        number, row = np.divmod(where, self._part)
        ids = np.empty((len(where), self.top_k), np.int64)
        logs = np.empty((len(where), self.top_k), np.float32)
        for one in np.unique(number).tolist():
            here = number == one
            ids[here], logs[here] = self._ids[one][row[here]], self._logs[one][row[here]]
        found = torch.from_numpy(ids).to(places.device)
        if len(ids) and int(found.max()) >= self.vocab_size:
            raise DamagedError(f"{self.folder} names words beyond its vocabulary of {self.vocab_size:,}.")
        return Aim(torch.from_numpy(logs).to(places.device), found)


def _begin(folder: Path, index: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / INDEX
    if path.is_file() and read_table(path) != index:
        before = read_table(path)
        other = min(key for key in before.keys() | index.keys() if before.get(key) != index.get(key))
        raise UserError(
            f"{folder} was written otherwise ({other} was {before.get(other)!r} and is now {index.get(other)!r}). "
            "Repeat the command that began it, or name a new folder."
        )
    path.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _file(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05}.npy"


def _write(path: Path, array: NDArray[Any]) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    partial.replace(path)
