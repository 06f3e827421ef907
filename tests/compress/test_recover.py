"""Recovery: what a plan says reaches the training, and adapters end as weights."""

import pytest
import torch

from firsthand.compress.recover import Recover
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.make import build_model

FIELDS = {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_ff": 24, "context_length": 16, "preset": "llama"}


def subject_and_given(train):
    torch.manual_seed(0)
    subject = Subject.of(build_model(FIELDS, 30), FIELDS)
    windows = torch.randint(30, (2, 16), generator=torch.Generator().manual_seed(1))
    return subject, Given(windows, Subject.of(subject.model, FIELDS).model, train=train)


def test_the_settings_are_those_of_a_recipe():
    seen = {}
    subject, given = subject_and_given(lambda subject, settings: seen.update(settings))
    lora = {"part": "lora", "rank": 4}
    Recover(60.0, steps=10, lr=1e-4, adapter=lora, teacher="original", settings={"data.row_tokens": 8})(subject, given)
    assert seen == {
        "train.seconds": 60.0,
        "train.steps": 10,
        "train.optimizer.lr": 1e-4,
        "adapt.adapter": lora,
        "train.objective": {"part": "distill", "temperature": 1.0, "alpha": 0.5},
        "data.row_tokens": 8,
    }


def test_without_an_end_or_with_an_unknown_teacher_there_is_no_recovery():
    with pytest.raises(UserError, match="when it ends"):
        Recover()
    with pytest.raises(UserError, match="original"):
        Recover(steps=1, teacher="somebody")
    with pytest.raises(UserError, match="firsthand compress"):
        Recover(steps=1)(*subject_and_given(None))
