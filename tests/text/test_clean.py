"""Cleaning: what each step removes, and that tidy text passes untouched."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand.text.clean import CLEANERS, STANDARD


def standard(text: str) -> str:
    for step in STANDARD:
        text = CLEANERS[step](text)
    return text


def test_tiny_shakespeare_comes_through_byte_for_byte(shared_data):
    text = (shared_data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    for name in STANDARD:
        assert CLEANERS[name](text) == text, name


def test_tidy_text_in_many_scripts_comes_through():
    text = "Ein Satz – mit „Zitat“.\n\n\tdef f():\n        return 1\n\nНу да.\n日本語。\nनमस्ते\n👩‍👩‍👧\nمی‌خواهم\n"
    assert standard(text) == text


@pytest.mark.parametrize("name", [name for name in CLEANERS if name != "plays"])
@given(text=st.text(st.characters() | st.sampled_from("\r\n \t\x85\u2028\xa0\ufeff"), max_size=60))
def test_a_second_time_changes_nothing(name, text):
    once = CLEANERS[name](text)
    assert CLEANERS[name](once) == once


@given(text=st.text(st.characters() | st.sampled_from("\r\n \t\x85\u2028\xa0\ufeff\ud800"), max_size=60))
def test_after_the_usual_steps_text_is_printable(text):
    cleaned = standard(text)
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") for c in cleaned)
    assert "\n\n\n\n" not in cleaned
    assert not cleaned.startswith("\n")
    cleaned.encode()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("unicode", "e\u0301tude", "étude"),
        ("lines", "a\r\nb\rc\x0cd\u2028e\x85f\x0b", "a\nb\nc\nd\ne\nf\n"),
        ("control", "\ufeffa\x00b\x1b[1mc\u202ed\ud83de\xadf", "ab[1mcdef"),
        ("control", "tab\tand\nline stay, می‌خواهم too", "tab\tand\nline stay, می‌خواهم too"),
        ("normalize", "\ufeffe\r\n", "e\n"),
        ("normalize", "e\x00\u0301", "é"),
        ("spaces", "\n\na\xa0b\u3000c\n \t \n\n\n\nd\n", "a b c\n\n\nd\n"),
        ("spaces", "  indented  \n", "  indented  \n"),
        ("trailing", "a  \nb\t\n", "a\nb\n"),
        ("trailing", "a \r\n", "a \r\n"),
        ("boilerplate", "About Gutenberg the printer.\n", "About Gutenberg the printer.\n"),
    ],
)
def test_what_a_step_does(name, before, after):
    assert CLEANERS[name](before) == after


def test_the_licence_around_a_gutenberg_book_goes():
    book = (
        "The Project Gutenberg eBook of Emma\n\n*** START OF THE PROJECT GUTENBERG EBOOK\nEMMA ***\n\n\n"
        "Emma, by J. A.\nShe was rich.\n\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\nUpdated editions will replace ...\n"
    )
    assert CLEANERS["boilerplate"](book) == "Emma, by J. A.\nShe was rich.\n"
    older = book.replace("*** END OF", "End of the Project Gutenberg EBook of Emma\n*** END OF")
    assert CLEANERS["boilerplate"](older) == "Emma, by J. A.\nShe was rich.\n"


def test_the_plays_step_is_not_a_usual_one():
    assert "plays" not in STANDARD
    assert set(STANDARD) <= set(CLEANERS)
