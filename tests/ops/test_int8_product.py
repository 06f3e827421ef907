"""Products of whole numbers: exact, whoever computes them."""

import pytest
import torch

from firsthand.ops import int8_product as module
from firsthand.ops.int8_product import int8_product, reference, rounded_rows


@pytest.fixture
def forget():
    """The choice is made once a process: a test that changes the ground asks anew, and leaves nothing behind."""
    module._can.cache_clear()
    yield
    module._can.cache_clear()


@pytest.mark.parametrize("shape", [(7,), (1, 7), (3, 1, 64), (2, 33, 130), (5, 2000)], ids=str)
def test_products_are_those_of_whole_numbers(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-127, 128, shape, generator=generator).to(torch.int8)
    weight = torch.randint(-127, 128, (37, shape[-1]), generator=generator).to(torch.int8)
    expected = x.long() @ weight.long().T
    assert torch.equal(int8_product(x, weight).long(), expected)
    assert torch.equal(reference(x.view(-1, shape[-1]), weight).long(), expected.view(-1, 37))


def test_the_largest_sum_is_exact():
    x = torch.full((1, 4096), 127, dtype=torch.int8)
    assert int(reference(x, x)) == 4096 * 127**2


def test_rows_are_rounded_by_their_largest_size():
    codes, scales = rounded_rows(torch.tensor([[1.0, -2.54, 0.0], [0.0, 0.0, 0.0]]))
    assert codes.tolist() == [[50, -127, 0], [0, 0, 0]]
    torch.testing.assert_close(scales, torch.tensor([[0.02], [1.0]]))


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_kernel_that_is_missing_or_refuses_is_left_alone_and_that_is_said(monkeypatch, caplog, error):
    def refuse(*_):
        raise error("no such operator")

    monkeypatch.setattr(torch, "_int_mm", refuse)
    x = torch.ones(2, 3, dtype=torch.int8)
    with caplog.at_level("INFO", "firsthand.ops"):
        assert int8_product(x, x).tolist() == [[3.0, 3.0], [3.0, 3.0]]
        int8_product(x, x)
    assert caplog.messages == ["int8 product on cpu: version reference"]
