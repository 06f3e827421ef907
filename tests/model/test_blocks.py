"""What is special to each arrangement of a layer and to each residual."""

import pytest
import torch
from torch import nn

from firsthand.errors import UserError
from firsthand.model.blocks import BLOCKS
from firsthand.model.make import build_model
from firsthand.model.residuals import Scaled, Shortcut
from firsthand.parts import build
from firsthand.types import Place

SMALL = {"n_layers": 3, "d_model": 32, "n_heads": 2, "context_length": 16}
PLACE = Place(torch.arange(5).unsqueeze(0))


class Part(nn.Module):
    """A mixer or FFN: a linear map, and something beside it."""

    def __init__(self, beside):
        super().__init__()
        self.map, self.beside = nn.Linear(4, 4), beside

    def forward(self, x, *rest):
        return self.map(x), self.beside


@pytest.fixture
def parts():
    torch.manual_seed(0)
    norms = {
        name: nn.Linear(4, 4) for name in ("mixer_norm", "ffn_norm", "mixer_after_norm", "ffn_after_norm")
    }  # any map will do, if they differ
    return {"mixer": Part("state"), "ffn": Part(torch.tensor(0.5)), **norms, "residual": Scaled(0.3)}


def of_block(name, parts, x):
    """The layer's output, and the same by the formula in its docstring."""
    y, state, extra_loss = build("block", BLOCKS, name, **parts)(x, PLACE)
    assert (state, extra_loss) == ("state", 0.5)
    return y


def formulas(parts, x):
    m, f, n1, n2, a1, a2 = (
        parts["mixer"].map, parts["ffn"].map, parts["mixer_norm"], parts["ffn_norm"], parts["mixer_after_norm"],
        parts["ffn_after_norm"],
    )  # fmt: skip
    pre = x + 0.3 * m(n1(x))
    post = n1(x + 0.3 * m(x))
    sandwich = x + 0.3 * a1(m(n1(x)))
    return {
        "pre": pre + 0.3 * f(n2(pre)),
        "post": n2(post + 0.3 * f(post)),
        "sandwich": sandwich + 0.3 * a2(f(n2(sandwich))),
        "parallel": x + 0.3 * (m(n1(x)) + f(n1(x))),
    }


@pytest.mark.parametrize("name", BLOCKS)
def test_each_arrangement_by_its_formula(name, parts):
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(of_block(name, parts, x), formulas(parts, x)[name])


def test_every_arrangement_has_a_formula_here(parts):
    assert formulas(parts, torch.zeros(1, 5, 4)).keys() == BLOCKS.keys()


def test_a_layer_without_ffn_has_no_second_norm_and_costs_nothing():
    model = build_model({**SMALL, "ffn": ["mlp", "none"]}, 10)
    halves = [{name.partition(".")[0] for name, _ in block.named_parameters()} for block in model.blocks]
    assert halves == [{"mixer_norm", "mixer", "ffn_norm", "ffn"}, {"mixer_norm", "mixer"}, *halves[:1]]
    assert model(torch.zeros(1, 5, dtype=torch.long)).isfinite().all()


def test_a_scale_may_be_constant_and_follow_the_depth():
    x, y = torch.ones(1, 1, 2), torch.full((1, 1, 2), 10.0)
    fixed = Scaled(initial=0.22, learned=False)
    assert not list(fixed.parameters())
    torch.testing.assert_close(fixed.join(x, y), x + 2.2)
    deep = Scaled(initial=1.4, learned=False, by_depth=True, n_layers=49)
    torch.testing.assert_close(deep.join(x, y), x + 2.0)
    learned = Scaled(by_depth=True, n_layers=4)
    torch.testing.assert_close(learned.join(x, y), x + 5)
    assert learned.scale.shape == (1,)


def test_rezero_begins_as_the_identity():
    model = build_model({**SMALL, "residual": {"part": "scaled", "initial": 0.0}, "initialize": "gpt2"}, 50)
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    y, _, _ = model.trunk(x, PLACE)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert all(block.residual.scale.grad.abs() > 0 for block in model.blocks)


def test_the_shortcut_brings_the_embedding_to_every_layer():
    x, first = torch.full((1, 1, 2), 3.0), torch.full((1, 1, 2), 100.0)
    torch.testing.assert_close(Shortcut(kept=0.5, added=0.1).enter(x, first), x * 0 + 11.5)
    model = build_model({**SMALL, "residual": {"part": "shortcut", "kept": 0.0, "added": 1.0}}, 50)
    seen = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    model.trunk(x, PLACE)
    assert all(torch.equal(entered, x) for entered in seen)
    assert len(seen) == 3


def test_a_residual_that_a_layer_would_ignore_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from firsthand.model.block import Block\n"
        "def Mine(mixer, ffn, mixer_norm, ffn_norm): return Block(mixer, ffn, mixer_norm, ffn_norm)"
    )
    fields = {**SMALL, "block": f"{tmp_path}/mine.py:Mine"}
    assert build_model({**fields, "residual": "shortcut"}, 50).residuals[0].kept.item() == 1.0
    with pytest.raises(UserError, match=r"model.residual = 'scaled'.*have no argument `residual`"):
        build_model({**fields, "residual": "scaled"}, 50)


def test_unknown_names_and_settings():
    with pytest.raises(UserError, match=r"model.block: there is no part called 'prenorm'. Did you mean"):
        build_model({**SMALL, "block": "prenorm"}, 50)
    with pytest.raises(UserError, match=r"model.residual: plain has no argument 'scale'"):
        build_model({**SMALL, "residual": {"part": "plain", "scale": 2.0}}, 50)
