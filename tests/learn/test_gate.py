"""Every exercise of the learning path passes the quality gate."""

import pytest

from firsthand.learn import manifest
from firsthand.learn.grader.gate import gate


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [one.id for one in manifest.exercises()])
def test_an_exercise_proves_itself(name):
    assert gate(manifest.exercise(name)) == []


def test_lessons_and_exercises_have_numbers_and_names_of_their_own():
    numbers = [lesson.number for lesson in manifest.lessons()]
    names = [exercise.id for exercise in manifest.exercises()]
    assert len(set(numbers)) == len(numbers) > 0
    assert len(set(names)) == len(names) > 0
