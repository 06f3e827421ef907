"""Cells of a lesson as jupytext reads them, notebooks that are the same each time, and pages without scripts."""

import json
from pathlib import Path

import jupytext
import nbformat
import pytest

from firsthand.errors import UserError
from firsthand.learn import magic, manifest, notebook
from firsthand.learn.html import page
from firsthand.learn.pages import cells

REAL = tuple(manifest.lessons())
ROOT = Path(__file__).parents[2]


def test_cells_have_their_kind_and_their_tags(lessons) -> None:
    found = cells(manifest.lesson(1).script)
    assert [cell.markdown for cell in found] == [True, True, False, False]
    assert found[0].text.startswith("# 1 · Schedules\n\nText")
    assert (found[1].tagged("exercise"), found[3].tagged("break"), found[3].tagged("slow")) == ("constant", "rises", "")
    assert found[2].tagged("slow") is None


def test_tags_that_cannot_be_read_are_told_with_their_line(tmp_path) -> None:
    (tmp_path / "lesson.py").write_text("# %%\nx = 1\n# %% tags=[slow]\n")
    with pytest.raises(UserError, match=r"lesson\.py:3"):
        cells(tmp_path / "lesson.py")


@pytest.mark.parametrize("lesson", REAL, ids=lambda lesson: lesson.slug)
def test_jupytext_reads_the_same_cells(lesson) -> None:
    theirs = jupytext.read(lesson.script, fmt="py:percent").cells
    expected = [(cell.cell_type == "markdown", cell.source.strip("\n")) for cell in theirs if cell.source.strip()]
    found = [(cell.markdown, cell.text) for cell in cells(lesson.script)]
    assert found == [one for one in expected if one in found]
    assert [one for one in expected if one[0]] == [one for one in found if one[0]]


def test_the_committed_notebooks_are_what_the_lessons_give() -> None:
    old = notebook.stale(REAL, ROOT / "notebooks")
    assert old == [], "run: firsthand learn dev build"


@pytest.mark.parametrize("lesson", REAL, ids=lambda lesson: lesson.slug)
def test_every_notebook_is_valid(lesson) -> None:
    tree = nbformat.reads(notebook.notebook(lesson), as_version=4)
    nbformat.validate(tree)
    assert all(not cell.get("outputs") for cell in tree.cells)


def test_a_notebook_has_badge_set_up_and_a_workbench_for_each_exercise(lessons) -> None:
    first = notebook.notebook(manifest.lesson(1))
    assert first == notebook.notebook(manifest.lesson(1))
    made = json.loads(first)["cells"]
    assert "colab-badge.svg" in "".join(made[0]["source"])
    assert "notebooks/01_rates.ipynb" in "".join(made[0]["source"])
    assert "firsthand learn start" in "".join(made[1]["source"])
    texts = ["".join(cell["source"]) for cell in made]
    (bench,) = [number for number, text in enumerate(texts) if text.startswith("%%my_llm")]
    stub = manifest.exercise("constant").stub.read_text()
    assert texts[bench] == f"%%my_llm rates.py\n{stub}".rstrip("\n")
    assert texts[bench + 1] == "!firsthand learn check constant"
    assert len({cell["id"] for cell in made}) == len(made)


def test_build_writes_removes_and_notices(lessons, firsthand, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert firsthand("dev", "build", "--check")[0] == 1
    assert firsthand("dev", "build")[0] == 0
    (tmp_path / "notebooks" / "99_gone.ipynb").write_text("{}")
    code, _, err = firsthand("dev", "build", "--check")
    assert (code, "99_gone.ipynb" in err) == (1, True)
    assert firsthand("dev", "build")[0] == 0
    assert sorted(path.name for path in (tmp_path / "notebooks").iterdir()) == ["01_rates.ipynb", "02_norms.ipynb"]
    assert firsthand("dev", "build", "--check")[0] == 0


def test_the_page_obeys_no_markup_of_the_lesson(lessons) -> None:
    lesson = manifest.lesson(1)
    text = page(lesson, cells(lesson.script))
    assert "<h1>1 · Schedules</h1>" in text
    assert "&lt;b&gt;markup&lt;/b&gt;" in text
    assert "<script" not in text
    assert "http" not in text
    assert '<div class="exercise"><p>Write it.</p>' in text


def test_read_prints_markdown_when_piped(lessons, mine, firsthand) -> None:
    code, said, _ = firsthand("read", "1")
    assert code == 0
    assert said.startswith("# 1 · Schedules")
    assert '```python\nprint("a run")\n```' in said
    assert "a run" not in firsthand("read", "1", "--no-code")[1]
    assert firsthand("read", "1", "--html", "one.html")[0] == 0
    assert Path("one.html").read_text().startswith("<!DOCTYPE html>")
    told = json.loads(firsthand("read", "--json")[1])
    assert (told["lesson"], len(told["cells"])) == (1, 4)


def test_a_notebook_that_was_worked_in_is_kept(lessons, mine, firsthand) -> None:
    assert "is ready" in firsthand("notebook", "1")[1]
    path = mine.path / "notebooks" / "01_rates.ipynb"
    path.write_text("mine")
    assert "is as you left it" in firsthand("notebook", "1")[1]
    assert path.read_text() == "mine"


def test_the_magic_writes_a_module_and_nothing_else(lessons, mine, monkeypatch) -> None:
    monkeypatch.setattr("sys.path", ["here"])
    magic.my_llm("rates.py", "x = 1")
    assert (mine.path / "rates.py").read_text() == "x = 1\n"
    for name in ("../rates.py", "rates.txt", ""):
        with pytest.raises(UserError, match="name one module"):
            magic.my_llm(name, "x = 1")
