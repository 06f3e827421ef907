"""Texts of the student's own: only what it wrote is learnt, in a share of the steps, and the same again."""

import numpy as np
import pytest
import torch

from firsthand.compress.distillation.objective import Distill
from firsthand.compress.distillation.rollouts import OnPolicy, Rollouts
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.generate.reference import generate as slow
from firsthand.model.make import build_model
from firsthand.types import IGNORE

VOCAB = 13


def model(seed=0, **fields):
    torch.manual_seed(seed)
    sizes = {"preset": "modern", "n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 16}
    made = build_model(sizes | fields, VOCAB)
    with torch.no_grad():
        made.head_weight.normal_(0, 0.5)
    return made


def loader(microbatches=1):
    text = np.random.default_rng(0).integers(0, VOCAB, 400).astype(np.uint16)
    return Loader(Tokens.of(text, vocab_size=VOCAB), 12, 48, seed=1, microbatches=microbatches)


def test_the_beginning_is_read_and_the_rest_written():
    plain, student = loader(), model().train()
    rollouts = Rollouts(plain, student, OnPolicy(1.0, 5, 0.0), 0, VOCAB)
    (read,), (written,) = plain.batch(3), rollouts.batch(3)
    assert torch.equal(read.inputs[:, :5], written.inputs[:, :5])
    assert (written.targets[:, :4] == IGNORE).all()
    assert torch.equal(written.targets[:, 4:-1], written.inputs[:, 5:])
    for row in range(4):
        wanted = slow(student, read.inputs[row : row + 1, :5], 8, lambda logits: logits.argmax(-1))
        assert [*written.inputs[row, 5:].tolist(), int(written.targets[row, -1])] == wanted[0, 5:].tolist()
    assert written.source is None
    assert student.training


def test_a_share_of_the_steps_is_written_and_each_comes_out_the_same_again():
    plain, student = loader(2), model()
    rollouts = Rollouts(plain, student, OnPolicy(0.5, 5, 1.0), 7, VOCAB)
    changed = []
    for step in range(40):
        own, again = rollouts.batch(step), rollouts.batch(step)
        assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(own, again, strict=True))
        changed.append(not torch.equal(own[0].inputs, plain.batch(step)[0].inputs))
    assert 10 < sum(changed) < 30


def test_a_student_comes_nearer_to_its_teacher_on_its_own_words():
    student, teacher = model().train(), model(1)
    objective = Distill(teacher, alpha=1.0, divergence="reverse", on_policy={"share": 1.0, "prompt_tokens": 4})
    batches = objective.batches(loader(), student, 0, VOCAB)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    distances = []
    for step in range(40):
        (batch,) = batches.batch(step)
        loss = objective(student, batch)
        distances.append(float(loss.metrics["soft"]) / int(loss.count))
        optimizer.zero_grad()
        (loss.value / loss.count).backward()
        optimizer.step()
    assert sum(distances[-5:]) < 0.7 * sum(distances[:5])


def test_a_prompt_must_fit():
    with pytest.raises(UserError, match="leaves nothing to write in rows of 12"):
        Rollouts(loader(), model(), OnPolicy(1.0, 13), 0, VOCAB).batch(0)
