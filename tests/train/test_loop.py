"""The loop on a small model: it learns, resumes exactly, ignores bad numbers, counts right."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.model.make import build_model
from firsthand.train.budget import Budget, Progress
from firsthand.train.loop import Loop
from firsthand.train.objectives import OBJECTIVES
from firsthand.train.optimizers import OPTIMIZERS
from firsthand.train.optimizers.groups import load_state_tensors, state_tensors
from firsthand.train.schedules import linear, warmup_cosine
from firsthand.types import Loss

TEXT = np.frombuffer(b"to be, or not to be: that is the question. " * 40, dtype=np.uint8).astype(np.uint16)


def make(steps=20, dropout=0.1, microbatches=2, optimizer="adamw", objective=None, **changes):
    torch.manual_seed(1)
    fields = {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16, "dropout": dropout}
    model = build_model(fields, 256)
    loader = Loader(Tokens.of(TEXT, vocab_size=256), 16, 128, seed=3, microbatches=microbatches)
    loop = Loop(
        model,
        objective or OBJECTIVES["next_token"](),
        OPTIMIZERS[optimizer](list(model.named_parameters())),
        warmup_cosine(),
        loader,
        Budget(steps=steps),
        flops_per_token=1000.0,
        device=torch.device("cpu"),
        precision="fp32",
    )
    return replace(loop, **changes) if changes else loop


@pytest.fixture
def run_plain(tmp_path):
    """Runs a script without the tests' shape checks; this file is its module train_test_loop."""

    def run(script):
        (tmp_path / "train_test_loop.py").write_bytes(Path(__file__).read_bytes())
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def weights(loop):
    return {name: parameter.detach().clone() for name, parameter in loop.model.named_parameters()}


def same(left, right):
    return all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_learns(optimizer):
    losses = [step.loss for step in make(60, dropout=0.0, optimizer=optimizer)]
    assert losses[0] == pytest.approx(np.log(256), abs=0.3)
    assert losses[-1] < losses[0] - 1.5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stop", [1, 7, 19])
def test_resuming_is_bit_equal_with_dropout_and_accumulation(stop, optimizer):
    whole = make(20, optimizer=optimizer)
    losses = [step.loss for step in whole]

    first = make(20, optimizer=optimizer)
    for step in first:
        if step.progress.steps == stop:
            break
    state = {
        key: value.clone() for key, value in state_tensors(first.optimizer, first.model.named_parameters()).items()
    }

    second = make(20, optimizer=optimizer)
    second.model.load_state_dict(weights(first), strict=False)
    load_state_tensors(second.optimizer, second.model.named_parameters(), state)
    second.progress = replace(first.progress, seconds=0.0)
    assert [step.loss for step in second] == losses[stop:]
    assert same(weights(second), weights(whole))


def test_accumulation_gives_the_gradient_of_the_whole_batch():
    one, four = make(1, dropout=0.0, microbatches=1), make(1, dropout=0.0, microbatches=4)
    (a,), (b,) = list(one), list(four)
    assert a.loss == pytest.approx(b.loss, rel=1e-6)
    assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-5)


