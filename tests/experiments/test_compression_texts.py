"""What calibrates and what judges are never the same text."""

import pytest
import torch

from firsthand.compress.plan import Calibration
from firsthand.errors import UserError
from firsthand.experiments.compression.texts import calibration_windows, sides

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "ndrst"]


def prose(seed, count):
    generator = torch.Generator().manual_seed(seed)
    return " ".join(WORDS[int(i)] for i in torch.randint(len(WORDS), (count,), generator=generator))


@pytest.fixture
def files(tmp_path):
    for name, text in {"one": prose(0, 400), "other": prose(1, 400), "mixed": prose(2, 200) + prose(0, 200)}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return lambda name: str(tmp_path / f"{name}.txt")


def joined(documents):
    return "".join(document.text for document in documents)


def test_the_first_half_of_a_text_calibrates_and_the_second_judges(files):
    found = sides(files("one"), None, lambda documents: True)
    assert joined(found.calibration) + joined(found.evaluation) == prose(0, 400)
    assert abs(len(joined(found.calibration)) - len(joined(found.evaluation))) <= 1
    assert "first half" in found.said[0]
    again = sides(files("one"), files("one"), lambda documents: False)
    assert joined(again.evaluation) == joined(found.evaluation)


def test_a_text_too_short_to_be_halved_is_judged_whole_and_plays_calibrate(files):
    found = sides(files("one"), None, lambda documents: False)
    assert joined(found.evaluation) == prose(0, 400)
    assert len(found.calibration) > 30
    assert "shakespeare calibrate" in found.said[0]


def test_two_texts_may_not_share_passages(files):
    assert joined(sides(files("one"), files("other"), lambda _: True).calibration) == prose(1, 400)
    with pytest.raises(UserError, match=r"4\d% of .*mixed.txt stands in the text"):
        sides(files("one"), files("mixed"), lambda _: True)


def test_without_a_text_the_plays_that_runs_hold_out_judge():
    found = sides(None, None, lambda _: True)
    names = [document.name for document in found.evaluation]
    assert names
    assert not {document.name for document in found.calibration} & set(names)
    assert names[0] in found.said[1]


def test_windows_are_spread_over_the_text_and_fit_the_model():
    ids = torch.arange(1000)
    windows = calibration_windows(ids, Calibration(windows=2, length=100), 50)
    assert windows.shape == (4, 50)
    assert int(windows[0, 0]) == 0
    assert int(windows[-1, -1]) == 999
    with pytest.raises(UserError, match="has 1,000 tokens, but 100 windows of 50 need 5,000"):
        calibration_windows(ids, Calibration(windows=50, length=100), 50)
