"""Whatever a learner's file does, the answer is a verdict in words, and the one who asked lives on."""

import time

import pytest

from firsthand.learn import manifest
from firsthand.learn.grader.check import Grader, check
from firsthand.learn.grader.entry import module_name
from firsthand.learn.verdict import Verdict

BODY = """import os
import sys

import torch


def attention(query, key, value, visible):
"""
RIGHT = """    scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~visible, -torch.inf)
    return scores.softmax(-1).nan_to_num(0.0) @ value
"""
HEAD = """import torch
from torch import nn


def pool_last(hidden, lengths):
    return hidden[torch.arange(len(hidden)), lengths - 1]


class ClassifierHead(nn.Linear):
    def __init__(self, d_model, num_classes):
        super().__init__(d_model, num_classes)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
"""
ENDLESS = """def wordpiece_score(pair, left, right):
    return pair / (left * right)


def wordpiece_encode(word, vocab, unknown="[UNK]"):
    ids, start = [], 0
    while start < len(word) or not {0!r}:
        ends = [n for n in range(len(word), start, -1) if ("##" if start else "") + word[start:n] in vocab]
        if ends:
            ids.append(vocab[("##" if start else "") + word[start : ends[0]]])
            start = ends[0]
    return ids
"""


@pytest.fixture(scope="module")
def grader():
    with Grader(manifest.exercise("attention_op")) as one:
        yield one


@pytest.fixture
def ask(grader, tmp_path):
    def run(text, **arguments) -> Verdict:
        file = tmp_path / "lookup.py"
        file.write_text(text, encoding="utf-8")
        return grader.check(manifest.exercise("attention_op"), file, **arguments)

    return run


def test_a_right_answer_passes_and_its_prints_are_kept_apart(ask):
    verdict = ask(BODY + "    print('{\"verdict\": 1}')\n    sys.stdout.flush()\n" + RIGHT)
    assert verdict.status == "passed"
    assert '{"verdict": 1}' in verdict.evidence["printed"]


def test_the_stub_and_a_missing_file_are_not_started(ask, grader, tmp_path):
    exercise = manifest.exercise("attention_op")
    assert ask(exercise.stub.read_text(encoding="utf-8")).status == "not started"
    verdict = grader.check(exercise, tmp_path / "absent.py")
    assert verdict.status == "not started"
    assert "absent.py" in verdict.what


