"""What every position scheme promises. A new line in POSITIONS is tested here with no new code."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.positions import POSITIONS
from firsthand.parts import build

CONTEXT = 40


@pytest.fixture(params=POSITIONS)
def position(request):
    torch.manual_seed(0)
    sizes = {"d_model": 24, "n_heads": 4, "d_head": 6, "context_length": CONTEXT}
    return build("position", POSITIONS, request.param, **sizes)


def stream(batch=2, time=9):
    return torch.randn(batch, time, 24, generator=torch.Generator().manual_seed(1))


def heads(batch=2, time=9, n_heads=4):
    return torch.randn(batch, n_heads, time, 6, generator=torch.Generator().manual_seed(2))


def at(*index):
    return torch.tensor([index])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_shapes_and_dtypes_are_kept(position, dtype):
    index = torch.arange(9).unsqueeze(0)
    x, h = stream().to(dtype), heads().to(dtype)
    assert position.embed(x, index).shape == x.shape
    rotated = position.rotate(h, index)
    assert rotated.shape == h.shape
    assert rotated.dtype == dtype
    bias = position.bias(index, index)
    assert bias is None or bias.shape[-2:] == (9, 9)


def test_one_index_for_all_rows_is_one_for_each(position):
    index = torch.arange(3, 12).unsqueeze(0)
    assert torch.equal(position.embed(stream(), index), position.embed(stream(), index.expand(2, -1)))
    assert torch.equal(position.rotate(heads(), index), position.rotate(heads(), index.expand(2, -1)))


def test_rows_may_stand_elsewhere(position):
    index = torch.stack((torch.arange(9), torch.arange(20, 29)))
    x, h = stream(), heads()
    for row in (0, 1):
        here = slice(row, row + 1)
        assert torch.equal(position.embed(x, index)[here], position.embed(x[here], index[here]))
        assert torch.equal(position.rotate(h, index)[here], position.rotate(h[here], index[here]))


def test_only_the_index_counts_and_not_the_column(position):
    x, h = stream(1, 1), heads(1, 1)
    late = at(5, 6, 7)
    assert torch.equal(position.embed(x.expand(-1, 3, -1), late)[:, 1:2], position.embed(x, at(6)))
    assert torch.equal(position.rotate(h.expand(-1, -1, 3, -1), late)[:, :, 1:2], position.rotate(h, at(6)))


def test_any_number_of_heads(position):
    h = heads(2, 9, 5)
    index = torch.arange(9).unsqueeze(0)
    assert torch.equal(position.rotate(h, index)[:, 2:3], position.rotate(h[:, 2:3], index))


def test_beyond_the_context_is_an_error(position):
    """A scheme with a table says where it ends; one without has no end."""
    if position.context_length is None:
        position.embed(stream(1, 1), at(10**6))
        position.rotate(heads(1, 1), at(10**6))
        return
    assert position.context_length == CONTEXT
    position.embed(stream(1, 1), at(CONTEXT - 1))
    position.rotate(heads(1, 1), at(CONTEXT - 1))
    with pytest.raises(UserError, match=f"position {CONTEXT}.*holds {CONTEXT} tokens"):
        position.embed(position.rotate(heads(1, 1), at(CONTEXT)).reshape(1, 1, 24), at(CONTEXT))


def test_tables_are_made_not_saved(position):
    assert set(position.state_dict()) == {name for name, _ in position.named_parameters()}


def test_inputs_are_left_alone(position):
    x, h, index = stream(), heads(), torch.arange(9).unsqueeze(0)
    position.embed(x, index)
    position.rotate(h, index)
    assert torch.equal(x, stream())
    assert torch.equal(h, heads())
