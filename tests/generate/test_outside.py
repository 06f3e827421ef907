"""A sampler of one's own: called with what it names, refused with words where it gives no ids."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.generate import generate
from firsthand.generate.outside import OwnSampler
from firsthand.model.make import build_model

SHARP = """
def sample(logits, temperature=1.0, generator=None):
    return logits.argmax(-1)
"""
DRAWN = """
import torch


def sample(logits, temperature=1.0, generator=None):
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator).squeeze(-1)
"""


@pytest.fixture
def own(tmp_path):
    def write(text, seed=0):
        (tmp_path / "mine.py").write_text(text)
        return OwnSampler(f"{tmp_path / 'mine.py'}:sample", seed)

    return write


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = build_model({"preset": "modern", "n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 32}, 13)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def written(model, **sampling):
    rows = generate(model, [[1, 2], [3]], 9, **sampling)
    list(rows)
    return rows.ids


def test_argmax_writes_what_temperature_0_writes(model, own) -> None:
    assert written(model, sampler=own(SHARP)) == written(model, temperature=0)


def test_a_seed_decides_and_temperature_arrives(model, own) -> None:
    first, again, other = (written(model, sampler=own(DRAWN, seed), temperature=0.9) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    cold = written(model, sampler=own(DRAWN, 1), temperature=1e-4)
    assert cold == written(model, temperature=0)


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        (SHARP, {"top_k": 3}, "has no argument 'top_k'"),
        ("def sample(logits):\n    return logits", {}, r"one whole number for each row, 2, and gave \(2, 13\)"),
        ("def sample(logits):\n    return [1, 2]", {}, "and gave list"),
        ("def sample(logits):\n    return logits.argmax(-1) + 99", {}, "an id outside the vocabulary of 13"),
    ],
)
def test_what_is_no_draw_is_told(model, own, text, settings, words) -> None:
    with pytest.raises(UserError, match=words):
        written(model, sampler=own(text), **settings)


def test_it_cannot_change_the_scores_of_the_model(own) -> None:
    logits = torch.zeros(1, 5)
    own("def sample(logits):\n    logits += 1\n    return logits.argmax(-1)")(logits, {})
    assert logits.eq(0).all()
