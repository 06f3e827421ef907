"""Programs of models: what passes, what does not, and what their process may not do."""

import sys
import time
from types import SimpleNamespace

import pytest

from firsthand.errors import UserError
from firsthand.evaluate import code

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no limits for a process on Windows")


def test_exit_code_0_is_success():
    assert code.run("assert 1 + 1 == 2\nprint('done')", 10) == code.Outcome(True, "passed", "done\n")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("assert 1 + 1 == 3", "AssertionError"),
        ("def f(:", "SyntaxError"),
        ("x = bytearray(1 << 31)", "MemoryError"),
        ("open('big', 'wb').write(bytes(1 << 25))", "File too large"),
        ("import torch", "No module named 'torch'"),
        ("import os; assert 'SECRET' in os.environ", "AssertionError"),
        ("input()", "EOFError"),
    ],
)
def test_failures(program, says, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    outcome = code.run(program, 20)
    assert not outcome.passed
    assert says in outcome.output


def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path):
    sign = tmp_path / "sign"
    child = f"import time; time.sleep(2); open({str(sign)!r}, 'w')"
    outcome = code.run(
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\nwhile True: pass", 1
    )
    assert outcome.reason == "not done after 1 s"
    time.sleep(2)
    assert not sign.exists()


def test_endless_output_is_cut():
    outcome = code.run("while True: print('x' * 1000)", 20)
    assert not outcome.passed
    assert len(outcome.output) <= code.SHOWN


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(code.tempfile, "tempdir", str(tmp_path))
    outcome = code.run("import os\nopen('made', 'w').close()\nprint(os.listdir('.'))", 10)
    assert "made" in outcome.output
    assert list(tmp_path.iterdir()) == []


def test_windows_is_refused(monkeypatch):
    monkeypatch.setattr(code, "os", SimpleNamespace(name="nt"))
    with pytest.raises(UserError, match="Windows"):
        code.run("", 1)


def test_the_code_of_an_answer():
    assert code.block("Here:\n```python\nx = 1\n```\nDone. ```y```") == "x = 1\n"
    assert code.block("x = 1") == "x = 1"
    assert code.block("```\nx = 1") == "x = 1"
