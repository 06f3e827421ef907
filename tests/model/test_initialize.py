"""What is special to each way to begin: deviations by formula, and muP's promise that width changes no step."""

import pytest
import torch

from firsthand.model.initialize import writes
from firsthand.model.make import build_model
from firsthand.train.objectives.next_token import NextToken
from firsthand.train.optimizers import OPTIMIZERS
from firsthand.types import Batch, Place

ROWS = torch.randint(64, (4, 33), generator=torch.Generator().manual_seed(1))
BATCH = Batch(ROWS[:, :-1].contiguous(), ROWS[:, 1:].contiguous(), Place.of(ROWS[:, :-1]))


def make(d_model, initialize, tied=False):
    torch.manual_seed(0)
    fields = {"n_layers": 2, "d_head": 16, "context_length": 32, "softcap": 0, "tied": tied, "initialize": initialize}
    return build_model({"preset": "modern", "d_model": d_model, **fields}, 64)


def test_what_writes_into_the_stream():
    writing = {"blocks.0.mixer.out", "blocks.3.ffn.down", "blocks.0.ffn.shared.down"}
    other = {"blocks.0.mixer.down", "blocks.0.ffn.out", "out", "embedding", "blocks.0.mixer.query"}
    assert {name for name in writing | other if writes(name)} == writing


def test_scaled_follows_width_and_depth():
    model = build_model({"n_layers": 8, "d_model": 128, "n_heads": 2, "initialize": "scaled"}, 500)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            residual = name.endswith(("out.weight", "down.weight"))
            expected = 2 / (8 * 128**0.5) if residual else (2 / (5 * 128)) ** 0.5
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name


def test_at_its_base_width_mup_is_modern():
    narrow, modern = make(64, {"part": "mup", "base_width": 64}), make(64, "modern")
    assert torch.equal(narrow(BATCH.inputs), modern(BATCH.inputs))
    assert (narrow.width_ratio, narrow.logits_scale) == (1.0, 1.0)


def test_mup_by_its_table():
    wide = make(256, {"part": "mup", "base_width": 64})
    assert (wide.width_ratio, wide.logits_scale) == (4.0, 0.25)
    hidden = wide.blocks[0].ffn
    assert hidden.up.weight.std().item() == pytest.approx(256**-0.5, rel=0.05)
    assert wide.embedding.weight.std().item() == pytest.approx(1.0, rel=0.05)
    x = torch.randn(3, 256)
    torch.testing.assert_close(wide.head(x), 0.25 * wide.norm(x) @ wide.head_weight.t())


def test_heads_that_grow_divide_by_their_size():
    torch.manual_seed(0)
    fields = {"n_layers": 1, "d_model": 128, "n_heads": 2, "initialize": {"part": "mup", "base_head": 16}}
    assert build_model(fields, 64).blocks[0].mixer.lookup.scale == 16**0.5 / 64
    assert make(64, {"part": "mup", "base_width": 64}).blocks[0].mixer.lookup.scale is None


def moved(model, optimizer, lr, steps=3):
    """How far the trunk's output and the logits go in so many steps: root mean squares over all coordinates."""
    made = OPTIMIZERS[optimizer](list(model.named_parameters()), lr=lr, width_ratio=model.width_ratio)

    @torch.no_grad()
    def look():
        x, _, _ = model.trunk(model.embed(BATCH.inputs, BATCH.place), BATCH.place)
        return x, model.head(x)

    before = look()
    for _ in range(steps):
        loss = NextToken()(model, BATCH)
        (loss.value / loss.count).backward()
        made.step()
        made.zero_grad()
    return [(b - a).square().mean().sqrt().item() for a, b in zip(before, look(), strict=True)]


@pytest.mark.parametrize(
    ("optimizer", "lr", "tied"),
    [("adamw", 3e-3, False), ("adamw", 3e-3, True), ("lion", 1e-3, True), ("sgd", 0.1, False), ("muon", 0.02, False)],
)
def test_the_coordinate_check(optimizer, lr, tied):
    """A step moves a model four times as wide by as much as the narrow one; by the usual rules it moves it further.

    Yang et al. 2022, arXiv 2203.03466, appendix D.1.
    """
    rules = {"part": "mup", "base_width": 64}
    growth = {}
    for name, initialize in {"mup": rules, "modern": "modern"}.items():
        narrow, wide = (moved(make(d_model, initialize, tied), optimizer, lr) for d_model in (64, 256))
        growth[name] = [after / before for before, after in zip(narrow, wide, strict=True)]
    assert all(0.7 < ratio < 1.3 for ratio in growth["mup"]), growth
    assert max(growth["modern"]) > 2, growth
