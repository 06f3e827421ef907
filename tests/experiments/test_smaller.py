"""A model made smaller in several ways: sizes in bytes by hand, zeros that stay, and what is on the front."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from firsthand.compress.distill import distill_loss
from firsthand.compress.prune import apply_masks, magnitude_mask, mask_2_of_4
from firsthand.compress.quantize.int8 import dequantize, quantize_int8
from firsthand.experiments import smaller
from firsthand.experiments.corpus import Corpus, open_corpus
from firsthand.experiments.run import execute
from firsthand.experiments.smaller import Smaller, Version, front
from firsthand.experiments.smaller_plot import smaller_picture
from firsthand.opened import open_model

from .small_run import tree

PARTS = SimpleNamespace(
    quantize_int8=quantize_int8,
    dequantize=dequantize,
    magnitude_mask=magnitude_mask,
    mask_2_of_4=mask_2_of_4,
    apply_masks=apply_masks,
    distill_loss=distill_loss,
)


@pytest.fixture
def bench(recipe, monkeypatch):
    """A model that was trained for a moment; students learn as long."""
    config = tree(recipe)
    execute(config)
    opened = open_model(config.run.folder)
    corpus = open_corpus(config.run.folder / "data")
    assert isinstance(corpus, Corpus)
    monkeypatch.setattr(smaller, "RECOVERY", 3)
    monkeypatch.setattr(smaller, "LESSONS", 3)
    return Smaller(opened.model, opened.fields, corpus, 128, PARTS)


def test_every_version_has_the_bytes_of_its_numbers(bench) -> None:
    found = {one.name: one for one in bench.versions()}
    maps = [part.weight for block in bench.original.blocks for part in block.modules() if hasattr(part, "in_features")]
    total = sum(one.numel() for one in bench.original.parameters())
    inside, rows = sum(one.numel() for one in maps), sum(len(one) for one in maps)
    rest = 4 * (total - inside)
    assert found["the model"].bytes == 4 * total
    assert found["8 bits"].bytes == rest + inside + 4 * rows
    assert found["8 bits, one scale a map"].bytes == rest + inside + 4 * len(maps)
    half = rest + sum(-(-one.numel() // 8) + 4 * (one.numel() - round(one.numel() / 2)) for one in maps)
    assert found["half pruned"].bytes == found["half pruned, then taught"].bytes == half
    assert found["2 of 4"].bytes == rest + sum(one.numel() // 8 + 2 * one.numel() for one in maps)
    assert found["a student, taught"].bytes < found["the model"].bytes / 3
    assert found["the student in 8 bits"].bytes < found["a student, taught"].bytes
    assert all(0 < one.bits_per_byte < 20 for one in found.values())


def test_the_original_stays_as_it_was_and_zeros_stay_zero(bench) -> None:
    before = {name: one.clone() for name, one in bench.original.state_dict().items()}
    kept = []
    taken = replace(bench, parts=SimpleNamespace(**vars(PARTS) | {"apply_masks": noting(kept)}))
    list(taken.versions())
    assert all(torch.equal(one, before[name]) for name, one in bench.original.state_dict().items())
    assert len(kept) == 2
    for model, masks in kept:
        for name, mask in masks.items():
            assert not bool(model.get_parameter(name)[~mask].any())


def noting(kept):
    def apply(model, masks):
        kept.append((model, masks))
        return apply_masks(model, masks)

    return apply


def test_only_versions_that_use_a_wanted_part_are_made(bench) -> None:
    names = [one.name for one in replace(bench, wanted=frozenset({"quantize"})).versions()]
    assert names == ["8 bits", "8 bits, one scale a map", "the student in 8 bits"]
    found = list(replace(bench, wanted=frozenset({"prune"})).versions())
    assert [one.name for one in found] == ["2 of 4", "half pruned", "half pruned, then taught"]
    assert all("prune" in one.uses for one in found)


def test_what_is_beaten_in_both_is_not_on_the_front() -> None:
    points = [("a", 10, 2.0), ("b", 5, 2.0), ("c", 5, 3.0), ("d", 1, 4.0), ("e", 1, 4.0)]
    assert front([Version(*one) for one in points]) == {"b", "d", "e"}


def test_the_picture_names_every_version() -> None:
    mine = [Version("the model", 1000, 2.0), Version("8 bits", 300, 2.1)]
    picture = smaller_picture({"yours": mine, "shipped": mine[1:]})
    assert [text.get_text() for text in picture.axes[0].texts] == ["a", "b"]
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["a  the model", "b  8 bits"]
    assert [text.get_text() for text in picture.axes[0].get_legend().get_texts()] == ["yours", "shipped"]
    assert picture.axes[0].get_xscale() == "log"
