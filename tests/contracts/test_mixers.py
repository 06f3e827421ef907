"""What every mixer promises, with every position scheme. A new line in MIXERS is tested here with no new code."""

import copy
import itertools

import pytest
import torch
from torch.utils import deterministic

from firsthand.model.mixers import MIXERS
from firsthand.model.positions import POSITIONS
from firsthand.parts import build
from firsthand.types import Place

SIZES = {"d_model": 24, "n_heads": 4, "n_kv_heads": 2, "d_head": 6, "context_length": 256, "n_layers": 2, "layer": 0}
LENGTHS = [1, 2, 3, 17, 63, 64, 65, 129, 200]


@pytest.fixture(params=list(itertools.product(MIXERS, POSITIONS)), ids="-".join)
def mixer(request):
    return make(*request.param)


def make(mixer, position, dtype=torch.float64, **arguments):
    torch.manual_seed(0)
    scheme = build("position", POSITIONS, position, **SIZES)
    return build("mixer", MIXERS, {"part": mixer, **arguments}, **SIZES, position=scheme).to(dtype)


def inputs(batch, time, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, time, SIZES["d_model"], generator=generator, dtype=dtype)


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


def alone(mixer, x):
    return mixer(x, place(x.shape[1]))[0]


@pytest.mark.parametrize("time", LENGTHS)
def test_shape_dtype_and_no_state_without_one(mixer, time):
    x = inputs(2, time)
    y, state = mixer(x, place(time))
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.isfinite().all()
    assert state is None


