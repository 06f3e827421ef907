"""Mixed precision: what one rounded map costs, and who gets more bits."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from firsthand.compress.quantize.mixed import Mixed, chosen
from firsthand.compress.quantize.round_to_nearest import RoundToNearest
from firsthand.compress.quantize.sensitivity import sensitivities
from firsthand.compress.subject import linear_maps
from firsthand.errors import UserError
from firsthand.model.quantized import quantized_parts
from firsthand.ops.quantized import Affine

from .subjects import MIXERS, WINDOWS, given_for, scores, subject_of


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("residual", ["plain", "shortcut"])
def test_sensitivity_is_the_kl_of_the_whole_model_with_one_map_rounded(mixer, residual):
    subject = subject_of(mixer=mixer, residual=residual)
    maps = linear_maps(subject.model)
    before = {name: part.weight.clone() for name, part in maps.items()}
    found = sensitivities(subject.model, WINDOWS[:2], maps, [Affine(3, 16), Affine(8)])
    assert all(torch.equal(part.weight, before[name]) for name, part in maps.items())
    assert list(found) == list(maps)
    with torch.no_grad():
        full = F.log_softmax(subject.model(WINDOWS[:2]), -1)
    for name in ("blocks.0.ffn.down", "blocks.1.mixer.out"):
        one = subject_of(mixer=mixer, residual=residual)
        RoundToNearest(bits=3, group=16, targets=[name])(one, given_for(one))
        with torch.no_grad():
            other = F.log_softmax(one.model(WINDOWS[:2]), -1)
        expected = float(F.kl_div(other, full, log_target=True, reduction="sum") / full[..., 0].numel())
        assert found[name][0] == pytest.approx(expected, rel=1e-3)
        assert found[name][1] < 0.1 * found[name][0]


def test_the_budget_goes_where_it_buys_most():
    size = {"a": [4, 8], "b": [4, 8], "c": [40, 80]}
    loss = {"a": [1.0, 0.1], "b": [3.0, 0.1], "c": [4.0, 0.0]}
    assert chosen(size, loss, 48.0) == {"a": 0, "b": 0, "c": 0}
    assert chosen(size, loss, 52.0) == {"a": 0, "b": 1, "c": 0}
    assert chosen(size, loss, 56.0) == {"a": 1, "b": 1, "c": 0}
    assert chosen(size, loss, 96.0) == {"a": 1, "b": 1, "c": 1}
    with pytest.raises(UserError, match="even the smallest formats take 48 bytes, more than the 47"):
        chosen(size, loss, 47.0)


def test_the_choice_is_near_the_best_of_all():
    generator = torch.Generator().manual_seed(0)
    size = {name: [40, 50, 80] for name in "abcde"}
    loss = {name: sorted(torch.rand(3, generator=generator).tolist(), reverse=True) for name in "abcde"}
    for budget in (220.0, 260.0, 300.0):
        taken = chosen(size, loss, budget)
        assert sum(size[name][number] for name, number in taken.items()) <= budget
        every = (dict(zip("abcde", numbers, strict=True)) for numbers in itertools.product(range(3), repeat=5))
        fitting = [each for each in every if sum(size[name][number] for name, number in each.items()) <= budget]
        least = min(sum(loss[name][number] for name, number in each.items()) for each in fitting)
        assert sum(loss[name][number] for name, number in taken.items()) <= 1.25 * least


def test_a_wider_format_that_hurts_more_is_not_bought():
    assert chosen({"a": [4, 8]}, {"a": [0.1, 0.2]}, 100.0) == {"a": 0}


@pytest.mark.parametrize("mixer", ["attention", "mamba", "delta"])
def test_the_model_stays_within_the_budget_and_is_better_than_with_few_bits_alone(mixer):
    ours, plain = subject_of(mixer=mixer), subject_of(mixer=mixer)
    given = given_for(ours)
    Mixed(bits=6.0, choices=[{"bits": 4, "group": 32}, {"bits": 8}], length=24)(ours, given)
    RoundToNearest(bits=4, group=32)(plain, given)
    kept = [part.quantized for _, part in quantized_parts(ours.model)]
    numbers = sum(each.shape[0] * each.shape[1] for each in kept)
    assert 8 * sum(each.bytes for each in kept) <= 6.0 * numbers
    assert {each.format.bits for each in kept} == {4, 8}
    before = scores(given.original)
    assert (scores(ours.model) - before).norm() < 0.9 * (scores(plain.model) - before).norm()
    table = ours.tables["sensitivity"]
    assert [row["map"] for row in table] == [name for name, _ in quantized_parts(ours.model)]
    assert all(len(row["kl"]) == len(row["bytes"]) == 2 for row in table)
    assert sum("maps in Affine" in note for note in ours.notes) == 2
