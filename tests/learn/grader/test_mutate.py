"""Slips are applied to the running package and taken back, and an edit that no longer fits says so."""

import dataclasses
import importlib
import shutil
import sys

import pytest
import torch

from firsthand.errors import UserError
from firsthand.learn import manifest
from firsthand.learn.grader.mutate import Edit, Mutant, applied, dependents, edited, mutants

MASK = "ops/attention/mask.py"
WIDER = Mutant("wider", "", (Edit(MASK, ">= key_index[None, :]", "+ 1 >= key_index[None, :]"),))


def test_a_slip_is_there_within_and_gone_afterwards():
    exercise = manifest.exercise("causal_mask")
    attention = importlib.import_module("firsthand.ops.attention")
    before = dict(sys.modules)
    with applied(WIDER, exercise) as parts:
        assert parts.causal_mask(1, 2).tolist() == [[True, True]]
        # what was built on the edited file is built anew
        again = importlib.import_module("firsthand.ops.attention")
        value = torch.eye(2).expand(1, 1, 2, 2)
        zeros = torch.zeros(1, 1, 2, 2)
        leaked = again.attention(zeros, zeros, value, causal=True, version="reference")
        assert leaked[0, 0, 0].tolist() == [0.5, 0.5]
    assert importlib.import_module("firsthand.ops.attention") is attention
    assert attention.causal_mask(1, 2).tolist() == [[True, False]]
    changed = [name for name in before if name.startswith("firsthand") and sys.modules[name] is not before[name]]
    assert changed == []


def test_dependents_reach_over_several_files_and_spare_the_learning_path():
    importlib.import_module("firsthand.model.mixers.attention")
    found = dependents({"firsthand.ops.attention.mask"})
    assert {"firsthand.ops.attention", "firsthand.model.mixers.lookup", "firsthand.model.mixers.attention"} <= found
    assert not any(name.startswith("firsthand.learn") for name in found)


def test_edits_are_made_one_after_another():
    exercise = manifest.exercise("causal_mask")
    both = (Edit(MASK, "+ offset", "- offset"), Edit(MASK, "- offset", "* offset"))
    assert "* offset" in edited(both, exercise)[MASK]


@pytest.mark.parametrize(("find", "times"), [("no such line", 0), ("query_index", 2)])
def test_an_edit_that_does_not_stand_there_once_is_refused(find, times):
    with pytest.raises(UserError, match=f"stands {times} times in ops/attention/mask.py"):
        edited((Edit(MASK, find, ""),), manifest.exercise("causal_mask"))


def test_a_list_that_lacks_something_is_refused(tmp_path):
    exercise = manifest.exercise("causal_mask")
    shutil.copytree(exercise.folder, tmp_path / "lesson")
    copied = dataclasses.replace(exercise, folder=tmp_path / "lesson")
    (copied.folder / "mutants.toml").write_text('[causal_mask.odd]\nsay = "odd"\nfind = "x"\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"causal_mask.odd lacks 'put'"):
        mutants(copied)
    (copied.folder / "mutants.toml").write_text("[causal_mask", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read"):
        mutants(copied)


def test_a_slip_may_be_a_function(tmp_path):
    exercise = manifest.exercise("causal_mask")
    shutil.copytree(exercise.folder, tmp_path / "lesson")
    copied = dataclasses.replace(exercise, folder=tmp_path / "lesson")
    (copied.folder / "mutants.toml").write_text(
        '[causal_mask.none]\nsay = "all"\nfunction = "none"\n', encoding="utf-8"
    )
    (copied.folder / "mutants.py").write_text(
        "def none(parts):\n    right = parts.causal_mask\n    parts.causal_mask = lambda *a: ~right(*a)\n"
        "    return parts\n",
        encoding="utf-8",
    )
    with applied(mutants(copied)["none"], copied) as parts:
        assert parts.causal_mask(1, 2).tolist() == [[False, True]]
    with applied(Mutant("same", ""), exercise) as parts:
        assert parts.causal_mask(1, 2).tolist() == [[True, False]]
