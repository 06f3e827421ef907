"""Cross-entropy: by hand, against its definition, at the edges."""

import math

import pytest
import torch

from firsthand.ops.cross_entropy import chunked, cross_entropy, linear_cross_entropy
from firsthand.ops.cross_entropy import reference as definition


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("function", [cross_entropy, definition.cross_entropy])
def test_by_hand(function):
    logits = torch.tensor([[[0.0, math.log(3.0)], [5.0, 5.0]]])
    total, count = function(logits, torch.tensor([[1, 0]]))
    assert total.item() == pytest.approx(-math.log(3 / 4) - math.log(1 / 2))
    assert int(count) == 2


@pytest.mark.parametrize("function", [cross_entropy, definition.cross_entropy])
def test_ignored_targets_count_for_nothing(function):
    logits = random(2, 3, 5).requires_grad_()
    targets = torch.tensor([[0, -100, 4], [-100, -100, 2]])
    total, count = function(logits, targets)
    alone = [function(logits[b, t], targets[b, t])[0] for b, t in ((0, 0), (0, 2), (1, 2))]
    assert total.item() == pytest.approx(sum(alone).item())
    assert int(count) == 3
    total.backward()
    assert (logits.grad[1, :2] == 0).all()
    nothing = function(logits, torch.full((2, 3), -100))
    assert [x.item() for x in nothing] == [0, 0]
    other, _ = function(logits, torch.where(targets == -100, 1, targets), ignore_index=1)
    assert other.item() == pytest.approx(total.item())


def test_large_logits_do_not_overflow():
    for function in (cross_entropy, definition.cross_entropy):
        total, _ = function(torch.tensor([[1e4, 0.0]]), torch.tensor([1]))
        assert total.item() == pytest.approx(1e4)
    x, weight = torch.tensor([[1e4]]), torch.tensor([[1.0], [0.0]])
    assert float(linear_cross_entropy(x, weight, torch.tensor([1]))[0]) == pytest.approx(1e4)


def test_fast_equals_the_definition_with_gradients():
    logits, targets = random(3, 7, 11).requires_grad_(), torch.arange(21).reshape(3, 7) % 11
    results = [function(logits, targets) for function in (cross_entropy, definition.cross_entropy)]
    gradients = [torch.autograd.grad(total, logits)[0] for total, _ in results]
    torch.testing.assert_close(*(total for total, _ in results), atol=1e-12, rtol=0)
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_half_precision_is_summed_in_full():
    logits, targets = random(50, 100).float(), torch.arange(50)
    exact, _ = cross_entropy(logits, targets)
    total, _ = cross_entropy(logits.bfloat16(), targets)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=1e-3)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(("rows", "vocab"), [(1, 1), (1, 5), (257, 7), (300, 5), (3, 300)])
def test_linear_equals_the_definition_with_gradients(monkeypatch, rows, vocab, softcap):
    monkeypatch.setattr(chunked, "CHUNK_NUMBERS", 8)  # so that 257 rows are two chunks
    x, weight = random(rows, 6).requires_grad_(), random(vocab, 6, seed=1).requires_grad_()
    targets = torch.arange(rows) % vocab
    targets[2::5] = -100
    results = []
    for function in (linear_cross_entropy, definition.linear_cross_entropy):
        total, count = function(x, weight, targets, softcap)
        results.append((total, count, *torch.autograd.grad(total / count * 3, (x, weight))))
    for fast, right in zip(*results, strict=True):
        torch.testing.assert_close(fast, right, atol=1e-12, rtol=0)


def test_linear_gradients_are_right():
    x, weight = random(2, 3, 4).requires_grad_(), random(5, 4, seed=1).requires_grad_()
    targets = torch.tensor([[0, 1, -100], [4, 4, 2]])
    assert torch.autograd.gradcheck(lambda x, w: linear_cross_entropy(x, w, targets, 3.0)[0], (x, weight))


def test_linear_without_gradients_and_with_some():
    x, weight, targets = random(4, 3), random(5, 3, seed=1), torch.arange(4)
    expected, _ = linear_cross_entropy(x, weight, targets)
    assert not expected.requires_grad
    for wants in ((True, False), (False, True)):
        given = [t.clone().requires_grad_(want) for t, want in zip((x, weight), wants, strict=True)]
        total, _ = linear_cross_entropy(*given, targets)
        total.backward()
        assert torch.equal(total, expected)
        assert [t.grad is not None for t in given] == list(wants)


def test_linear_in_half_precision():
    x, weight = random(600, 32).float().requires_grad_(), random(500, 32, seed=1).float().requires_grad_()
    targets = torch.arange(600) % 500
    exact, _ = linear_cross_entropy(x, weight, targets, 15.0)
    wanted = torch.autograd.grad(exact, (x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = linear_cross_entropy(x, weight, targets, 15.0)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=2e-3)
    for gradient, right in zip(torch.autograd.grad(total, (x, weight)), wanted, strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - right).norm() < 0.02 * right.norm()


def test_rows_without_a_target_cost_no_logits(monkeypatch):
    products = []
    multiply = torch.mm

    def counting(a, b, **where):
        products.append((len(a), b.shape[1]))
        return multiply(a, b, **where)

    monkeypatch.setattr(torch, "mm", counting)
    x, weight, targets = random(9, 4).requires_grad_(), random(7, 4, seed=1), torch.full((9,), -100)
    targets[[2, 5]] = torch.tensor([3, 0])
    linear_cross_entropy(x, weight, targets)
    assert products == [(2, 7), (2, 4)]
