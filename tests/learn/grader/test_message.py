"""Three lines and a picture."""

import torch

from firsthand.learn.grader.checks import Checks
from firsthand.learn.grader.message import lines, picture
from firsthand.learn.verdict import Verdict

CHECKS = Checks(call=lambda parts: None, cases={"usual": lambda draw: {}}, axes={"out": "batch query key"})


def test_a_named_mistake_has_its_name_in_the_headline():
    verdict = Verdict(
        "ex", "failed", "properties", "finite", "no_scale", "It is nan.", "Bad.", "Look.", {"say": "no root"}, ("slow",)
    )
    assert lines(verdict).splitlines() == [
        "✗ ex   no_scale: no root",
        "  What happened: It is nan.",
        "  Why:           Bad.",
        "  Next step:     Look.",
        "  Note:          slow",
    ]
    assert lines(Verdict("ex", "passed", what="All holds.")) == "✓ ex"
    assert lines(Verdict("ex", "not started", what="A hole.")).splitlines()[0] == "○ ex   not started"


def test_the_picture_is_the_slice_that_is_most_wrong():
    target = torch.zeros(2, 2, 3)
    target[1, 0, 0] = 1
    yours = target.clone()
    yours[1] = torch.tensor([[0.0, 1.0, float("nan")], [0, 0, 0]])
    drawn = picture(CHECKS, {"usual": {"out": yours}}, {"usual": {"out": target}})
    assert drawn.text().splitlines() == [
        "target      yours       difference",
        "██            ██??      ████??",
        "",
        "(batch 1; down: query, across: key; ? is inf or nan)",
    ]
    assert drawn.as_json()["yours"][0] == [0.0, 1.0, None]


def test_nothing_is_drawn_where_nothing_is_wrong_or_flat():
    same = {"usual": {"out": torch.ones(2, 2)}}
    assert picture(CHECKS, same, same) is None
    assert picture(CHECKS, {"usual": {"out": torch.ones(2)}}, {"usual": {"out": torch.zeros(2)}}) is None
