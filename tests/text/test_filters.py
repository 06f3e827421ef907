"""Quality filters: each keeps ordinary prose and drops what it names, with a reason."""

import inspect

import pytest

from firsthand.errors import UserError
from firsthand.parts import build
from firsthand.text.filters import FILTERS
from firsthand.types import Document

PROSE = (
    "It was the best of times, and they that have seen it with their own eyes speak of it still.\n"
    "Nobody could tell the old man what to do with the house by the river.\n"
    "When the spring came, the children went down to the water and threw stones at the ice.\n"
    "He wrote three letters, none of which was ever answered by the people in town.\n"
)


def verdict(spec, text: str) -> bool | str:
    return build("data.filters", FILTERS, spec)(Document(text, "a"))


ARGUMENTS = {"script": {"name": "Latin"}, "pattern": {"refuse": "lorem ipsum"}}


@pytest.mark.parametrize("name", FILTERS)
def test_ordinary_prose_is_kept(name):
    assert verdict({"part": name, **ARGUMENTS.get(name, {})}, PROSE) is True


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_explains_itself_and_survives_no_words_at_all(name):
    assert inspect.getdoc(FILTERS[name])
    for text in ("", " \n\n ", "x"):
        assert isinstance(verdict({"part": name, **ARGUMENTS.get(name, {})}, text), bool | str)


@pytest.mark.parametrize(
    ("spec", "text", "reason"),
    [
        ({"part": "length", "minimum": 10}, "short", "5 characters, fewer than 10"),
        ({"part": "length", "maximum": 3}, "short", "5 characters, more than 3"),
        ("words", "too few words", "3 words, fewer than 50"),
        ("word_length", "a b c d e", "1.0 characters in the mean word, fewer than 3"),
        ("symbols", "# a # b # c", "0.50 symbols for each word, more than 0.1"),
        ("bullets", "- a\n- b\n• c\n", "100% of the lines begin with a bullet, more than 0.9"),
        ("ellipses", "read more...\nand so on…\nend\n", "67% of the lines end with an ellipsis, more than 0.3"),
        ("letters", "12 34 56 %% words", "20% of the words have letters, fewer than 0.8"),
        ("stop_words", "Lorem ipsum dolor sit amet", "0 of the commonest English words, fewer than 2"),
        ("repeated_lines", "menu\nmenu\nmenu\nend\n", "50% of the lines repeat, more than 0.3"),
        ("repeated_words", "buy now " * 20, "20 times 'buy now'"),
        ({"part": "script", "name": "Cyrillic"}, "Latin letters", "0% of the letters are Cyrillic, fewer than 0.5"),
        ({"part": "pattern", "refuse": "lorem \\w+"}, "lorem ipsum", "has 'lorem ipsum'"),
        ({"part": "pattern", "require": "licen[cs]e"}, "all rights", "lacks licen[cs]e"),
        ("gopher", "too few words", "3 words, fewer than 50"),
        ("gopher", "the and " + "spam eggs bacon " * 40, "of the lines"),
    ],
)
def test_what_is_dropped_and_why(spec, text, reason):
    found = verdict(spec, text)
    if spec == "gopher" and "spam" in text:
        assert isinstance(found, str)
        assert "spam" in found
    else:
        assert found == reason


def test_several_limits_of_repetition():
    assert verdict({"part": "repeated_words", "maximum": {2: 0.99}}, "buy now " * 20) is not True
    assert verdict({"part": "repeated_words", "maximum": {9: 0.5}}, "one two three") is True


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"part": "script", "name": "Klingon"}, "there is no script 'Klingon'"),
        ("pattern", "needs refuse or require"),
        ({"part": "pattern", "refuse": "("}, "not a regular expression"),
        ("gofer", "Did you mean 'gopher'"),
        ({"part": "words", "minimun": 3}, "Did you mean 'minimum'"),
    ],
)
def test_a_wrong_filter_is_refused(spec, says):
    with pytest.raises(UserError, match=says.replace("(", "\\(")):
        verdict(spec, PROSE)
