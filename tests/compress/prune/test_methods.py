"""Magnitude, Wanda and SparseGPT on whole models: shares, order of what they cost, other mixers, what is refused."""

import copy

import pytest
import torch

from firsthand.compress import METHODS
from firsthand.compress.prune.magnitude import Magnitude
from firsthand.compress.prune.wanda import Wanda, wanda_score
from firsthand.compress.subject import Subject
from firsthand.errors import UserError
from firsthand.model.quantized import QuantizedLinear, put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine

from .small import given_for, inputs_of, maps, sparsities, subject_of

PRUNERS = ("magnitude", "wanda", "sparsegpt")


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("mixer", ["attention", "mamba", "mamba2", "linear_attention", "delta", "latent_attention"])
def test_half_of_every_map_goes_whatever_the_mixer(name, mixer):
    subject = subject_of(mixer=mixer)
    METHODS[name](sparsity=0.5)(subject, given_for(subject))
    for part, share in sparsities(subject.model).items():
        assert share == pytest.approx(0.5, abs=0.02), part
    assert "are zero: fewer bytes, the same time" in subject.notes[0]


@pytest.mark.parametrize("name", PRUNERS)
def test_two_of_every_four_stay(name):
    subject = subject_of()
    METHODS[name](pattern="2:4")(subject, given_for(subject))
    for part in maps(subject.model).values():
        assert ((part.weight != 0).unflatten(1, (-1, 4)).sum(-1) == 2).all()


@pytest.mark.parametrize("name", PRUNERS)
def test_tables_gains_and_the_original_stay_as_they_were(name):
    subject = subject_of()
    before = copy.deepcopy(subject.model)
    pruned = Subject.of(subject.model, subject.fields)
    METHODS[name]()(pruned, given_for(subject))
    for (key, was), now, original in zip(
        before.named_parameters(), pruned.model.parameters(), subject.model.parameters(), strict=True
    ):
        assert torch.equal(was, original), key
        assert torch.equal(was, now) == (key.removesuffix(".weight") not in maps(before)), key


def test_wanda_on_the_first_layer_follows_its_definition():
    """|W| · ‖X‖₂, smallest of each row first, for maps that read what the model began with."""
    subject = subject_of()
    given = given_for(subject)
    inputs, before = inputs_of(subject.model, given.windows), copy.deepcopy(subject.model)
    Wanda(sparsity=0.25)(subject, given)
    for name in ("blocks.0.mixer.query", "blocks.0.mixer.value", "blocks.0.mixer.out", "blocks.0.ffn.down"):
        weight, after = before.get_submodule(name).weight, subject.model.get_submodule(name).weight
        norms = [sum(float(x) ** 2 for x in column) ** 0.5 for column in inputs[name].T]
        for row, now in zip(weight.tolist(), after.tolist(), strict=True):
            score = [abs(w) * norm for w, norm in zip(row, norms, strict=True)]
            gone = sorted(range(len(row)), key=score.__getitem__)[: len(row) // 4]
            assert [w == 0 for w in now] == [place in gone for place in range(len(row))]
            assert all(w == was for w, was in zip(now, row, strict=True) if w != 0)


def test_later_layers_see_what_earlier_ones_have_become():
    subject = subject_of()
    given, before = given_for(subject), copy.deepcopy(subject.model)
    Wanda()(subject, given)
    now = copy.deepcopy(before)
    now.blocks[0].load_state_dict(subject.model.blocks[0].state_dict())
    seen = inputs_of(now, given.windows)["blocks.1.mixer.query"]
    weight = before.blocks[1].mixer.query.weight
    score = wanda_score(weight, seen.square().sum(0))
    wanted = torch.ones_like(weight).scatter(1, score.argsort(1)[:, : weight.shape[1] // 2], 0.0)
    assert torch.equal(subject.model.blocks[1].mixer.query.weight != 0, wanted.bool())


def test_sparsegpt_changes_outputs_least_and_magnitude_most():
    """On inputs whose channels are of very different size, as those of trained models are, and depend on each other."""
    subject = subject_of(d_model=64, d_ff=96)
    with torch.no_grad():
        for block in subject.model.blocks:
            for norm in (block.mixer_norm, block.ffn_norm):
                norm.gain.copy_(torch.randn(64, generator=torch.Generator().manual_seed(2)).mul(1.5).exp())
    given = given_for(subject, rows=32)
    wanted, losses = subject.model(given.windows), {}
    for name in PRUNERS:
        pruned = Subject.of(subject.model, subject.fields)
        METHODS[name]()(pruned, given)
        losses[name] = (pruned.model(given.windows) - wanted).square().mean().item()
    assert losses["sparsegpt"] < losses["wanda"] < losses["magnitude"]


def test_stacks_of_experts_are_pruned_by_size_and_left_by_those_who_need_inputs():
    ffn = {"part": "experts", "n_experts": 4, "top_k": 2}
    subject = subject_of(ffn=ffn)
    Magnitude(scope="row", sparsity=0.25)(subject, given_for(subject))
    assert ((subject.model.blocks[0].ffn.up.weight == 0).float().mean(-1) == 0.25).all()
    subject = subject_of(ffn=ffn)
    Wanda()(subject, given_for(subject))
    assert (subject.model.blocks[0].ffn.up.weight != 0).all()
    assert (subject.model.blocks[0].ffn.router.weight != 0).all()
    assert "8 of them stay as they were" in subject.notes[1]


def test_a_global_choice_says_what_it_emptied():
    subject = subject_of()
    with torch.no_grad():
        subject.model.blocks[1].ffn.down.weight.mul_(1e-4)
    Magnitude(scope="global")(subject, given_for(subject))
    assert "Nothing is left of blocks.1.ffn.down.weight" in subject.notes[1]


def test_zeros_stay_zero_when_the_weights_are_rounded():
    subject = subject_of()
    Wanda()(subject, given_for(subject))
    for format in (Affine(bits=8), Affine(bits=4, group=32), Affine(bits=4, group=32, symmetric=False)):
        for part in maps(subject.model).values():
            assert (Quantized.of(part.weight, format).full()[part.weight == 0] == 0).all()


def test_what_stands_in_few_bits_cannot_be_pruned():
    subject = subject_of()
    for name, part in maps(subject.model).items():
        put(subject.model, name, Quantized.of(part.weight, Affine(bits=8)))
    assert type(subject.model.blocks[0].ffn.up) is QuantizedLinear
    for name in PRUNERS:
        with pytest.raises(UserError, match="Prune first"):
            METHODS[name]()(subject, given_for(subject))


@pytest.mark.parametrize("name", PRUNERS)
def test_numbers_that_are_none_are_refused(name):
    subject = subject_of()
    with torch.no_grad():
        subject.model.blocks[0].ffn.up.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        METHODS[name]()(subject, given_for(subject))


@pytest.mark.parametrize("name", PRUNERS)
def test_a_plan_that_prunes_everything_is_refused(name):
    with pytest.raises(UserError, match="nothing of the model"):
        METHODS[name](sparsity=1.0)