def test_unequal_microbatches_weigh_by_their_tokens():
    """Half of the targets of one microbatch are ignored: the loss is still the mean over all that are left."""

    class Masked:
        def __init__(self, microbatches):
            self.loader = make(1, dropout=0.0, microbatches=microbatches).batches
            self.microbatches = microbatches

        def batch(self, step):
            batches = self.loader.batch(step)
            batches[0].targets[: len(batches[0].targets) // (4 // self.microbatches) // 2] = -100
            return batches

    one = next(iter(make(1, dropout=0.0, batches=Masked(1))))
    four = next(iter(make(1, dropout=0.0, batches=Masked(4))))
    assert one.loss == pytest.approx(four.loss, rel=1e-6)
    assert one.grad_norm == pytest.approx(four.grad_norm, rel=1e-5)


COMPILED = """
from train_test_loop import make
for compiled in (False, True):
    print([step.loss for step in make(3, dropout=0.0, microbatches=1, compiled=compiled)][-1])
"""


class Poisoned:
    """Gives a non-finite loss, or a non-finite gradient under a finite loss, at some calls."""

    def __init__(self, calls, kind):
        self.calls, self.kind, self.call = calls, kind, 0
        self.inner = OBJECTIVES["next_token"]()

    def __call__(self, model, batch):
        loss = self.inner(model, batch)
        self.call += 1
        if self.call not in self.calls:
            return loss
        value = loss.value * float("nan") if self.kind == "loss" else loss.value + (loss.value * 0).sqrt().sum() * 0
        return Loss(value, loss.count, loss.metrics)


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_r08_a_bad_number_never_reaches_the_weights(kind):
    loop = make(6, dropout=0.0, microbatches=1, objective=Poisoned({3}, kind))
    before = None
    for step in loop:
        if step.progress.steps == 2:
            before = weights(loop)
        if step.progress.steps == 3:
            assert step.skipped
            assert same(weights(loop), before)
    assert not step.skipped
    assert all(value.isfinite().all() for value in weights(loop).values())


def test_r08_too_many_bad_steps_end_the_run():
    loop = make(50, microbatches=1, objective=Poisoned(set(range(3, 99)), "loss"))
    with pytest.raises(UserError, match="not finite in 20 steps"):
        list(loop)


def test_it_counts_tokens_and_flops_and_obeys_each_bound():
    last = list(make(3))[-1].progress
    assert (last.steps, last.tokens, last.flops) == (3, 3 * 128, 3 * 128 * 1000.0)
    assert len(list(make(budget=Budget(tokens=1000.0)))) == 8
    assert len(list(make(budget=Budget(flops=256_000.0)))) == 2
    assert len(list(make(budget=Budget(seconds=5.0, steps=2)))) == 2


def test_seconds_spent_before_count():
    assert list(make(budget=Budget(seconds=10.0), progress=Progress(seconds=11.0))) == []


def test_the_stop_flag_is_passed_on():
    assert next(iter(make(stop=lambda: True))).stop


def test_compiled_and_eager_agree(run_plain):
    """In a process of its own: the shape checks of the tests cannot look inside a compiled step."""
    eager, compiled = run_plain(COMPILED).split()
    assert float(compiled) == pytest.approx(float(eager), rel=1e-5)


def test_bf16_stays_close_to_fp32():
    single = list(make(5, dropout=0.0, microbatches=1))[-1]
    half = list(make(5, dropout=0.0, microbatches=1, precision="bf16"))[-1]
    assert half.loss == pytest.approx(single.loss, rel=0.02)


@pytest.mark.parametrize("bound", ["steps", "tokens", "flops"])
def test_schedules_are_asked_for_the_middle_of_a_step(bound):
    """So the first of a warm-up from 0 learns already, and so does the last of a decay to 0."""
    loop = make(10)
    tokens = sum(batch.inputs.numel() for batch in loop.batches.batch(0))
    budget = {"steps": 10, "tokens": 10.0 * tokens, "flops": 10 * tokens * loop.flops_per_token}
    loop.budget = Budget(**{bound: budget[bound]})
    asked = []
    loop.schedule = lambda fraction: asked.append(fraction) or 1.0
    assert len(list(loop)) == 10
    assert asked == pytest.approx([0.05 + 0.1 * step for step in range(10)])


def test_no_step_of_a_run_is_without_a_rate():
    loop = make(10)
    loop.schedule = linear(warmup=0.5, final=0.0)
    rates = [step.lr for step in loop]
    assert rates[:5] == pytest.approx([rates[4] * (2 * step + 1) / 9 for step in range(5)])
    assert min(rates) > 0
    assert rates[0] == pytest.approx(rates[-1])
