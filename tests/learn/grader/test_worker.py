"""What the gate shuts away from learners' code."""

import sys

import pytest

from firsthand.learn.grader.worker import block

MODULE = """
import torch

@torch.no_grad()
def wrapped(x):
    return x

def plain(x):
    return x

class Part:
    def __init__(self, x):
        self.x = x
"""


@pytest.mark.parametrize("name", ["wrapped", "plain", "Part"])
def test_a_blocked_name_raises_however_one_has_come_by_it(tmp_path, monkeypatch, name):
    (tmp_path / "some_answer.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "some_answer", raising=False)
    module = __import__("some_answer")
    got_before = getattr(module, name)
    block(["some_answer"], [name])
    with pytest.raises(ImportError, match="the answer"):
        got_before(1)
    del sys.modules["some_answer"]
