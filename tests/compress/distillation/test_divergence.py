"""How far a student is from its teacher: beside sums written out in double precision, and beside TRL's formulas."""

import math

import pytest
import torch

from firsthand.compress.distillation.divergence import DIVERGENCES, divergence
from firsthand.errors import UserError


def two(rows=5, words=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q, p = (torch.randn(rows, words, generator=generator, dtype=torch.float64) * 2 for _ in range(2))
    return q, p


def oracle(name, q, p, beta):
    """The value of one row by its definition, from probabilities, one word at a time."""
    kl = lambda a, b: math.fsum(x * math.log(x / y) for x, y in zip(a, b, strict=True))  # noqa: E731
    if name == "forward":
        return kl(p, q)
    if name == "reverse":
        return kl(q, p)
    if name == "symmetric":
        return (kl(p, q) + kl(q, p)) / 2
    m = [beta * x + (1 - beta) * y for x, y in zip(p, q, strict=True)]
    return beta * kl(p, m) + (1 - beta) * kl(q, m)


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_values_are_those_of_the_definition(name, beta):
    q, p = (logits.softmax(-1) for logits in two())
    values, _ = divergence(name, beta)(q.log(), p.log())
    wanted = [oracle(name, *rows, beta) for rows in zip(q.tolist(), p.tolist(), strict=True)]
    torch.testing.assert_close(values, torch.tensor(wanted, dtype=torch.float64), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradients_are_those_of_autograd(name):
    scores, p = two(seed=1)
    scores.requires_grad_()
    values, gradient = divergence(name, 0.3)(scores.log_softmax(-1), p.log_softmax(-1))
    (wanted,) = torch.autograd.grad(values.sum(), scores)
    torch.testing.assert_close(gradient.detach(), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.7])
def test_jensen_shannon_is_what_gkd_trainers_compute(beta):
    """The mixture by logsumexp of weighed log-probabilities, and two kl_div with logarithms as targets."""
    q, p = (logits.log_softmax(-1) for logits in two(seed=2))
    weights = torch.tensor([1 - beta, beta], dtype=torch.float64).log()
    mixture = torch.logsumexp(torch.stack([q + weights[0], p + weights[1]]), dim=0)
    kl = torch.nn.functional.kl_div
    of_teacher = kl(mixture, p, reduction="none", log_target=True)
    of_student = kl(mixture, q, reduction="none", log_target=True)
    wanted = (beta * of_teacher + (1 - beta) * of_student).sum(-1)
    torch.testing.assert_close(divergence("jensen_shannon", beta)(q, p)[0], wanted, rtol=1e-6, atol=1e-9)


def test_its_ends_are_forward_and_reverse():
    q, p = (logits.log_softmax(-1) for logits in two(seed=3))
    small = 1e-6
    near_forward = divergence("jensen_shannon", small)(q, p)[0] / small
    near_reverse = divergence("jensen_shannon", 1 - small)(q, p)[0] / small
    torch.testing.assert_close(near_forward, DIVERGENCES["forward"](q, p)[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(near_reverse, DIVERGENCES["reverse"](q, p)[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_equals_are_no_distance_apart(name):
    log = two()[0].log_softmax(-1)
    values, gradient = divergence(name)(log, log)
    assert values.abs().max() < 1e-12
    assert gradient.abs().max() < 1e-12


def test_wrong_settings_say_what_is_right():
    with pytest.raises(UserError, match=r"no divergence 'forwards'.*forward"):
        divergence("forwards")
    with pytest.raises(UserError, match=r"beta=1\.0 .*reverse"):
        divergence("jensen_shannon", 1.0)
