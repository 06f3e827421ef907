"""The property library, each on something right and something wrong."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.errors import UserError
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks
from firsthand.learn.grader.leaves import leaves, same
from firsthand.learn.grader.properties.examples import shrink
from firsthand.learn.grader.subject import Raised, Sign, Subject


def subject(function, **inputs):
    given = inputs or {"x": (2, 7, 5)}
    checks = Checks(
        call=lambda parts, **given: parts.f(**given),
        cases={"usual": lambda draw: {name: draw.normal(*shape) for name, shape in given.items()}},
        axes={"x": "batch time channels", "out": "batch time channels"},
    )
    return Subject(checks, SimpleNamespace(f=function))


def peek(x):
    return x + x.roll(-1, 1)


def edits(x):
    return x.add_(1)


def running(x):
    return x.cumsum(1)


CASES = [
    (p.perturb_future("x", "time"), running, peek, "moved your output at time 0"),
    (p.past_matters("x", "time"), running, lambda x: x.roll(1, 1) * (torch.arange(7) > 0)[:, None], "did not move"),
    (p.prefix("x", "time"), running, lambda x: running(x) / x.shape[1], "With the first 1 only"),
    (p.isolation("x", "batch"), running, lambda x: x - x.mean(0), "moved your output at batch 1"),
    (p.permutation("x", "time", moves=True), lambda x: 2 * x, running, "did not follow"),
    (p.finite(), lambda x: x, lambda x: x / 0, "is inf|is -inf"),
    (p.gradients("x"), lambda x: x.exp(), lambda x: x.detach() + 0 * x.sum() * 0, "No gradient|slope"),
    (p.purity(), lambda x: x + 1, edits, "x is no longer what went in"),
]


@pytest.mark.parametrize(("one", "right", "wrong", "says"), CASES, ids=[case[0].name for case in CASES])
def test_a_property_holds_for_the_right_and_speaks_of_the_wrong(one, right, wrong, says):
    one.test(subject(right))
    with pytest.raises(Broken, match=says) as told:
        one.test(subject(wrong))
    assert all((told.value.what, told.value.why, told.value.todo))


def test_a_gradient_that_is_cut_in_part_is_measured():
    with pytest.raises(Broken, match="slope is"):
        p.gradients("x").test(subject(lambda x: x * x.detach()))


def test_a_factor_is_named_by_the_size_that_it_equals():
    def read(one):
        x = one.inputs()["x"]
        return one.ask({"x": x}), x

    factor = p.constant_factor(read, "numbers", "why", "todo")
    factor.test(subject(lambda x: x))
    factor.test(subject(lambda x: x + 1))  # another mistake, which it leaves to others
    with pytest.raises(Broken, match=r"0.447 times what they should be, which is 1 / sqrt\(channels\)"):
        factor.test(subject(lambda x: x / 5**0.5))


def test_the_smallest_text_that_does_not_come_back():
    one = p.round_trip(lambda parts, text: parts.f(text), ["abc", "one  two"])
    one.test(subject(lambda text: text))
    with pytest.raises(Broken, match="'  ' comes back as ' '"):
        one.test(subject(lambda text: text.replace("  ", " ")))
    assert shrink("xxaxxbxx", lambda text: "a" in text and "b" in text) == "ab"


def test_what_must_be_refused():
    one = p.refuses("odd", lambda parts: parts.f(3), (ValueError,), "It took 3.", "why", "todo")

    def refuse(n):
        raise UserError("no odd numbers")

    one.test(subject(refuse))
    with pytest.raises(Sign, match="It took 3") as told:
        one.test(subject(lambda n: n))
    assert told.value.tag == "silent"
    with pytest.raises(Raised, match="ZeroDivisionError"):
        one.test(subject(lambda n: n / 0))


class Dropping(nn.Module):
    """Halves x; drops from what comes out, or from what goes in and then mixes."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.drop, self.late = nn.Dropout(0.5), late

    def forward(self, x):
        return self.drop(x.cumsum(-1)) if self.late else self.drop(x).cumsum(-1)


@pytest.mark.parametrize("late", [True, False])
def test_dropout_is_on_the_output(late):
    one = p.dropout_on_output(lambda parts, given: parts.f(), lambda module, given: module(given["x"]))
    asked = subject(lambda: Dropping(late))
    if late:
        one.test(asked)
    else:
        with pytest.raises(Broken, match="neither 0 nor 2 times"):
            one.test(asked)


def test_two_numbers_are_written_as_far_as_they_differ():
    target = {"usual|0|float64": {"out": torch.tensor([[[1.00001]]], dtype=torch.float64)}}
    asked = subject(lambda x: torch.tensor([[[1.00002]]], dtype=torch.float64))
    asked.target.update(target)
    with pytest.raises(Broken, match=r"is 1\.00002, and 1\.00001 is right"):
        p.reference().test(asked)


def test_shares_of_draws():
    def draw(parts, generator):
        return torch.multinomial(torch.tensor(parts.f()), 5000, replacement=True, generator=generator)

    one = p.distribution("shares", draw, [0.5, 0.5, 0.0], "why", "todo")
    one.test(subject(lambda: [0.5, 0.5, 0.0]))
    for wrong in ([0.6, 0.4, 0.0], [0.5, 0.499, 0.001]):
        with pytest.raises(Broken, match="shares are"):
            one.test(subject(lambda wrong=wrong: wrong))


def test_numbers_known_before_training():
    one = p.start_value("start", lambda parts: parts.f(), 2.0, 0.1, "The first loss", "why", "todo")
    one.test(subject(lambda: 2.05))
    for wrong in (2.2, float("nan")):
        with pytest.raises(Broken, match="The first loss is"):
            one.test(subject(lambda wrong=wrong: wrong))


def test_two_ways_and_the_first_place_where_they_part():
    def other(parts, x):
        y = parts.f(x)
        y[:, 4:] += 1
        return y

    one = p.parity("ways", lambda parts, x: parts.f(x), other, "The two ways", "why", "todo", axis="time")
    with pytest.raises(Broken, match="The two ways differ from time 4 on"):
        one.test(subject(lambda x: x.clone()))


def test_growth_is_measured_by_its_power():
    def sums(n):
        return [sum(range(200 * n)) for _ in range(n)]

    one = p.cost("growth", lambda parts, n: parts.f(n), (8, 16, 32), 5.0, "why", "todo")
    one.test(subject(sums))
    assert one.warns


def test_results_are_taken_apart_and_compared():
    found = leaves((torch.ones(2), {"loss": 1.5, "ids": [1, 2]}))
    assert set(found) == {"out.0", "out.1.loss", "out.1.ids"} or "out.1" in found
    assert same(leaves(Counter(a=1, b=2)), leaves(Counter(b=2, a=1)))
    assert not same(leaves(torch.ones(2)), leaves(torch.ones(2).long()))
    assert not same(leaves([1, 2]), leaves([2, 1]))
    assert same(leaves(torch.tensor([float("nan"), 1.0])), leaves(torch.tensor([float("nan"), 1.0 + 1e-12])))
    assert same(leaves(torch.tensor(2.0)), leaves(2.0))
