"""Rounding to the nearest, in any format, on any mixer; what stays in full, and what is refused."""

import pytest
import torch

from firsthand.compress import METHODS
from firsthand.compress.quantize.nf4 import NF4
from firsthand.compress.quantize.round_to_nearest import RoundToNearest
from firsthand.compress.subject import linear_maps
from firsthand.errors import UserError
from firsthand.model.quantized import QuantizedEmbedding, QuantizedLinear, quantized_parts

from .subjects import MIXERS, given_for, scores, subject_of


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_map_of_every_mixer_is_rounded_and_the_original_is_not_touched(mixer):
    subject = subject_of(mixer=mixer)
    given = given_for(subject)
    before, names = scores(given.original), list(linear_maps(subject.model))
    RoundToNearest(bits=8)(subject, given)
    assert [name for name, _ in quantized_parts(subject.model)] == names
    assert torch.equal(scores(given.original), before)
    after = scores(subject.model)
    assert 0 < (after - before).norm() / before.norm() < 0.2
    with pytest.raises(UserError, match="no linear map to round"):
        RoundToNearest(bits=8)(subject, given)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, 32), (4, 48), (3, 16)])
def test_each_number_is_at_most_half_a_step_off(bits, group, symmetric):
    subject = subject_of()
    given = given_for(subject)
    RoundToNearest(bits=bits, group=group, symmetric=symmetric, scales="fp32")(subject, given)
    for name, part in quantized_parts(subject.model):
        weight = given.original.get_submodule(name).weight
        width = part.format.width(weight.shape[1])
        steps = part.quantized.tensors["scales"].repeat_interleave(width, 1)[:, : weight.shape[1]]
        assert ((part.weight - weight).abs() <= 0.5001 * steps).all()


@pytest.mark.parametrize("spec", [{"bits": 8}, {"part": "nf4"}])
@pytest.mark.parametrize("tied", [True, False])
def test_tables_are_rounded_if_asked(spec, tied):
    subject = subject_of(tied=tied)
    given = given_for(subject)
    before = scores(subject.model)
    RoundToNearest(bits=8, embedding=spec)(subject, given)
    assert isinstance(subject.model.embedding, QuantizedEmbedding)
    assert tied or isinstance(subject.model.unembedding, QuantizedLinear)
    assert 0 < (scores(subject.model) - before).norm() / before.norm() < (0.5 if "part" in spec else 0.1)


def test_targets_are_names_or_patterns():
    subject = subject_of()
    RoundToNearest(targets=["down", "blocks.0.mixer.*"])(subject, given_for(subject))
    names = {name for name, _ in quantized_parts(subject.model)}
    assert names == {f"blocks.0.mixer.{name}" for name in ("query", "key", "value", "out")} | {
        "blocks.0.ffn.down",
        "blocks.1.ffn.down",
    }
    with pytest.raises(UserError, match=r"no linear map in full is called 'dawn'\. Did you mean 'down'"):
        linear_maps(subject_of().model, ["dawn"])
    with pytest.raises(UserError, match="neither layers nor all"):
        linear_maps(subject.model, "down")


def test_all_includes_a_head_of_its_own():
    subject = subject_of(tied=False)
    RoundToNearest(targets="all")(subject, given_for(subject))
    assert isinstance(subject.model.unembedding, QuantizedLinear)


def test_nf4_rounds_every_map():
    subject = subject_of()
    given = given_for(subject)
    NF4()(subject, given)
    before = scores(given.original)
    assert 0 < (scores(subject.model) - before).norm() / before.norm() < 0.5
    assert {part.quantized.to_json()["part"] for _, part in quantized_parts(subject.model)} == {"nf4"}


def test_experts_in_stacks_stay_and_that_is_said():
    subject = subject_of(ffn="experts")
    RoundToNearest()(subject, given_for(subject))
    assert any("6 stacks of matrices stay in full (blocks.0.ffn.up.weight" in note for note in subject.notes)
    assert torch.isfinite(scores(subject.model)).all()


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("round_to_nearest", {"bits": 9}),
        ("round_to_nearest", {"group": 1}),
        ("gptq", {"damping": 0.0}),
        ("gptq", {"order": "weight"}),
        ("awq", {"steps": 0}),
        ("smoothquant", {"alpha": 1.5}),
        ("int8_dynamic", {"scales": "fp8"}),
        ("kv_cache", {"bits": 3}),
        ("mixed", {"choices": [{"bits": 4}]}),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_computed(method, arguments):
    with pytest.raises(UserError):
        METHODS[method](**arguments)


def test_a_wrong_format_of_the_embedding_names_what_is_valid():
    subject = subject_of()
    with pytest.raises(UserError, match="no argument 'bitts'"):
        RoundToNearest(embedding={"bitts": 8})(subject, given_for(subject))
