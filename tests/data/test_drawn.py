"""Rows drawn by a function: the same at each step of a run, shared by ranks, and what is no batch is refused."""

import numpy as np
import pytest
import torch

from firsthand import assemble, config
from firsthand.data.drawn import BATCHES, DrawnLoader
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.train.parallel import Ranks

TEXT = Tokens.of(np.arange(500, dtype=np.uint16), np.array([0, 300]), 512, None)


def loader(draw=BATCHES["drawn"], **fields):
    return DrawnLoader(draw, TEXT, **{"context_length": 8, "batch_tokens": 64, "seed": 3, **fields})


def test_a_step_has_the_same_rows_whenever_it_is_asked_for():
    one, other = loader(), loader()
    for step in (0, 7, 2):
        (a,), (b,) = one.batch(step), other.batch(step)
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, a.inputs + 1), "the text counts up"
        assert a.inputs.shape == (8, 8)
        assert a.source is None
    assert not torch.equal(one.batch(0)[0].inputs, one.batch(1)[0].inputs)
    assert not torch.equal(one.batch(0)[0].inputs, loader(seed=4).batch(0)[0].inputs)
    assert one.rows_per_epoch == 63, "499 targets in rows of 8"


@pytest.mark.parametrize(("microbatches", "world"), [(4, 1), (4, 2), (8, 4)])
def test_ranks_and_microbatches_share_the_same_rows(microbatches, world):
    whole = loader().batch(5)[0].inputs
    parts = [loader(microbatches=microbatches, rank=rank, world=world).batch(5) for rank in range(world)]
    assert all(len(own) == microbatches // world for own in parts)
    assert torch.equal(torch.cat([batch.inputs for own in parts for batch in own]), whole)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda ids, rows, length, generator: ids[:64].view(8, 8), r"int64 \(8, 8\)\."),
        (lambda ids, rows, length, generator: (ids[:8], ids[1:9]), r"int64 \(8,\) and int64 \(8,\)"),
        (lambda ids, rows, length, generator: (ids[:64].view(8, 8).float(),) * 2, "float32"),
        (lambda ids, rows, length, generator: ([1], None), "a list and a NoneType"),
    ],
)
def test_what_is_no_batch_is_refused_by_its_shape(draw, words):
    with pytest.raises(UserError, match=rf"^data\.batches=mine\.py:draw gave {words}"):
        loader(draw, name="mine.py:draw").batch(0)


def made(*settings, data=TEXT):
    tree = config.load(None, ["data.batch_tokens=64", "model.context_length=8", "model.n_layers=1", *settings])
    return assemble.make_loader(tree, data, 8, Ranks(), torch.device("cpu"))


def test_a_recipe_says_how_rows_are_chosen(tmp_path):
    assert isinstance(made("data.batches=drawn"), DrawnLoader)
    assert not isinstance(made(), DrawnLoader)
    part = tmp_path / "mine.py"
    part.write_text(
        "def first(ids, rows, length, generator):\n"
        "    x = ids[: rows * length].view(rows, length)\n"
        "    return x, x + 1\n"
    )
    mine = made(f"data.batches={part}:first")
    assert torch.equal(mine.batch(3)[0].inputs.flatten(), torch.arange(64))
    with pytest.raises(UserError, match=r"data\.batches.*'draw'.*Did you mean 'drawn'\? Valid here: drawn, epochs"):
        made("data.batches=draw")
    with pytest.raises(UserError, match="Did you mean"):
        assemble.check(config.load(None, ["data.batches=draw"]))  # before there is any data
    with pytest.raises(UserError, match=r"data\.stride is for rows in order"):
        made("data.batches=drawn", "data.stride=4")
    with pytest.raises(UserError, match="rows of its own"):
        made("data.batches=drawn", "data.kind=conversations")
