"""What is special to the linear attention mixer: feature maps, the normaliser, and what turns above the line only."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.mixers.feature_maps import FEATURE_MAPS, elu, taylor
from firsthand.model.mixers.linear_attention import LinearAttention
from firsthand.model.positions import Rope
from firsthand.types import Place


def inputs(batch=2, time=9, d_model=12):
    return torch.randn(batch, time, d_model, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


def make(**arguments):
    torch.manual_seed(0)
    return LinearAttention(12, 2, **arguments).double()


def by_hand(mixer, x, feature, turn):
    """One head and one token at a time: eq. 19 of RoFormer."""
    time, size, group = x.shape[1], mixer.d_head, mixer.n_heads // mixer.n_kv_heads
    query, key, value = (linear(x).unflatten(2, (-1, size)) for linear in (mixer.query, mixer.key, mixer.value))
    out = torch.zeros(*x.shape[:2], mixer.n_heads, size, dtype=x.dtype)
    for row in range(len(x)):
        for head in range(mixer.n_heads):
            for i in range(time):
                above, below = torch.zeros(size, dtype=x.dtype), 0.0
                for j in range(i + 1):
                    q, k = feature(query[row, i, head]), feature(key[row, j, head // group])
                    above = above + (turn(q, i) @ turn(k, j)) * value[row, j, head // group]
                    below = below + q @ k
                out[row, i, head] = above / (below + mixer.eps)
    return mixer.out(out.flatten(2))


@pytest.mark.parametrize("n_kv_heads", [1, 2])
@pytest.mark.parametrize("name", ["elu", "relu", "softmax"])
def test_by_hand_with_rotation_above_the_line(name, n_kv_heads):
    mixer = make(feature_map=name, n_kv_heads=n_kv_heads, position=Rope(6))

    def turn(x, i):
        return mixer.position.rotate(x.view(1, 1, 1, 6), torch.tensor([[i]])).flatten()

    expected = by_hand(mixer, inputs(), FEATURE_MAPS[name], turn)
    torch.testing.assert_close(mixer(inputs(), place(9))[0], expected, atol=1e-10, rtol=0)


def test_elu_is_torchs():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(elu(x), torch.nn.functional.elu(x) + 1)
    ours, theirs = (torch.autograd.grad(f(x).sum(), x)[0] for f in (elu, torch.nn.functional.elu))
    torch.testing.assert_close(ours, theirs)


def test_taylor_is_the_beginning_of_exp():
    query, key = inputs(1, 5, 8)[0], inputs(1, 6, 8)[0] * 0.3
    scores = query @ key.t() / 8**0.5
    torch.testing.assert_close(taylor(query) @ taylor(key).t(), 1 + scores + scores**2 / 2)


def test_taylor_is_near_softmax_attention_where_scores_are_small():
    from firsthand.model.mixers.attention import CausalSelfAttention

    mixer = make(feature_map="taylor", position=Rope(6))
    other = CausalSelfAttention(12, 2, position=Rope(6)).double()
    other.load_state_dict(mixer.state_dict())
    with torch.no_grad():
        for part in (mixer, other):
            part.query.weight.mul_(0.1)
    difference = (mixer(inputs(), place(9))[0] - other(inputs(), place(9))[0]).abs().max()
    assert 1e-9 < difference < 1e-4
    assert mixer.state_size(7) == 2 * (1 + 6 + 36) * 7


def test_without_a_normaliser_it_is_the_sum():
    mixer = make(feature_map="identity")
    query, key, value = (linear(inputs()).unflatten(2, (2, 6)) for linear in (mixer.query, mixer.key, mixer.value))
    scores = torch.einsum("bihd,bjhd->bhij", query, key).tril()
    expected = mixer.out(torch.einsum("bhij,bjhd->bihd", scores, value).flatten(2))
    torch.testing.assert_close(mixer(inputs(), place(9))[0], expected, atol=1e-10, rtol=0)
    assert mixer.initial_state(1, 5).total is None
    assert mixer.state_size(5) == 2 * 6 * 6


@pytest.mark.parametrize(
    "arguments", [{"feature_map": "cosine"}, {"feature_map": "identity", "normalize": True}], ids=str
)
def test_what_cannot_be_is_said(arguments):
    with pytest.raises(UserError, match="linear_attention"):
        make(**arguments)


@pytest.mark.parametrize("name", FEATURE_MAPS)
@torch.no_grad()
def test_every_map_decodes(name):
    mixer, x = make(feature_map=name, position=Rope(6)), inputs()
    whole, state = mixer(x, place(9))[0], mixer.initial_state(2, 9)
    for t in range(9):
        y, state = mixer(x[:, t : t + 1], place(1, t), state)
        torch.testing.assert_close(y, whole[:, t : t + 1], atol=1e-9, rtol=0)
