"""Positions, FFNs, norms and the block, each against its own definition."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model.block import Block
from firsthand.model.ffns.activations import ACTIVATIONS, gelu
from firsthand.model.ffns.gated import Gated
from firsthand.model.ffns.mlp import MLP
from firsthand.model.norms import LayerNorm, RMSNorm
from firsthand.model.positions.learned import LearnedPosition
from firsthand.model.positions.rope import Rope, frequencies
from firsthand.model.positions.sinusoidal import SinusoidalPosition, sinusoidal
from firsthand.types import Place


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_learned_positions_add_a_row():
    position = LearnedPosition(context_length=10, d_model=6)
    x = random(2, 3, 6)
    index = torch.tensor([[0, 1, 2], [7, 7, 9]])
    expected = torch.stack([torch.stack([x[b, t] + position.table[index[b, t]] for t in range(3)]) for b in range(2)])
    torch.testing.assert_close(position.embed(x, index), expected)


@pytest.mark.parametrize("d_model", [2, 6, 7])
def test_the_waves(d_model):
    table = sinusoidal(5, d_model)
    for place in range(5):
        for column in range(d_model):
            angle = place / 10000 ** ((column - column % 2) / d_model)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert table[place, column].item() == pytest.approx(expected, abs=1e-6)


def test_sinusoidal_positions_need_two_columns():
    with pytest.raises(UserError, match="at least 2 columns"):
        SinusoidalPosition(5, 1)


def test_frequencies():
    torch.testing.assert_close(frequencies(6, 100.0), torch.tensor([1, 100 ** (-1 / 3), 100 ** (-2 / 3)]).double())


@pytest.mark.parametrize("layout", ["interleaved", "half"])
def test_after_rope_only_the_distance_counts(layout):
    rope = Rope(8, theta=100.0, context_length=64, layout=layout)
    query, key = random(1, 1, 1, 8), random(1, 1, 1, 8, seed=2)

    def score(i, j):
        return (rope.rotate(query, torch.tensor([[i]])) * rope.rotate(key, torch.tensor([[j]]))).sum().item()

    for distance in (0, 1, 5):
        assert score(10 + distance, 10) == pytest.approx(score(50 + distance, 50), abs=1e-5)
    assert score(3, 3) == pytest.approx((query * key).sum().item(), abs=1e-5)
    assert abs(score(4, 3) - score(3, 4)) > 1e-3


def test_rope_is_the_complex_product_of_the_paper():
    heads, place = random(1, 1, 1, 6), 5
    turned = Rope(6, theta=50.0).rotate(heads, torch.tensor([[place]])).flatten().tolist()
    for i in range(3):
        a, b = heads.flatten()[2 * i : 2 * i + 2].tolist()
        z = complex(a, b) * complex(math.cos(place * 50 ** (-i / 3)), math.sin(place * 50 ** (-i / 3)))
        assert turned[2 * i : 2 * i + 2] == pytest.approx([z.real, z.imag], abs=1e-6)


def test_rope_keeps_its_angles_exact_far_out():
    rope = Rope(4, context_length=100_001)
    turned = rope.rotate(torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]), torch.tensor([[100_000]])).flatten()
    assert turned[:2].tolist() == pytest.approx([math.cos(100_000), math.sin(100_000)], abs=1e-6)


def test_rope_refuses_what_it_cannot_do():
    with pytest.raises(UserError, match=r"d_head must be even, not 7\. Change model.n_heads"):
        Rope(7)
    with pytest.raises(UserError, match=r"no layout 'halves'. Did you mean 'half'"):
        Rope(8, layout="halves")


EXPECTED = {
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: max(x, 0),
    "relu2": lambda x: max(x, 0) ** 2,
    "silu": lambda x: x / (1 + math.exp(-x)),
}


def test_activations():
    assert set(EXPECTED) == set(ACTIVATIONS)
    x = torch.linspace(-4, 4, 41)
    for name, activation in ACTIVATIONS.items():
        assert activation(x).tolist() == pytest.approx([EXPECTED[name](v) for v in x.tolist()], abs=1e-6), name
    assert torch.equal(gelu(x, tanh=True), ACTIVATIONS["gelu_tanh"](x))


@pytest.mark.parametrize("part", [MLP, Gated])
def test_unknown_activations(part):
    with pytest.raises(UserError, match=r"no activation called 'gelo'. Did you mean 'gelu'"):
        part(4, 8, activation="gelo")


@pytest.mark.parametrize("bias", [False, True])
def test_mlp(bias):
    mlp, x = MLP(4, 10, activation="relu", bias=bias), random(2, 3, 4)
    expected = F.linear(F.relu(F.linear(x, mlp.up.weight, mlp.up.bias)), mlp.down.weight, mlp.down.bias)
    assert torch.equal(mlp(x)[0], expected)
    assert mlp(x)[1] == 0
    assert set(dict(mlp.named_children())) == {"up", "down", "dropout"}
    assert mlp.up.weight.shape == (10, 4)
    assert (mlp.up.bias is not None) == bias


def test_gated():
    gated, x = Gated(4, 10), random(2, 3, 4)
    expected = (F.silu(x @ gated.gate.weight.T) * (x @ gated.up.weight.T)) @ gated.down.weight.T
    torch.testing.assert_close(gated(x)[0], expected)
    assert set(dict(gated.named_children())) == {"up", "gate", "down", "dropout"}


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_norms_equal_those_of_torch(eps):
    x = random(2, 3, 8) * 4 + 1
    pairs = [
        (LayerNorm(8, eps), nn.LayerNorm(8, eps)),
        (LayerNorm(8, eps, bias=False), nn.LayerNorm(8, eps, bias=False)),
    ]
    pairs.append((RMSNorm(8, eps), nn.RMSNorm(8, eps)))
    for ours, theirs in pairs:
        with torch.no_grad():
            theirs.weight.copy_(ours.gain.copy_(random(8, seed=3)))
            if getattr(theirs, "bias", None) is not None:
                theirs.bias.copy_(ours.bias.copy_(random(8, seed=4)))
        torch.testing.assert_close(ours(x), theirs(x))


class Recorder(nn.Module):
    """A part that notes its input and answers with a constant."""

    def __init__(self, answer, more):
        super().__init__()
        self.answer, self.more, self.seen = answer, more, []

    def forward(self, x, *rest):
        self.seen.append((x, *rest))
        return torch.full_like(x, self.answer), self.more


def test_the_block_is_pre_norm_with_two_residuals():
    mixer, ffn = Recorder(10.0, "next state"), Recorder(100.0, torch.tensor(0.5))
    mixer_norm, ffn_norm = nn.Linear(4, 4), nn.Linear(4, 4)
    block, x, place = Block(mixer, ffn, mixer_norm, ffn_norm), random(1, 2, 4), Place(torch.arange(2).unsqueeze(0))
    y, state, extra_loss = block(x, place, "state")
    torch.testing.assert_close(y, x + 110)
    assert (state, extra_loss) == ("next state", 0.5)
    assert torch.equal(mixer.seen[0][0], mixer_norm(x))
    assert mixer.seen[0][1:] == (place, "state")
    torch.testing.assert_close(ffn.seen[0][0], ffn_norm(x + 10))
