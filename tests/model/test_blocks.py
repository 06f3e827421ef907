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
PLACE = Place(torch.arange(5).unsqueeze(0), None, torch.arange(10).view(2, 5))


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
    torch.manual_seed(0)
    block = build("block", BLOCKS, name, **parts, d_model=4)
    if name in ("canon", "ngrams"):
        nn.init.constant_(block.taps, 0.1 / block.scale)
    for order, table in enumerate(getattr(block, "tables", []), 2):
        nn.init.constant_(table, 0.1 * order / block.gain)
    y, state, extra_loss = block(x, PLACE)
    assert (state, extra_loss) == (None if name in ("canon", "ngrams") else "state", 0.5)
    return y


def formulas(parts, x):
    m, f, n1, n2, a1, a2 = (
        parts["mixer"].map, parts["ffn"].map, parts["mixer_norm"], parts["ffn_norm"], parts["mixer_after_norm"],
        parts["ffn_after_norm"],
    )  # fmt: skip
    pre = x + 0.3 * m(n1(x))
    post = n1(x + 0.3 * m(x))
    sandwich = x + 0.3 * a1(m(n1(x)))
    shown = x + 0.1 * (2 + 3 + 4)  # a row of each table, whichever it is
    looked = shown + 0.3 * m(n1(shown))

    def near(y):  # this token and three before it
        return nn.functional.pad(n2(y), (0, 0, 3, 0)).unfold(1, 4, 1).sum(-1)

    return {
        "pre": pre + 0.3 * f(n2(pre)),
        "post": n2(post + 0.3 * f(post)),
        "sandwich": sandwich + 0.3 * a2(f(n2(sandwich))),
        "parallel": x + 0.3 * (m(n1(x)) + f(n1(x))),
        "canon": pre + 0.3 * f(n2(pre) + 0.1 * near(pre)),
        "ngrams": looked + 0.3 * f(n2(looked) + 0.1 * near(looked)),
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


def awake(block="canon", **arguments):
    """A model of such blocks, whose taps and tables have learned something."""
    torch.manual_seed(1)
    model = build_model({**SMALL, "initialize": "gpt2", "block": {"part": block, **arguments}}, 10)
    for layer in model.blocks:
        for learned in (layer.taps, *getattr(layer, "tables", [])):
            nn.init.normal_(learned, std=0.2)
    return model.eval()


REMEMBERING = [
    *({"block": "canon", "width": width} for width in (1, 2, 5)),
    {"block": "ngrams", "orders": [2], "rows": 7},
    {"block": "ngrams", "orders": [5, 3], "rows": 50, "layers": [0, 2]},
]


@pytest.mark.parametrize("block", REMEMBERING, ids=str)
@torch.no_grad()
def test_a_layer_remembers_what_it_saw(block):
    """Documents side by side, cut anywhere, give what each gives alone."""
    model, ids = awake(**block), torch.randint(10, (2, 14), generator=torch.Generator().manual_seed(2))
    document = torch.tensor([[0] * 5 + [1] * 9, [-1] * 3 + [0] * 11])
    index = torch.cat((torch.arange(5), torch.arange(9))).expand(2, -1).clone()
    index[1] = (torch.arange(14) - 3).clamp(min=0)
    whole = model(ids, Place(index, document, ids))
    alone = [model(ids[:1, :5]), model(ids[:1, 5:]), model(ids[1:, 3:])]
    for found, right in zip((whole[:1, :5], whole[:1, 5:], whole[1:, 3:]), alone, strict=True):
        torch.testing.assert_close(found, right, atol=1e-5, rtol=0)
    states, logits = model.initial_states(2, 14), []
    for cut in (slice(0, 4), slice(4, 5), slice(5, 7), slice(7, 14)):
        place = Place(index[:, cut], document[:, cut], ids[:, cut])
        x, states, _ = model.trunk(model.embed(ids[:, cut], place), place, states)
        logits.append(model.head(x))
    torch.testing.assert_close(torch.cat(logits, 1)[1:, 3:], whole[1:, 3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cat(logits, 1)[:1], whole[:1], atol=1e-5, rtol=0)


def test_canon_counts_its_window_and_its_taps():
    plain, canon = build_model(SMALL, 10).blocks[0], awake().blocks[0]
    assert canon.state_size(16) == plain.state_size(16) + 3 * 32
    assert canon.mixing_flops(16) == plain.mixing_flops(16) + 2 * 4 * 32
    assert canon.taps.numel() == 4 * 32


def test_canon_and_ngrams_begin_as_the_plain_layer():
    ids = torch.arange(9).unsqueeze(0)
    models = []
    for block in ("pre", "canon", "ngrams"):
        torch.manual_seed(3)
        models.append(build_model({**SMALL, "initialize": "gpt2", "block": block}, 10).eval())
    torch.testing.assert_close(models[0](ids), models[1](ids))
    torch.testing.assert_close(models[0](ids), models[2](ids))


def test_canon_computes_its_convolution_in_the_precision_of_its_input():
    model = awake()
    x = torch.randn(1, 8, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y, _, _ = model.blocks[0](x, Place(torch.arange(8).unsqueeze(0)))
    y.sum().backward()
    assert model.blocks[0].taps.grad.dtype == torch.float32
    assert model.blocks[0].taps.grad.isfinite().all()


def test_canon_without_an_ffn_is_the_plain_layer():
    model = build_model({**SMALL, "block": "canon", "ffn": ["mlp", "none"]}, 10)
    assert [hasattr(block, "taps") for block in model.blocks] == [True, False, True]


def test_ngrams_tell_tokens_by_those_before_them_within_the_document():
    """A row of a table for each order, the same for the same tokens and nearly always another for others."""
    block = awake("ngrams", orders=[3], rows=1 << 15, gain=1.0).blocks[0]
    ids = torch.tensor([[1, 2, 3, 1, 2, 3, 2, 3, 9, 2, 3]])
    place = Place(torch.arange(11).unsqueeze(0), torch.tensor([[0] * 9 + [1] * 2]), ids)
    found = block.look_up(place, None)[0][0]
    assert torch.equal(found[2], found[5])
    assert not torch.equal(found[2], found[7])  # 3 2 3
    alone = block.look_up(Place.of(torch.tensor([[2, 3]])), None)[0][0]
    assert torch.equal(found[9:], alone)


def test_ngrams_hash_evenly():
    block = awake("ngrams", orders=[2], rows=64, gain=1.0).blocks[0]
    with torch.no_grad():
        block.tables[0].copy_(torch.arange(64.0)[:, None].expand(-1, 32))
    pairs = torch.cartesian_prod(torch.arange(65), torch.arange(65))
    rows = block.look_up(Place.of(pairs), None)[0][:, 1, 0].long().bincount(minlength=64)
    assert rows.min() > 33  # 66 on the average
    assert rows.max() < 132


def test_ngrams_need_tokens_and_orders():
    with pytest.raises(UserError, match="looks tokens up, but this Place does not say which"):
        awake("ngrams").blocks[0](torch.zeros(1, 2, 32), Place(torch.arange(2).unsqueeze(0)))
    with pytest.raises(UserError, match="at least two tokens"):
        awake("ngrams", orders=[1, 2])


def test_ngrams_count_their_tokens():
    model, canon = awake("ngrams", orders=[2, 4], rows=8), awake().blocks[0]
    assert [block.state_size(16) - canon.state_size(16) for block in model.blocks] == [3, 0, 0]
    assert [len(block.tables) for block in model.blocks] == [2, 0, 0]
