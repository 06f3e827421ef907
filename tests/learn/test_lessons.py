"""Every lesson's page runs as the script that it is, with the shipped parts and with the reader's."""

import os
import subprocess
import sys

import pytest

from firsthand.learn import manifest
from firsthand.learn.grader.gate import alternatives
from firsthand.learn.page import histogram, mine, plane, shades, source


def run(lesson, folder):
    there = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", str(lesson.script)]
    return subprocess.run(command, cwd=folder, env=there, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.mark.slow
@pytest.mark.parametrize("lesson", manifest.lessons(), ids=lambda one: one.slug)
def test_a_page_runs(lesson, tmp_path):
    ended = run(lesson, tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("lesson", manifest.lessons(), ids=lambda one: one.slug)
def test_a_page_runs_with_parts_that_a_reader_wrote(lesson, tmp_path):
    """Which have no more than their stubs ask for. Not with the scan over all pairs of tokens: it takes minutes."""
    theirs = [(exercise, alternatives(exercise)) for exercise in lesson.exercises]
    for exercise, found in theirs:
        (tmp_path / exercise.file).write_text(
            found[exercise.id == "selective_scan"].read_text(encoding="utf-8"), encoding="utf-8"
        )
    ended = run(lesson, tmp_path)
    assert ended.returncode == 0, ended.stderr
    for exercise, _ in theirs:
        assert f"yours, from {exercise.file}" in ended.stdout


@pytest.mark.parametrize("lesson", manifest.lessons(), ids=lambda one: one.slug)
def test_a_page_has_a_cell_for_each_exercise_and_each_break(lesson):
    text = lesson.script.read_text(encoding="utf-8")
    for exercise in lesson.exercises:
        assert f'tags=["exercise:{exercise.id}"]' in text
    for name in lesson.breaks:
        assert f'tags=["break:{name}"]' in text


def test_a_page_uses_the_readers_part_if_it_is_written(tmp_path, capsys):
    answer = manifest.exercise("causal_mask").folder / "correct" / "einsum.py"
    (tmp_path / "mask.py").write_text(answer.read_text(encoding="utf-8"), encoding="utf-8")
    assert mine("causal_mask", tmp_path).causal_mask(2, 2).tolist() == [[True, False], [True, True]]
    assert "yours, from mask.py" in capsys.readouterr().out
    (tmp_path / "mask.py").write_text("def causal_mask(:\n", encoding="utf-8")
    assert mine("causal_mask", tmp_path).causal_mask(1, 1).tolist() == [[True]]
    assert "the shipped one, because of mask.py" in capsys.readouterr().out


def test_source_is_live_and_a_wrong_name_is_told():
    assert source("ops/attention/mask.py:causal_mask").startswith("def causal_mask(")
    with pytest.raises(ValueError, match="Did you mean 'causal_mask'"):
        source("ops/attention/mask.py:causal_msk")
    with pytest.raises(ValueError, match="no file"):
        source("ops/nowhere.py")


def test_shades_grow_with_the_number():
    assert shades([[0, 1], [2, 4]], ["a", "b"], ["x", "y"]).splitlines() == ["  x y ", "a   ░░", "b ▒▒██"]


def test_a_histogram_has_a_bar_for_each_piece():
    assert histogram([-1.0, -0.9, 0.0, 1.0], 1.0, width=4) == "█ ▄▄"
    assert histogram([], 1.0, width=3) == "   "


def test_in_a_plane_what_is_beaten_is_small():
    drawn = plane([(100.0, 2.0), (10.0, 4.0), (100.0, 4.0)], width=7, height=3).splitlines()
    assert drawn == ["      4 │B     c", "        │", "      2 │      A", "         10  100"]
    assert "A" in plane([(5.0, 5.0)])
