"""What is said to the slips that learners make most often and that no list of known slips can hold."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.learn import manifest
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.check import check
from firsthand.learn.grader.checks import Checks
from firsthand.learn.grader.message import lines
from firsthand.learn.grader.printed import MOST, Heard, shown
from firsthand.learn.grader.subject import Raised, Subject

ATTENTION = """def attention(query, key, value, visible):
    print("a query of", query.shape[-1])
"""
BATCHES = """import torch


def split(ids, fraction):
    cut = len(ids) - int(len(ids) * fraction)
    return ids[:cut], ids[cut:]


def windows(ids, context_length, stride=None, document=None):
    from firsthand.data.packing import windows

    return windows(ids, context_length, stride, document)


def get_batch(ids, batch_size, context_length, generator):
    start = torch.randint(len(ids) - context_length{}, (batch_size, 1), generator=generator)
    place = start + torch.arange(context_length)
    return ids[place], ids[place + 1]
"""


def of(function, **inputs):
    return Subject(
        Checks(call=lambda parts, **given: parts.f(**given), cases={"usual": lambda draw: copy.deepcopy(inputs)}),
        SimpleNamespace(f=function),
    )


def graded(name, text, tmp_path, **arguments):
    exercise = manifest.exercise(name)
    file = tmp_path / exercise.file
    file.write_text(text, encoding="utf-8")
    return check(exercise, file, **arguments)


def test_what_was_printed_on_the_way_to_a_failure_is_shown(tmp_path):
    said = lines(graded("attention_op", ATTENTION + "    return query\n", tmp_path))
    assert "  It printed:    a query of " in said


def test_a_loop_without_an_end_shows_what_it_printed(tmp_path):
    verdict = graded("attention_op", ATTENTION + "    while True:\n        print('again')\n", tmp_path, timeout=2.0)
    assert verdict.property == "timeout"
    assert "again" in verdict.evidence["heard"]
    assert "  It printed:    ..." in lines(verdict)


def test_a_loop_that_prints_without_an_end_fills_no_disk(tmp_path):
    with (tmp_path / "out").open("w") as out:
        heard = Heard(out)
        for _ in range(MOST // 1000 + 10):
            assert heard.write("x" * 1000) == 1000
    assert (tmp_path / "out").stat().st_size == len(heard.kept) == MOST
    assert shown("\n".join("123456789abc")) == ["... (4 lines before)", *"56789abc"]


@pytest.mark.parametrize(
    ("more", "name", "says"),
    [(" + 1", "batch_overruns_end", "leaves room for all of it"), (" - 1", "last_place_never", "gives 0 to n - 1")],
)
def test_a_place_too_many_and_one_too_few(more, name, says, tmp_path):
    verdict = graded("batches", BATCHES.format(more), tmp_path)
    assert (verdict.status, verdict.mutant) == ("failed", name)
    assert "out." not in verdict.what
    assert says in verdict.next


def refused(x):
    return x.transpose(0, 1).view(-1)


def parameter(x):
    layer = nn.Linear(2, 2)
    layer.weight = torch.zeros(2, 2)


def misspelt(x):
    return x.transpos(0, 1)


ADVICE = [
    (refused, "reshape"),
    (parameter, "no_grad"),
    (misspelt, "spelt"),
    (lambda x: x[7], "length of what it reads"),
    (lambda x: {}["a"], "which keys are there"),
    (lambda x: torch.multinomial(-x, 1), "how many tokens"),
]


@pytest.mark.parametrize(("function", "says"), ADVICE)
def test_what_is_raised_often_has_advice_of_its_own(function, says, monkeypatch):
    monkeypatch.setattr("firsthand.learn.grader.subject.line_in", lambda error, file: "mine.py:7")
    with pytest.raises(Raised) as told:
        of(function).ask({"x": torch.ones(2, 3)})
    assert says in told.value.todo
    assert "mine.py:7" in told.value.todo


def test_what_fails_outside_the_file_is_what_came_back():
    one = Subject(
        Checks(call=lambda parts: parts.f().shape, cases={"usual": lambda draw: {}}), SimpleNamespace(f=list), None
    )
    with pytest.raises(Raised, match="gave back") as told:
        one.ask({})
    assert "return" in told.value.todo


def test_nothing_returned_and_an_example_that_raises():
    example = p.by_hand("ex", lambda parts: parts.f(1), 2, "f(1)", "Because.", "Look.")
    with pytest.raises(Broken) as told:
        example.test(of(lambda x: None))
    assert "without a return" in told.value.why
    with pytest.raises(Raised, match=r"It was asked for f\(1\)\.") as told:
        example.test(of(lambda x: x[0]))
    assert told.value.todo.endswith("Look.")


def test_another_error_than_the_one_that_is_asked_for():
    refusal = p.refuses(
        "kind", lambda parts: parts.f("x"), (ValueError,), "It took x.", "Because.", "Raise ValueError."
    )
    with pytest.raises(Raised, match="A refusal is right here, and what is asked for is ValueError") as told:
        refusal.test(of(lambda name: {}[name]))
    assert told.value.todo == "Raise ValueError."
    refusal.test(of(lambda name: int(name)))


def test_a_none_is_no_matter_of_spelling_nor_of_arguments(monkeypatch):
    with pytest.raises(Raised, match="cannot be worked with"):
        Subject(Checks(call=lambda parts: float(parts.f()), cases={}), SimpleNamespace(f=lambda: None)).ask({})
    monkeypatch.setattr("firsthand.learn.grader.subject.line_in", lambda error, file: "mine.py:7")
    with pytest.raises(Raised) as told:
        of(lambda x: x.wait()).ask({"x": None})
    assert "something is None" in told.value.todo


def test_single_precision_is_blamed_only_where_it_was_right_in_double():
    x = torch.ones(2, 3)
    one = of(lambda x: 2 * x.float(), x=x)
    one.target = {f"usual|0|{kind}": {"out": x.to(getattr(torch, kind))} for kind in ("float32", "float64")}
    with pytest.raises(Broken) as told:
        p.reference().test(one)
    assert "loses digits" not in told.value.why
    with pytest.raises(Broken) as told:
        p.single_precision().test(one)
    assert "loses digits" in told.value.why


def test_an_edited_list_is_called_by_its_name():
    with pytest.raises(Broken, match="After the call, ids is no longer"):
        p.purity().test(of(lambda ids, n: ids.append(n), ids=[1, 2], n=3))


def test_parameters_that_are_missing_too_many_or_of_another_shape():
    for shapes, says, todo in (
        ({"weight": (3, 2), "bias": (3,), "gain": (3,)}, r"gain \(3,\) is missing\.", "nn.Parameter"),
        ({"weight": (3, 2)}, r"bias \(3,\) is too much\.", "without a bias"),
        ({"weight": (2, 3), "bias": (3,)}, r"weight is \(3, 2\), and should be \(2, 3\)\.", "which size comes first"),
    ):
        with pytest.raises(Broken, match=says) as told:
            p.weights(nn.Linear(2, 3), shapes)
        assert todo.lower() in told.value.todo.lower()


def test_what_dies_when_its_time_is_over_was_too_long_and_no_crash(tmp_path):
    late = "    import os, signal, time\n\n    time.sleep(1.3)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    verdict = graded("attention_op", ATTENTION + late, tmp_path, timeout=1.0)
    assert verdict.property == "timeout"
    assert "lookup.py" in verdict.what
    assert graded("attention_op", ATTENTION + late.replace("1.3", "0"), tmp_path, timeout=9.0).property == "crash"
