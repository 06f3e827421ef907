"""The head a few rows at a time, beside all logits at once with autograd, in double precision."""

import pytest
import torch
from torch.nn import functional as F

from firsthand.compress.distill import distill_loss
from firsthand.compress.distillation import head
from firsthand.compress.distillation.divergence import DIVERGENCES, divergence
from firsthand.compress.distillation.head import Aim, Lesson, TaughtHead

ROWS, WIDTH, VOCAB = 23, 6, 11


@pytest.fixture
def few_rows(monkeypatch):
    """Chunks of five rows: the last one is not full."""
    monkeypatch.setattr(head, "FEWEST_ROWS", 5)
    monkeypatch.setattr(head, "CHUNK_NUMBERS", 1)


def numbers(vocab=VOCAB, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, weight, teacher = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((ROWS, WIDTH), (vocab, WIDTH), (ROWS, VOCAB))
    )
    return x.requires_grad_(), weight.requires_grad_(), teacher, torch.randint(VOCAB, (ROWS,), generator=generator)


def aims(teacher, temperature, top_k=None):
    """What `Aim.of` says, in double precision."""
    logs = torch.log_softmax(teacher / temperature, -1)
    if top_k is None:
        return lambda rows: Aim(logs[rows])
    found = logs.topk(top_k, -1)
    return lambda rows: Aim(found.values[rows], found.indices[rows])


def plain(x, weight, softcap):
    logits = x @ weight.t()
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def alike(found, wanted, *leaves):
    """Whether two losses and their gradients are the same."""
    both = [[loss.detach(), *torch.autograd.grad(loss, leaves)] for loss in (found, wanted)]
    return all(torch.allclose(*pair, rtol=1e-8, atol=1e-8) for pair in zip(*both, strict=True))


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 0.5), (2.0, 0.7), (0.5, 1.0), (3.0, 0.0)])
@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.usefixtures("few_rows")
def test_all_words(name, temperature, alpha, softcap):
    x, weight, teacher, targets = numbers()
    lesson = Lesson(divergence(name), temperature, alpha)
    value, soft, nats = TaughtHead.apply(x, weight, targets, aims(teacher, temperature), lesson, softcap)
    logits = plain(x, weight, softcap)
    distances, _ = divergence(name)((logits / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1))
    hard = F.cross_entropy(logits, targets, reduction="sum")
    wanted = alpha * temperature**2 * distances.sum() + (1 - alpha) * hard
    torch.testing.assert_close((soft, nats), (temperature**2 * distances.sum().detach(), hard.detach()))
    assert alike(value, wanted, x, weight)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.usefixtures("few_rows")
def test_the_likeliest_words_and_the_rest_as_one(name, temperature):
    x, weight, teacher, targets = numbers(seed=1)
    lesson = Lesson(divergence(name), temperature, 0.8)
    value, _, _ = TaughtHead.apply(x, weight, targets, aims(teacher, temperature, 3), lesson, None)
    logits = plain(x, weight, None)
    p, q = ((scores / temperature).softmax(-1) for scores in (teacher, logits))
    ids = p.topk(3, -1).indices
    p, q = (torch.cat((all.gather(-1, ids), 1 - all.gather(-1, ids).sum(-1, keepdim=True)), -1) for all in (p, q))
    distances, _ = divergence(name)(q.log(), p.log())
    wanted = 0.8 * temperature**2 * distances.sum() + 0.2 * F.cross_entropy(logits, targets, reduction="sum")
    assert alike(value, wanted, x, weight)


@pytest.mark.usefixtures("few_rows")
def test_it_is_the_loss_of_the_lesson():
    x, weight, teacher, targets = numbers(seed=2)
    lesson = Lesson(divergence("forward"), 2.0, 0.3)
    value, soft, nats = TaughtHead.apply(x, weight, targets, aims(teacher, 2.0), lesson, None)
    wanted = distill_loss(plain(x, weight, None), teacher, targets, 2.0, 0.3)
    torch.testing.assert_close((soft, nats), (wanted.metrics["soft"], wanted.metrics["nats"]))
    assert alike(value, wanted.value, x, weight)


def test_rows_of_the_head_that_no_word_has_get_no_probability():
    x, weight, teacher, targets = numbers(vocab=VOCAB + 2)
    lesson = Lesson(divergence("forward"), 1.0, 1.0)
    value, _, _ = TaughtHead.apply(x, weight, targets, aims(teacher, 1.0), lesson, None)
    logs, p = plain(x, weight, None).log_softmax(-1), teacher.softmax(-1)
    assert alike(value, (p * (p.log() - logs[:, :VOCAB])).sum(), x, weight)


def test_nobody_holds_all_logits():
    """The largest piece that a vocabulary of 50 thousand is read in."""
    vocab, seen = 50_000, []

    def ask(rows):
        seen.append(rows.stop - rows.start)
        return Aim.of(torch.zeros(seen[-1], vocab), 1.0, 4)

    x, weight = torch.zeros(600, 2), torch.zeros(vocab, 2)
    TaughtHead.apply(x, weight, torch.zeros(600, dtype=torch.long), ask, Lesson(divergence("forward")), None)
    assert sum(seen) == 600
    assert max(seen) == head.FEWEST_ROWS


def test_certainty_stays_finite():
    """A teacher that knows, a student that knows something else, and a rest of nothing."""
    teacher = torch.tensor([[60.0, 0, 0, 0]])
    aim = Aim.of(teacher, 1.0, 2)
    for name in DIVERGENCES:
        logits = torch.tensor([[0.0, 80.0, 0, 0]])
        soft, nats, gradient = Lesson(divergence(name))(logits, torch.tensor([1]), aim)
        assert torch.isfinite(soft)
        assert torch.isfinite(nats)
        assert torch.isfinite(gradient).all()
