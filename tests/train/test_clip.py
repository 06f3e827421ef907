import math

import pytest
import torch
from torch import nn

from firsthand.train.clip import clip_by_norm


def parameters():
    first, second = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))
    first.grad, second.grad = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([[4.0, 0.0], [0.0, 0.0]])
    return [first, second, nn.Parameter(torch.zeros(1))]


def test_the_norm_is_global_and_clipping_keeps_the_direction():
    given = parameters()
    assert clip_by_norm(given, 1.0, 1.0) == pytest.approx(5.0)
    assert given[0].grad[0] == pytest.approx(0.6, rel=1e-5)
    assert given[1].grad[0, 0] == pytest.approx(0.8, rel=1e-5)


def test_it_agrees_with_torch():
    ours, oracle = parameters(), parameters()
    norm = nn.utils.clip_grad_norm_(oracle, 2.0)
    assert clip_by_norm(ours, 1.0, 2.0) == pytest.approx(norm.item())
    torch.testing.assert_close(ours[0].grad, oracle[0].grad)


def test_the_factor_is_applied_before_the_limit():
    given = parameters()
    assert clip_by_norm(given, 0.1, 1.0) == pytest.approx(0.5)
    assert given[0].grad[0] == pytest.approx(0.3)


def test_no_limit_and_no_gradients():
    given = parameters()
    assert clip_by_norm(given, 1.0, None) == pytest.approx(5.0)
    assert given[0].grad[0] == 3.0
    assert clip_by_norm([nn.Parameter(torch.zeros(1))], 1.0, 1.0) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_gradient_is_seen(bad):
    given = parameters()
    given[1].grad[1, 1] = bad
    assert not clip_by_norm(given, 1.0, 1.0) < math.inf
