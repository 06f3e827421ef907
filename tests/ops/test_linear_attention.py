"""Linear attention: every version against its definition, in outputs, states and gradients."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.ops.linear_attention import VERSIONS, linear_attention
from firsthand.ops.linear_attention import reference as definition

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