@pytest.mark.parametrize("time", [2, 17, 130])
def test_the_future_does_not_change_the_past(mixer, time):
    x = inputs(2, time)
    before = alone(mixer, x)
    for changed in {1, time // 2, time - 1}:
        other = x.clone()
        other[:, changed:] += 1.0
        after = alone(mixer, other)
        torch.testing.assert_close(after[:, :changed], before[:, :changed], atol=1e-12, rtol=0)
        assert (after[:, changed] - before[:, changed]).abs().amax() > 1e-6


@pytest.mark.parametrize("time", LENGTHS)
def test_a_prefix_gives_the_same(mixer, time):
    x = inputs(2, 200)
    torch.testing.assert_close(alone(mixer, x[:, :time]), alone(mixer, x)[:, :time], atol=1e-10, rtol=0)


def test_the_past_matters(mixer):
    x = inputs(1, 9)
    other = x.clone()
    other[:, 0] += 1.0
    assert (alone(mixer, x) - alone(mixer, other))[0, 1:].abs().amax(-1).gt(1e-9).all()


@pytest.mark.parametrize("chunks", [[13], [1] * 13, [5, 1, 1, 6], [1, 12]], ids=str)
@torch.no_grad()
def test_decoding_equals_the_whole_at_every_step(mixer, chunks):
    x = inputs(3, sum(chunks))
    whole = alone(mixer, x)
    state = mixer.initial_state(3, sum(chunks) + 2)
    start = 0
    for length in chunks:
        y, state = mixer(x[:, start : start + length], place(length, start), state)
        torch.testing.assert_close(y, whole[:, start : start + length], atol=1e-10, rtol=0)
        start += length


@torch.no_grad()
def test_the_state_is_all_that_is_remembered(mixer):
    """Two conversations in turn, through one mixer, do not mix; and the mixer keeps nothing."""
    names = set(vars(mixer))
    rows = [inputs(1, 8, seed=2), inputs(1, 8, seed=3)]
    wholes = [alone(mixer, x) for x in rows]
    states = [mixer.initial_state(1, 8) for _ in rows]
    for t in range(8):
        for row in (0, 1):
            y, states[row] = mixer(rows[row][:, t : t + 1], place(1, t), states[row])
            torch.testing.assert_close(y, wholes[row][:, t : t + 1], atol=1e-10, rtol=0)
    assert set(vars(mixer)) == names


def test_rows_of_a_batch_are_strangers(mixer):
    x = inputs(3, 17)
    y = alone(mixer, x)
    for row in range(3):
        torch.testing.assert_close(alone(mixer, x[row : row + 1]), y[row : row + 1], atol=1e-12, rtol=0)


def test_packed_documents_do_not_see_each_other(mixer):
    """A row of three documents, whose positions start anew, equals the three by themselves."""
    lengths = [5, 1, 130]
    x = inputs(2, sum(lengths))
    index = torch.cat([torch.arange(length) for length in lengths]).expand(2, -1)
    document = torch.cat([torch.full((length,), 7 * n) for n, length in enumerate(lengths)]).expand(2, -1)
    y, _ = mixer(x, Place(index, document))
    parts = [alone(mixer, part) for part in x.split(lengths, dim=1)]
    torch.testing.assert_close(y, torch.cat(parts, dim=1), atol=1e-10, rtol=0)


def test_one_document_a_row_is_the_default(mixer):
    x = inputs(2, 9)
    y, _ = mixer(x, Place(torch.arange(9).expand(2, -1), torch.tensor([[3] * 9, [4] * 9])))
    torch.testing.assert_close(y, alone(mixer, x), atol=1e-12, rtol=0)


def padded_place(padding, time):
    """Rows with so many columns of padding on the left."""
    index = torch.stack([(torch.arange(time) - p).clamp(min=0) for p in padding])
    document = torch.stack([torch.where(torch.arange(time) < p, -1, 0) for p in padding])
    return Place(index, document)


@pytest.mark.parametrize("steps", [[8], [5, 1, 1, 1], [6, 2]], ids=str)
@torch.no_grad()
def test_padding_is_seen_by_nobody(mixer, steps):
    padding = [3, 0, 4]
    x = inputs(3, 8)
    x[0, :3] = 1e4
    everything = padded_place(padding, 8)
    state = mixer.initial_state(3, 8)
    start, chunks = 0, []
    for length in steps:
        here = slice(start, start + length)
        y, state = mixer(x[:, here], Place(everything.index[:, here], everything.document[:, here]), state)
        chunks.append(y)
        start += length
    stepwise = torch.cat(chunks, dim=1)
    at_once, _ = mixer(x, everything)
    assert at_once.isfinite().all()
    for row, p in enumerate(padding):
        expected = alone(mixer, x[row : row + 1, p:])
        torch.testing.assert_close(at_once[row : row + 1, p:], expected, atol=1e-10, rtol=0)
        torch.testing.assert_close(stepwise[row : row + 1, p:], expected, atol=1e-10, rtol=0)


def test_gradients_are_right(mixer):
    x = inputs(1, 4).requires_grad_()
    weights = [parameter for parameter in mixer.parameters() if parameter.numel() < 2000]
    assert weights
    assert torch.autograd.gradcheck(lambda x, *_: alone(mixer, x), (x, *weights), fast_mode=True)


def test_every_parameter_gets_a_gradient(mixer):
    alone(mixer, inputs(2, 9)).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        if not name.startswith("position."):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_saved_weights_make_the_same_mixer(mixer):
    other = copy.deepcopy(mixer)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    x = inputs(2, 9)
    assert (alone(other, x) - alone(mixer, x)).abs().amax() > 1e-3
    other.load_state_dict({name: value.clone() for name, value in mixer.state_dict().items()})
    assert torch.equal(alone(other, x), alone(mixer, x))


def test_inputs_are_left_alone(mixer):
    x = inputs(2, 9)
    kept = x.clone()
    alone(mixer, x)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("time", [7, 130])
def test_half_precision_stays_near(name, time):
    exact, x = make(name, "rope", torch.float32), inputs(2, time, torch.float32)
    expected = alone(exact, x)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = alone(exact, x)
    assert under_autocast.dtype == torch.bfloat16
    cast = alone(make(name, "rope", torch.bfloat16), x.bfloat16())
    for y in (under_autocast, cast):
        assert (y.float() - expected).abs().amax() < 0.05 * expected.abs().amax()


@pytest.mark.parametrize("name", MIXERS)
@torch.no_grad()
def test_uninitialised_memory_changes_nothing(name):
    """Every torch.empty is filled with NaN."""
    mixer, x = make(name, "rope"), inputs(2, 9)
    whole = alone(mixer, x)
    torch.use_deterministic_algorithms(True)
    try:
        assert deterministic.fill_uninitialized_memory
        assert torch.empty(3).isnan().all()
        state = mixer.initial_state(2, 12)
        y, state = mixer(x[:, :8], padded_place([0, 0], 8), state)
        z, state = mixer(x[:, 8:], place(1, 8), state)
        assert torch.equal(alone(mixer, x), whole)
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(torch.cat((y, z), dim=1), whole, atol=1e-10, rtol=0)
