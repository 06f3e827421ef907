"""Distillation as a step of a plan: a student cut from the original or made anew, and what its training is told."""

import pytest
import torch

from firsthand.compress import METHODS
from firsthand.compress.distillation.matching import is_lesson
from firsthand.compress.distillation.method import student_fields, student_of
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.make import build_model
from firsthand.model.presets import resolve

FIELDS = resolve({"preset": "modern", "n_layers": 4, "d_model": 32, "n_heads": 4, "context_length": 8})


@pytest.fixture
def original():
    torch.manual_seed(0)
    return build_model(FIELDS, 17)


def run(original, **arguments):
    subject, told = Subject.of(original, FIELDS), []
    given = Given(torch.zeros(1, 8, dtype=torch.long), original, train=lambda one, settings: told.append(settings))
    METHODS["distill"](**arguments)(subject, given)
    return subject, told


def test_a_cut_has_the_layers_of_the_original_that_stand_at_its_places(original):
    subject, told = run(original, student={"n_layers": 2}, seconds=9.0, temperature=2.0, top_k=8)
    assert subject.fields["n_layers"] == 2
    for name, parameter in subject.model.named_parameters():
        other = original.get_parameter(name.replace("blocks.1.", "blocks.3.").replace("residuals.1.", "residuals.3."))
        assert torch.equal(parameter, other), name
    assert told[0]["train.seconds"] == 9.0
    objective = {"part": "distill", "temperature": 2.0, "alpha": 0.5, "divergence": "forward", "top_k": 8}
    assert told[0]["train.objective"] == objective


def test_a_student_of_another_width_begins_anew_where_shapes_differ(original):
    subject, _ = run(original, student={"d_model": 16, "n_heads": 2}, steps=3)
    assert subject.fields["d_head"] == 8
    assert subject.fields["d_ff"] < FIELDS["d_ff"]
    assert subject.model.embedding.weight.shape == (17, 16)
    assert float(subject.model.blocks[0].mixer.query.weight.detach().abs().sum()) > 0


def test_without_a_student_the_model_itself_learns_from_the_original(original):
    subject, told = run(original, tokens=100.0, lr=1e-4, settings={"train.schedule": "constant"})
    assert subject.fields == FIELDS
    assert told == [
        {
            "train.objective": {"part": "distill", "temperature": 1.0, "alpha": 0.5, "divergence": "forward"},
            "train.tokens": 100.0,
            "train.schedule": "constant",
            "train.optimizer": {"part": "adamw", "lr": 1e-4},
        }
    ]


def test_what_stands_between_them_is_there_while_the_student_learns_and_gone_afterwards(original):
    seen = []
    subject = Subject.of(original, FIELDS)

    def train(one, settings):
        seen.extend(name for name, _ in one.model.named_parameters() if is_lesson(name))

    given = Given(torch.zeros(1, 8, dtype=torch.long), original, train=train)
    METHODS["distill"](student={"n_layers": 2}, steps=1, hidden={"layers": [[0, 1], [1, 3]]})(subject, given)
    assert seen == ["lessons.hidden.maps.0.weight", "lessons.hidden.maps.1.weight"]
    assert not any(is_lesson(name) for name, _ in subject.model.named_parameters())


def test_anew_draws_weights_by_the_seed_and_leaves_the_callers_numbers_alone(original):
    fields = student_fields(FIELDS, {"n_layers": 2})
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one, other = (student_of(original, fields, cut=False, seed=seed) for seed in (1, 2))
    assert torch.equal(torch.rand(1), before)
    assert not torch.equal(one.blocks[0].mixer.query.weight, other.blocks[0].mixer.query.weight)
    assert not torch.equal(one.embedding.weight, original.embedding.weight)


def test_what_cannot_be_is_refused(original):
    with pytest.raises(UserError, match="say how long"):
        METHODS["distill"]()
    with pytest.raises(UserError, match="none of cut, anew"):
        METHODS["distill"](begin="new", steps=1)
    with pytest.raises(UserError, match="no text to train"):
        METHODS["distill"](steps=1)(Subject.of(original, FIELDS), Given(torch.zeros(1, 8, dtype=torch.long), original))
    with pytest.raises(UserError, match="n_layer"):
        run(original, student={"n_layer": 2}, steps=1)
