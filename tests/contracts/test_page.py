"""What docs/your-own-part.md says about checks is what they say."""

import re
from pathlib import Path

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by, promise_of
from firsthand.contracts.part import Part

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-part.md").read_text(encoding="utf-8")


@pytest.fixture
def code():
    (found,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return found


def test_the_mixer_has_forty_lines_and_no_secret(code):
    assert len(code.splitlines()) <= 40
    imported = re.findall(r"^(?:from|import) (\S+)", code, flags=re.MULTILINE)
    assert imported == ["torch", "torch", "firsthand.model.mixers.segments"]


def test_without_its_three_lines_it_breaks_the_promise_in_the_words_of_the_page(code, tmp_path):
    short = re.sub(r" +if segment .*\n.*\n.*\n", "", code)
    assert len(code.splitlines()) - len(short.splitlines()) == 3
    (tmp_path / "short.py").write_text(short)
    broken = broken_by(Part("mixer", f"{tmp_path / 'short.py'}:FadingMean"), "documents")
    assert [line for line in str(broken).splitlines() if line not in PAGE] == []


def test_the_tables_hold_every_promise():
    lines = PAGE.splitlines()
    for slot, checks in BATTERIES.items():
        start = lines.index(f"| {slot} | promise |")
        rows = lines[start + 2 : lines.index("", start)]
        for name, check in checks.items():
            like_mixers = slot != "mixer" and promise_of(check) == promise_of(BATTERIES["mixer"].get(name, check))
            row = f"| `{name}` | {promise_of(check)} |"
            assert row in rows or like_mixers or name in ("bf16", "poison"), row
