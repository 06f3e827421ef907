"""Linear attention: every version against its definition, in outputs, states and gradients."""

import pytest
import torch

from firsthand.contracts.module import poisoned
from firsthand.errors import UserError
from firsthand.ops.linear_attention import VERSIONS, linear_attention
from firsthand.ops.linear_attention import reference as definition
from firsthand.ops.linear_attention.chunks import CHUNK

LENGTHS = [1, 2, 63, 64, 65, 200]
HEADS = {"own": (4, 4, 4), "grouped": (4, 2, 2), "one key": (4, 1, 4), "groups of Mamba-2": (2, 2, 4), "one": (1, 1, 4)}


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inputs(time, heads="own", batch=2, d_key=3, d_value=5, dtype=torch.float64):
    query, key, value = HEADS[heads]
    return [
        random(batch, query, time, d_key, seed=1, dtype=dtype),
        random(batch, key, time, d_key, seed=2, dtype=dtype),
        random(batch, value, time, d_value, seed=3, dtype=dtype),
        -random(batch, 4, time, seed=4, dtype=dtype).exp() * 0.3,
        random(batch, 4, d_key, d_value, seed=5, dtype=dtype),
    ]


def borders(batch, time, seed=6, often=0.04):
    """Segments of about 25 tokens; the first row begins with a border."""
    found = torch.rand(batch, time, generator=torch.Generator().manual_seed(seed)) < often
    found[0, 0] = True
    return found.cumsum(1)


