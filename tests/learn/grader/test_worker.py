"""What is blocked raises, whatever it is wrapped in."""

import importlib
import sys

import pytest

from firsthand.learn.grader.worker import block

SOURCE = """
import torch


@torch.no_grad()
def decorated(x):
    return x


def plain(x):
    return x


class Thing:
    pass
"""


@pytest.mark.parametrize("name", ["decorated", "plain", "Thing"])
def test_a_blocked_answer_raises_also_where_it_was_decorated(name, tmp_path, monkeypatch):
    (tmp_path / "answer_in_here.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "answer_in_here", raising=False)
    part = getattr(importlib.import_module("answer_in_here"), name)
    block(["answer_in_here"], [name, "missing"])
    with pytest.raises(ImportError, match="not to be had"):
        part(1)
