"""A disk that tells what was done to it, fails on demand, and can be put back to any moment of its past."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from firsthand import checkpoint
from firsthand.checkpoint import files


class Disk:
    """Stands for `os` in checkpoint/files.py. `operations` are those that change the disk or wait for it."""

    def __init__(self) -> None:
        self.operations: list[tuple[Any, ...]] = []
        self.fails: Callable[[int, str], int | None] = lambda number, kind: None
        self.short = False
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _do(self, kind: str, *details: Any) -> None:
        number = len(self.operations)
        self.operations.append((kind, *details))
        code = self.fails(number, kind)
        if code is not None:
            raise OSError(code, os.strerror(code), str(details[0]))

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._do("create", str(path))
        file = os.open(path, flags, mode)
        self._paths[file] = str(path)
        return file

    def write(self, file: int, data: memoryview) -> int:
        if self.short and len(data) > 1:
            data = data[: len(data) // 2]
        self._do("write", self._paths[file], bytes(data))
        return os.write(file, data)

    def fsync(self, file: int) -> None:
        self._do("fsync", self._paths[file])  # recorded, not waited for: no power fails here

    def mkdir(self, path: Path) -> None:
        self._do("mkdir", str(path))
        os.mkdir(path)

    def replace(self, source: Path, target: Path) -> None:
        self._do("replace", str(source), str(target))
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        self._do("unlink", str(path))
        os.unlink(path)

    def rmdir(self, path: Path) -> None:
        self._do("rmdir", str(path))
        os.rmdir(path)


@dataclass
class Node:
    """A file or folder: what programs see, and what of it would survive a power cut."""

    data: bytes = b""
    synced_data: bytes = b""
    names: "dict[str, Node] | None" = None
    synced_names: "dict[str, Node]" = field(default_factory=dict)
    waiting: list[dict[str, "Node | None"]] = field(default_factory=list)
    """Changes of names since the last sync, in order; each happens as a whole."""


class Past:
    """A model of the folder `base`: replay operations, then write out what a crash would leave, in four ways.

    "all": the process died. "names": the power failed, unsynced data is lost, names are not. "none": unsynced names
    are lost too. "some": any of the unsynced changes of names may have happened.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = self._snapshot(base)

    def apply(self, operation: tuple[Any, ...]) -> None:
        kind, path, *rest = operation
        if kind == "fsync":
            node = self._node(path)
            node.synced_data, node.synced_names = node.data, dict(node.names or {})
            node.waiting.clear()
        elif kind == "write":
            self._node(path).data += rest[0]
        elif kind in ("create", "mkdir"):
            self._change(path, {os.path.basename(path): Node(names={} if kind == "mkdir" else None)})
        elif kind == "replace":
            assert os.path.dirname(path) == os.path.dirname(rest[0])
            self._change(path, {os.path.basename(path): None, os.path.basename(rest[0]): self._node(path)})
        else:
            self._change(path, {os.path.basename(path): None})

    def leave(self, target: Path, way: str, luck: random.Random) -> None:
        self._write(self.root, target, way, luck)

    def _node(self, path: str) -> Node:
        node = self.root
        for name in Path(path).relative_to(self.base).parts:
            assert node.names is not None
            node = node.names[name]
        return node

    def _change(self, path: str, changes: "dict[str, Node | None]") -> None:
        folder = self._node(os.path.dirname(path))
        assert folder.names is not None
        folder.waiting.append(changes)
        self._rename(folder.names, changes)

    @staticmethod
    def _rename(names: dict[str, Node], changes: "dict[str, Node | None]") -> None:
        for name, node in changes.items():
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node

    def _snapshot(self, path: Path) -> Node:
        if path.is_dir():
            names = {name: self._snapshot(path / name) for name in os.listdir(path) if name != ".lock"}
            return Node(names=names, synced_names=dict(names))
        return Node(data=path.read_bytes(), synced_data=path.read_bytes())

    def _write(self, node: Node, target: Path, way: str, luck: random.Random) -> None:
        if node.names is None:
            target.write_bytes(node.data if way == "all" else node.synced_data)
            return
        target.mkdir()
        names = dict(node.names if way in ("all", "names") else node.synced_names)
        if way == "some":
            for changes in node.waiting:
                if luck.random() < 0.5:
                    self._rename(names, changes)
        for name, inner in names.items():
            self._write(inner, target / name, way, luck)


def content(step: int) -> dict[str, Any]:
    """What the tests save at `step`: small, odd shapes, several types, each step's own."""
    generator = torch.Generator().manual_seed(step)
    weights = {
        "embed.weight": torch.randn(33, 17, generator=generator),
        "norm.gain": torch.randn(17, generator=generator).to(torch.bfloat16),
        "scale": torch.tensor(float(step)),
        "unused": torch.zeros(0, 3),
    }
    state = {f"{name}.exp_avg": torch.randn(value.shape, generator=generator) for name, value in weights.items()}
    state["embed.weight.step"] = torch.tensor(step)
    return {
        "model": weights,
        "optimizer": state,
        "loop": {"step": step, "tokens": step * 2**40, "best": 1.1 * step, "note": "é\u2028"},
        "config": {"train": {"seed": step}},
        "tokenizer": b'{"version": "1.0", "step": %d}' % step,
    }


def same(loaded: "checkpoint.Checkpoint | None", step: int) -> bool:
    """Whether `loaded` is to the bit what was saved at `step`."""
    expected = content(step)
    if loaded is None or loaded.step != step or loaded.loop != expected["loop"] or loaded.config != expected["config"]:
        return False
    if (loaded.path / "tokenizer.json").read_bytes() != expected["tokenizer"]:
        return False
    pairs = [(loaded.model, expected["model"]), (loaded.optimizer, expected["optimizer"])]
    return all(
        set(one) == set(other)
        and all(torch.equal(one[key], other[key]) and one[key].dtype == other[key].dtype for key in one)
        for one, other in pairs
    )


@dataclass
class Kit:
    """What the tests of this folder share (test files cannot import each other)."""

    content = staticmethod(content)
    same = staticmethod(same)
    Past = Past

    @staticmethod
    def save(root: Path, step: int, **more: Any) -> Path:
        return checkpoint.save(root, step, **content(step), **more)


@pytest.fixture
def kit() -> Kit:
    return Kit()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """From here on, files.py works on a disk that records."""
    disk = Disk()
    monkeypatch.setattr(files, "os", disk)
    return disk
