"""An answer that is blocked raises, however it was made."""

import subprocess
import sys

import pytest

SCRIPT = """
from {module} import {name}
from firsthand.learn.grader.worker import block
block(["{module}"], ["{name}", "no_such_name"])
try:
    {name}([], 1.0, None)
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "name"),
    [("firsthand.train.clip", "clip_by_norm"), ("firsthand.train.schedules", "constant")],
    ids=["with a decorator", "plain"],
)
def test_a_blocked_answer_raises(module, name):
    script = SCRIPT.format(module=module, name=name)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "this is the answer" in ended.stdout, ended.stderr
