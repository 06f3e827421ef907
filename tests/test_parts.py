"""A part is found by its name or its file, takes what it names, and a slip is answered with what is valid."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from firsthand import parts
from firsthand.errors import UserError


@dataclass
class Small:
    d_model: int
    bias: bool = False


def anything(**arguments: Any) -> dict[str, Any]:
    return arguments


TABLE = {"small": Small, "anything": anything}


def _file(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("spec", ["small", {"part": "small"}])
def test_a_part_takes_what_is_offered_and_it_names(spec: parts.PartSpec) -> None:
    assert parts.build("model.mixer", TABLE, spec, d_model=8, n_heads=2) == Small(8)


def test_the_recipe_outranks_what_is_offered() -> None:
    spec = {"part": "small", "d_model": 4, "bias": True}
    assert parts.build("model.mixer", TABLE, spec, d_model=8) == Small(4, bias=True)


def test_a_part_that_takes_anything_gets_everything() -> None:
    assert parts.build("slot", TABLE, {"part": "anything", "x": 1}, d_model=8) == {"x": 1, "d_model": 8}


def test_a_module_without_a_constructor_takes_nothing() -> None:
    """torch's own constructor says **kwargs and means none."""

    class Bare(torch.nn.Module):
        pass

    assert isinstance(parts.build("slot", {"bare": Bare}, "bare", d_model=8), Bare)
    with pytest.raises(UserError, match="bare has no argument 'd_model'"):
        parts.build("slot", {"bare": Bare}, {"part": "bare", "d_model": 8})


def test_the_spec_is_left_as_it_was() -> None:
    spec = {"part": "small", "bias": True}
    parts.build("slot", TABLE, spec, d_model=8)
    assert spec == {"part": "small", "bias": True}


SLIPS: list[tuple[parts.PartSpec, list[str]]] = [
    ("smal", ["model.mixer", "'smal'", "Did you mean 'small'?", "anything, small", "file.py:Name"]),
    ({"part": "small", "d_modle": 4}, ["small has no argument 'd_modle'", "Did you mean 'd_model'?", "bias, d_model"]),
    ({"bias": True}, ["does not say which part", "{part: NAME, ...}"]),
    ({"part": "small"}, ["small needs the argument 'd_model'"]),
    ("nowhere/mine.py:Mine", ["there is no file nowhere/mine.py"]),
]


@pytest.mark.parametrize(("spec", "words"), SLIPS)
def test_a_slip_is_answered_with_what_is_valid(spec: parts.PartSpec, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parts.build("model.mixer", TABLE, spec)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_part_comes_from_a_file(tmp_path: Path) -> None:
    path = _file(
        tmp_path, "class Mine:\n    def __init__(self, d_model, scale=1):\n        self.size = d_model * scale\n"
    )
    assert parts.build("model.mixer", TABLE, {"part": f"{path}:Mine", "scale": 3}, d_model=2).size == 6


def test_a_file_may_define_dataclasses(tmp_path: Path) -> None:
    text = "from dataclasses import dataclass\n@dataclass\nclass Mine:\n    x: 'int' = 1\n"
    assert parts.build("slot", TABLE, f"{_file(tmp_path, text)}:Mine").x == 1


def test_layers_share_one_class_until_the_file_changes(tmp_path: Path) -> None:
    path = _file(tmp_path, "class Mine: pass\n")
    first, again = (parts.find("slot", TABLE, f"{path}:Mine") for _ in range(2))
    assert first is again
    later = Path(path).stat().st_mtime + 10
    Path(path).write_text("class Mine: new = True\n")
    os.utime(path, (later, later))
    assert parts.build("slot", TABLE, f"{path}:Mine").new


def test_a_file_without_the_name_says_what_it_defines(tmp_path: Path) -> None:
    path = _file(tmp_path, "class Mine: pass\n_hidden = 1\n")
    with pytest.raises(UserError, match=r"defines no 'Mein'. Did you mean 'Mine'\? Valid here: Mine\.$"):
        parts.find("slot", TABLE, f"{path}:Mein")


@pytest.mark.parametrize(
    ("text", "problem"), [("def broken(:", "SyntaxError"), ("import nothing_of_this_name", "nothing_of_this_name")]
)
def test_a_file_that_does_not_import_says_why(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parts.find("slot", TABLE, f"{_file(tmp_path, text)}:Mine")


NAMED: list[tuple[Any, Any, Any]] = [
    ("small", None, "small"),
    ("a.py:M", "a.py:M", "a.py:M"),
    ("a.py:M", "elsewhere/b.py:M", "elsewhere/b.py:M"),
    ({"part": "a.py:M", "x": 1}, "b.py:M", {"part": "b.py:M", "x": 1}),
    (["small", "a.py:M", {"part": "a.py:N"}], ["b.py:N", "c.py:M"], ["small", "c.py:M", {"part": "b.py:N"}]),
    (["a.py:M", "b.py:M"], ["a.py:M", "b.py:M"], ["a.py:M", "b.py:M"]),
]


@pytest.mark.parametrize(("saved", "given", "known"), NAMED)
def test_a_part_that_is_named_again_is_taken_from_there(saved: Any, given: Any, known: Any) -> None:
    assert parts.named_again("model.mixer", saved, given) == known


@pytest.mark.parametrize(
    ("saved", "given", "words"),
    [
        ("a.py:M", None, "command line: model.mixer=a.py:M"),
        (["a.py:M", "a.py:N"], "a.py:N", "command line: model.mixer=a.py:M"),
        ("a.py:M", "a.py:N", "command line: model.mixer=a.py:M"),
        ({"part": "small", "inner": "a.py:M"}, None, "command line: model.mixer=a.py:M"),
        ("small", "a.py:M", "names no part of this model: its model.mixer is 'small'"),
        ("small", "small", "names no part of this model"),
        ("a.py:M", ["a.py:M", "a.py:N"], "names no part of this model"),
    ],
)
def test_what_is_not_named_again_is_not_taken(saved: Any, given: Any, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        parts.named_again("model.mixer", saved, given)


def test_opening_a_checkpoint_runs_no_file(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = _file(tmp_path, f"open({str(mark)!r}, 'w')\nMine = dict\n")
    with pytest.raises(UserError, match="never runs code"):
        parts.build("model.mixer", TABLE, f"{path}:Mine", files=False)
    assert not mark.exists()
    assert parts.find("model.mixer", TABLE, "small", files=False) is Small
