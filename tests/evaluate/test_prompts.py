"""Templates: places, refusals, and nothing that runs."""

import pytest

from firsthand.errors import UserError
from firsthand.evaluate.prompts import fill, value

RECORD = {
    "question": "Who {is} it?",
    "n": 3,
    "sure": True,
    "choices": ["a", "b"],
    "answer": {"text": "c"},
    "none": None,
}


def test_places():
    assert fill("Q: {question} {n} {sure}\n{{x}}", RECORD) == "Q: Who {is} it? 3 True\n{x}"
    assert fill("{choices.1}{answer.text}", RECORD) == "bc"
    assert fill("", RECORD) == ""


def test_a_single_place_is_the_value_itself():
    assert value("{choices}", RECORD) == ["a", "b"]
    assert value("{n}", RECORD) == 3
    assert value(" {n}", RECORD) == " 3"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{qestion}", "Did you mean 'question'"),
        ("{choices.2}", "no field 'choices.2'"),
        ("{choices}", r"a list, not text.*\{choices.0\}"),
        ("{none}", "NoneType"),
        ("{question", "malformed"),
        ("}", "malformed"),
        ("{}", "names no field"),
        ("{question!r}", "names no field"),
        ("{n:>1000000000}", "names no field"),
        ("{n:{n}}", "names no field"),
        ("{choices[0]}", "names no field"),
        ("{question.__class__}", "no field 'question.__class__'"),
        ("{n.real}", "no field"),
    ],
)
def test_what_is_refused(template, says):
    with pytest.raises(UserError, match=says):
        fill(template, RECORD)
