"""What learners' tests share: two small lessons, a workspace, a grader that reads words, and the real one's cache."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firsthand.cli import main
from firsthand.learn import grading, manifest, workspace
from firsthand.learn.verdict import Verdict

FIRST = """
number = 1
title = "Schedules"
idea = "A rate that changes."
needs = []
budget = { quick = 5, long = 10 }
[break.rises]
ask = "What if the rate rises?"
[[exercise]]
id = "constant"
file = "rates.py"
entry = ["constant"]
solution = "train/schedules.py"
slot = "train.schedule"
minutes = 5
difficulty = 1
questions = ["Why warm up?", "Why decay?"]
[exercise.hints]
default = ["d1", "d2", "d3", "d4"]
rises = ["m1", "m2", "m3", "m4"]
bounds = ["p1", "p2", "p3", "p4"]
[[exercise]]
id = "linear"
file = "rates.py"
entry = ["linear"]
solution = "train/schedules.py"
minutes = 7
difficulty = 2
[exercise.hints]
default = ["d1", "d2", "d3", "d4"]
"""
SECOND = """
number = 2
title = "Norms"
idea = "A size that stays."
needs = [1]
budget = { quick = 5, long = 10 }
[[exercise]]
id = "norms"
file = "norms.py"
entry = ["RMSNorm"]
solution = "model/norms.py"
slot = "model.norm"
minutes = 10
difficulty = 3
[exercise.hints]
default = ["d1", "d2", "d3", "d4"]
[[exercise]]
id = "sampler"
file = "sampler.py"
entry = ["sample"]
solution = "generate/sampling.py"
slot = "generate.sampler"
minutes = 10
difficulty = 3
[exercise.hints]
default = ["d1", "d2", "d3", "d4"]
"""
PAGE = """# A comment that is no cell

# %% [markdown]
# # 1 · Schedules
#
# Text with <b>markup</b>.

# %% [markdown] tags=["exercise:constant"]
# Write it.

# %%
print("a run")

# %% tags=["slow", "break:rises"]
print("a long run")
"""
HOLE = '''"""{title}."""

import math


def {name}():
    """What it does."""
    raise NotImplementedError
'''
RIGHT = """def constant(warmup=0.0):
    return lambda fraction: 1.0
"""


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all tests of a process, so that slips are computed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRSTHAND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Path(tmp_path_factory.getbasetemp())


def by_words(exercise, file, seed):
    """Words in the file decide; the numbers of a real grader do not matter here."""
    text = file.read_text()
    more = {"what": "w", "why": "y", "next": "n"}
    if "NotImplementedError" in text:
        return Verdict(exercise.id, "not started", "import", **more)
    if "# rises" in text:
        return Verdict(exercise.id, "failed", "properties", "bounds", "rises", picture="▁▂", notes=("slow",), **more)
    if "# bounds" in text:
        return Verdict(exercise.id, "failed", "properties", "bounds", **more)
    if "# odd" in text:
        return Verdict(exercise.id, "error", what="The lesson itself is at fault.")
    return Verdict(exercise.id, "passed", seconds=0.1)


@pytest.fixture
def judge():
    return by_words


@pytest.fixture
def right():
    """A file that passes."""
    return RIGHT


@pytest.fixture
def lessons(tmp_path, monkeypatch) -> Path:
    """The folder of the lessons."""
    folder = tmp_path / "lessons"
    for slug, toml, stubs in (
        ("01_rates", FIRST, {"rates.py": ("Rates", "constant")}),
        ("02_norms", SECOND, {"norms.py": ("Norms", "RMSNorm"), "sampler.py": ("Sampler", "sample")}),
    ):
        (folder / slug / "stubs").mkdir(parents=True)
        (folder / slug / "lesson.toml").write_text(toml)
        (folder / slug / "lesson.py").write_text(PAGE)
        for name, (title, hole) in stubs.items():
            (folder / slug / "stubs" / name).write_text(HOLE.format(title=title, name=hole))
    rates = folder / "01_rates" / "stubs" / "rates.py"
    rates.write_text(rates.read_text() + "\n\ndef linear():\n    raise NotImplementedError\n")
    monkeypatch.setattr(manifest, "home", lambda: folder)
    monkeypatch.setattr(grading, "cold", by_words)
    manifest.lessons.cache_clear()
    yield folder
    manifest.lessons.cache_clear()


class Clock:
    """A minute later at every look."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(minutes=1)
        return self.time


@pytest.fixture
def mine(lessons, tmp_path, monkeypatch):
    """A workspace whose clock goes on by itself, in the current folder."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    made = workspace.start(Path("my_llm"))
    return workspace.Workspace(made.path, Clock())


@pytest.fixture
def firsthand(capsys, monkeypatch):
    """Runs `firsthand learn`; gives back exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["learn", *map(str, arguments)])
        return (exit_.value.code, *capsys.readouterr())

    return call
