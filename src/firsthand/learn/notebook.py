"""Notebooks, made from the lessons: the script is the source, and the same script gives the same bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import firsthand
from firsthand.learn.manifest import Exercise, Lesson
from firsthand.learn.pages import Cell, cells

PLACE = "https://colab.research.google.com/github"
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({place}/{home}/blob/main/notebooks/{name})"
HOME = "firsthand/firsthand"


def name_of(lesson: Lesson) -> str:
    """The notebook's file."""
    return f"{lesson.slug}.ipynb"


def notebook(lesson: Lesson) -> str:
    """The text of the notebook: no outputs, ids that depend on nothing but place and content.

    An exercise gets a cell that writes its module, filled with the stub, and one that checks it.
    """
    badge = BADGE.format(place=PLACE, home=HOME, name=name_of(lesson))
    made = [_cell(Cell(True, badge)), _cell(Cell(False, _set_up(lesson)))]
    known = {exercise.id: exercise for exercise in lesson.exercises}
    for cell in cells(lesson.script):
        made.append(_cell(cell))
        exercise = known.get(cell.tagged("exercise") or "")
        if exercise:
            made += [_cell(one) for one in _workbench(exercise)]
    for number, cell_ in enumerate(made):
        content = f"{lesson.slug}:{number}:{cell_['cell_type']}:{''.join(cell_['source'])}"
        cell_["id"] = hashlib.sha256(content.encode()).hexdigest()[:12]
    tree = {
        "cells": made,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(tree, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(lesson: Lesson, folder: Path) -> Path:
    """Write the notebook into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name_of(lesson)
    path.write_text(notebook(lesson), encoding="utf-8")
    return path


def stale(lessons: tuple[Lesson, ...], folder: Path) -> list[str]:
    """Notebooks in `folder` that are not what their lessons give, or of which there is no lesson."""
    wanted = {name_of(lesson): notebook(lesson) for lesson in lessons}
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.ipynb")}
    return sorted(name for name in wanted | there if wanted.get(name) != there.get(name))


def _set_up(lesson: Lesson) -> str:
    """The first code cell: installs the release, opens the workspace, and reloads modules when they change."""
    return (
        f'%pip install -q "firsthand=={firsthand.__version__}"\n'
        "%load_ext firsthand.learn.magic\n"
        "%load_ext autoreload\n"
        "%autoreload 2\n"
        f"!firsthand learn start my_llm --quick && firsthand learn goto {lesson.number}"
    )


def _workbench(exercise: Exercise) -> list[Cell]:
    stub = exercise.stub.read_text(encoding="utf-8").rstrip("\n")
    return [
        Cell(False, f"%%my_llm {exercise.file}\n{stub}", (f"file:{exercise.file}",)),
        Cell(False, f"!firsthand learn check {exercise.id}"),
    ]


def _cell(cell: Cell) -> dict[str, Any]:
    lines = cell.text.splitlines(keepends=True)
    made: dict[str, Any] = {
        "cell_type": "markdown" if cell.markdown else "code",
        "id": "",
        "metadata": {"tags": list(cell.tags)} if cell.tags else {},
        "source": lines,
    }
    return made if cell.markdown else made | {"execution_count": None, "outputs": []}