def by_definition(query, key, value, decay, state, segment):
    heads = max(len(x[0]) for x in (query, key, value, decay) if x is not None)
    query, key, value = (x.repeat_interleave(heads // len(x[0]), 1) for x in (query, key, value))
    if decay is None:
        decay = query.new_zeros(query.shape[:3])
    if state is None:
        state = query.new_zeros(*query.shape[:2], query.shape[3], value.shape[3])
    if segment is None:
        segment = torch.zeros(query.shape[0], query.shape[2], dtype=torch.long)
    return definition.linear_attention(query, key, value, decay, state, segment)


def able(version, time):
    return version != "step" or time == 1


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("time", LENGTHS)
@pytest.mark.parametrize("given", ["decay", "decay state", "decay segment", "state segment", "decay state segment"])
def test_versions_equal_the_definition(time, heads, given):
    tensors = [x.requires_grad_() for x in inputs(time, heads)]
    query, key, value, decay, state = tensors
    decay, state = decay if "decay" in given else None, state if "state" in given else None
    segment = borders(2, time) if "segment" in given else None
    if decay is None:
        value = value.repeat_interleave(4 // value.shape[1], 1)  # without decays it is the values that make four heads
    used = [x for x in (query, key, value, decay, state) if x is not None]
    expected = by_definition(query, key, value, decay, state, segment)
    incoming = [random(*x.shape, seed=7) for x in expected]
    right = torch.autograd.grad(expected, used, incoming)
    for version in filter(lambda name: able(name, time), ["auto", *VERSIONS]):
        found = linear_attention(query, key, value, decay, state, segment, version)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-11)
        for one, other in zip(torch.autograd.grad(found, used, incoming), right, strict=True):
            torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_the_definition_by_hand():
    query, key, value = torch.tensor([[[[1.0], [10.0], [1.0]]]]), torch.ones(1, 1, 3, 1), torch.ones(1, 1, 3, 1)
    decay, state = torch.full((1, 1, 3), 0.5).log(), torch.full((1, 1, 1, 1), 8.0)
    for version in ("reference", "parallel", "chunked"):
        out, after = linear_attention(query, key, value, decay, state, version=version)
        assert out.flatten().tolist() == pytest.approx([5, 35, 2.75])  # 8 / 2 + 1, 10 · (5 / 2 + 1), 3.5 / 2 + 1
        assert after.item() == pytest.approx(2.75)
        out, _ = linear_attention(query, key, value, decay, state, torch.tensor([[0, 1, 1]]), version)
        assert out.flatten().tolist() == pytest.approx([5, 10, 1.5])


@pytest.mark.parametrize("segmented", [False, True])
def test_the_gradient_of_the_definition(segmented):
    tensors = [x.requires_grad_() for x in inputs(4, batch=1)]
    segment = torch.tensor([[0, 0, 1, 1]]) if segmented else torch.zeros(1, 4, dtype=torch.long)
    assert torch.autograd.gradcheck(lambda *x: definition.linear_attention(*x, segment), tensors)


@pytest.mark.parametrize("version", ["parallel", "chunked"])
@pytest.mark.parametrize("fall", [-5.0, -40.0, -1000.0, float("-inf")])
def test_steep_decays_are_exact_and_finite(version, fall):
    """Nothing overflows where a head forgets fast, or all at once.

    The sums of 200 logarithms reach -150,000, whose last digit in fp64 is worth 3e-11.
    """
    query, key, value, decay, state = inputs(200)
    decay[:, 0, 3::7] = fall
    decay[:, 1] = fall
    given = [x.requires_grad_() for x in (query, key, value, state)]
    expected = by_definition(query, key, value, decay, state, None)
    found = linear_attention(query, key, value, decay, state, None, version)
    incoming = [random(*x.shape, seed=7) for x in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)
    right = torch.autograd.grad(expected, given, incoming)
    for one, other in zip(torch.autograd.grad(found, given, incoming), right, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_in_single_precision_it_stays_near():
    tensors = inputs(700, "groups of Mamba-2", d_key=16, d_value=8)
    exact = [x.requires_grad_() for x in tensors]
    single = [x.detach().float().requires_grad_() for x in tensors]
    incoming = random(2, 4, 700, 8, seed=7)
    out, single_out = linear_attention(*exact)[0], linear_attention(*single)[0]
    torch.testing.assert_close(single_out.double(), out, atol=1e-4, rtol=1e-4)
    right = torch.autograd.grad(out, exact, incoming)
    for one, other in zip(torch.autograd.grad(single_out, single, incoming.float()), right, strict=True):
        assert (one - other).abs().max() < 2e-5 * other.abs().max()


@torch.no_grad()
def test_in_parts_it_is_the_same():
    query, key, value, decay, state = inputs(200)
    segment = borders(2, 200)
    whole, last = linear_attention(query, key, value, decay, state.clone(), segment)
    parts, seen, carried = [], 0, state.clone()
    for length in [1, 1, 70, 2, 63, 62, 1]:
        here = slice(seen, seen + length)
        numbers = segment[:, here] - (segment[:, seen - 1 : seen] if seen else 0)
        cut = [x[:, :, here] for x in (query, key, value, decay)]
        y, carried = linear_attention(*cut, carried, numbers)
        parts.append(y)
        seen += length
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(carried, last, atol=1e-11, rtol=1e-11)


@torch.no_grad()
def test_huge_padding_is_harmless():
    query, key, value, decay, _ = inputs(140)
    segment = torch.where(torch.arange(140) < 70, 1, 2).expand(2, -1)
    expected = linear_attention(*(x[:, :, 70:] for x in (query, key, value, decay)))
    for x in (query, key, value, decay):
        x[:, :, :70] *= 1e6
    out, state = linear_attention(query, key, value, decay, segment=segment)
    torch.testing.assert_close(out[:, :, 70:], expected[0], atol=1e-11, rtol=0)
    torch.testing.assert_close(state, expected[1], atol=1e-11, rtol=0)


def test_the_state_is_exact_whatever_the_inputs():
    tensors = [x.bfloat16() for x in inputs(70)[:3]]
    for time in (1, 70):
        out, state = linear_attention(*(x[:, :, :time] for x in tensors))
        assert out.dtype == torch.bfloat16
        assert state.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        under = linear_attention(*(x.float() for x in tensors))
    torch.testing.assert_close(under, linear_attention(*(x.float() for x in tensors)), atol=0, rtol=0)


def test_inputs_and_a_state_a_chunk_are_kept_for_the_gradient():
    tensors = [x.requires_grad_() for x in inputs(640, "groups of Mamba-2", batch=1)]
    kept = {}

    def note(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        linear_attention(*tensors)[0].sum()
    *others, state = (x.untyped_storage().nbytes() for x in tensors)
    assert sum(kept.values()) == sum(others) + 640 // CHUNK * state


def test_the_step_works_in_place_where_no_gradient_is_recorded():
    query, key, value, decay, state = inputs(1)
    before = state.clone()
    with torch.no_grad():
        _, after = linear_attention(query, key, value, decay, state)
    assert after.data_ptr() == state.data_ptr()
    _, other = linear_attention(query, key, value, decay, before)
    torch.testing.assert_close(other, after)
    assert other.data_ptr() != before.data_ptr()


def test_a_version_that_cannot_is_refused():
    with pytest.raises(UserError, match="1 token, not 2"):
        linear_attention(*inputs(2)[:3], version="step")
    with pytest.raises(UserError, match="chunked"):
        linear_attention(*inputs(2)[:3], version="chunkd")


@pytest.mark.parametrize("given", ["decay", "decay segment", "segment", ""])
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("time", [*LENGTHS, 520])
def test_products_in_bf16_are_as_good_as_their_inputs(time, heads, given):
    """Outputs, states and all gradients, the decays' too: off by 1/128 of the largest at most, as if rounded twice.

    Memory that nobody wrote is never read.
    """
    query, key, value, decay, state = inputs(time, heads, d_key=16, d_value=8)
    query, key, value = (x.bfloat16() for x in (query, key, value))
    value = value if "decay" in given else value.repeat_interleave(4 // value.shape[1], 1)
    decay = decay if "decay" in given else None
    segment = borders(2, time) if "segment" in given else None
    incoming = [random(2, 4, time, 8, seed=7).bfloat16(), random(2, 4, 16, 8, seed=8)]

    def everything(call, *tensors):
        used = [x.detach().requires_grad_() for x in tensors if x is not None]
        found = call(*used[:3], used[3] if decay is not None else None, used[-1], segment)
        grads = torch.autograd.grad(found, used, [x.to(y.dtype) for x, y in zip(incoming, found, strict=True)])
        return [*found, *grads]

    exact = everything(by_definition, *(x if x is None else x.double() for x in (query, key, value, decay, state)))
    with poisoned():
        found = everything(linear_attention, query, key, value, decay, state.float())
    for one, other in zip(found, exact, strict=True):
        assert (one - other).abs().max() <= other.abs().max() / 128


def test_gradients_of_steep_decays_stay_near_in_bf16():
    """A head that forgets at once has a small gradient there, which large sums must not drown."""
    query, key, value, decay, _ = inputs(1000, "groups of Mamba-2", d_key=16, d_value=8)
    query, key, value = (x.bfloat16() for x in (query, key, value))
    decay[:, 1] -= 3
    leaf, exact = decay.float().requires_grad_(), decay.clone().requires_grad_()
    incoming = random(2, 4, 1000, 8, seed=7).bfloat16()
    linear_attention(query, key, value, leaf)[0].backward(incoming)
    linear_attention(*(x.double() for x in (query, key, value)), exact)[0].backward(incoming.double())
    apart = (leaf.grad - exact.grad)[:, 1].square().mean().sqrt()
    assert apart < 0.02 * exact.grad[:, 1].square().mean().sqrt()