@pytest.mark.parametrize(
    ("text", "stage", "says", "where"),
    [
        (BODY + "    return (\n", "import", "cannot read", "lookup.py:8"),
        (
            "import torch\nraise ValueError('no')\ndef attention(query, key, value, visible): ...\n",
            "import",
            "no",
            ":2",
        ),
        ("import sys\nsys.exit(3)\n", "import", "SystemExit", "lookup.py:2"),
        ("def attentoin(query, key, value, visible):\n    return 1\n", "import", "defines no attention", ""),
        ("def attention(q, k, v, visible):\n    return q\n", "import", "should take", "lookup.py:1"),
        (
            "def attention(query, key, value, visible, more):\n    return query\n",
            "import",
            "without more",
            "lookup.py:1",
        ),
        (BODY + "    return None\n", "shapes", "NoneType", ""),
        (BODY + "    return query\n", "shapes", "13", ""),
        (BODY + "    return query[5, 5]\n", "shapes", "IndexError", "lookup.py:8"),
        (BODY + "    sys.exit(0)\n", "shapes", "SystemExit", "lookup.py:8"),
        (BODY + "    return attention(query, key, value, visible)\n", "shapes", "RecursionError", "lookup.py:8"),
        (BODY + "    return torch.ones(10**11) @ value\n", "shapes", "lookup.py:8", "lookup.py:8"),
        (BODY + "    return [0] * 10**11\n", "shapes", "MemoryError", "lookup.py:8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(ask, text, stage, says, where):
    verdict = ask(text)
    assert (verdict.status, verdict.stage) == ("failed", stage)
    assert says in verdict.what
    assert where in verdict.evidence["where"]
    assert verdict.mutant is None
    assert all((verdict.why, verdict.next))


def test_a_suggestion_for_a_misspelt_name(ask):
    assert "attentoin" in ask("def attentoin(query, key, value, visible):\n    return 1\n").next


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("    os._exit(0)\n", "exit code 0"),
        ("    os.kill(os.getpid(), 9)\n", "SIGKILL"),
        ("    import ctypes\n    ctypes.string_at(0)\n", "SIGSEGV"),
    ],
)
def test_a_process_that_is_ended_from_within(ask, body, says):
    verdict = ask(BODY + body)
    assert (verdict.status, verdict.property) == ("failed", "crash")
    assert says in verdict.what


def test_what_a_default_is_belongs_to_the_signature(grader, tmp_path):
    file = tmp_path / "activation.py"
    for given, says in (("tanh=True", "it takes True, and should take False"), ("tanh", "cannot be called without")):
        file.write_text(f"def gelu(x, {given}):\n    return x\n", encoding="utf-8")
        verdict = grader.check(manifest.exercise("gelu"), file)
        assert (verdict.status, verdict.stage) == ("failed", "import")
        assert says in verdict.what


def test_a_forward_that_a_library_has_written_keeps_its_own_names(grader, tmp_path):
    file = tmp_path / "head.py"
    file.write_text(HEAD, encoding="utf-8")
    assert grader.check(manifest.exercise("pool_and_head"), file).status == "passed"


@pytest.mark.parametrize(("endless", "name"), [("unz", "loops_on_unknown"), ("", None)])
def test_a_loop_without_an_end_is_named_only_where_the_slip_hangs(grader, tmp_path, endless, name):
    file = tmp_path / "wordpiece.py"
    file.write_text(ENDLESS.format(endless), encoding="utf-8")
    verdict = grader.check(manifest.exercise("wordpiece"), file, timeout=2.0)
    assert (verdict.property, verdict.mutant) == ("timeout", name)


def test_a_loop_without_an_end_is_stopped_at_its_line(ask):
    verdict = ask(BODY + "    while True:\n        query = query + 0\n", timeout=2.0)
    assert (verdict.status, verdict.property) == ("failed", "timeout")
    assert "lookup.py:" in verdict.evidence["where"]
    # far above the timeout, and far below forever
    assert verdict.seconds < 60


def test_a_hole_that_is_met_on_the_way_is_not_started(ask):
    verdict = ask(BODY + "    return helper()\n\n\ndef helper():\n    raise NotImplementedError\n")
    assert verdict.status == "not started"
    assert "lookup.py:12" in verdict.what


def test_the_answer_itself_is_noted_and_can_be_blocked(ask):
    exercise = manifest.exercise("attention_op")
    borrowed = (
        "from firsthand.ops.attention.reference import attention as shipped\n\n\n" + BODY.partition("import torch\n")[2]
    )
    text = borrowed + "    return shipped(query, key, value, visible)\n"
    assert ask(text).status == "passed"
    verdict = ask(text, blocked=[module_name(exercise.solution)])
    assert verdict.status == "failed"
    assert "not to be had here" in verdict.what
    direct = "from firsthand.ops.attention.reference import attention\n"
    assert "does the work for you" in ask(direct).notes[0]


def test_another_seed_gives_other_inputs_and_names_the_same_slip(ask):
    verdict = ask(BODY + RIGHT.replace(" / query.shape[-1] ** 0.5", ""), seed=1234)
    assert verdict.mutant == "no_scale"


def test_no_process_and_no_file_stays_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    exercise = manifest.exercise("causal_mask")
    assert check(exercise, exercise.folder / "correct" / "einsum.py").status == "passed"
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_lesson_that_is_wrong_itself_is_an_error(tmp_path):
    import dataclasses
    import shutil

    exercise = manifest.exercise("causal_mask")
    shutil.copytree(exercise.folder, tmp_path / "lesson")
    (tmp_path / "lesson" / "checks.py").write_text("CHECKS = {}\n", encoding="utf-8")
    broken = dataclasses.replace(exercise, folder=tmp_path / "lesson")
    verdict = check(broken, exercise.folder / "correct" / "einsum.py")
    assert verdict.status == "error"
    assert "causal_mask" in verdict.what


def test_a_worker_that_was_warm_answers_like_a_cold_one(ask):
    before = time.perf_counter()
    first, second = (ask(BODY + RIGHT) for _ in range(2))
    assert first.status == second.status == "passed"
    assert first.seconds <= time.perf_counter() - before
