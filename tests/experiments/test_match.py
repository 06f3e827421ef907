"""Models made alike in size, and what is said when that cannot be."""

from pathlib import Path

import pytest

from firsthand.errors import UserError
from firsthand.experiments.compare.match import Size, match, size_of
from firsthand.experiments.compare.variants import read_variants
from firsthand.model.make import build_model
from firsthand.model.presets import resolve

TINY = str(Path(__file__).parents[2] / "recipes" / "tiny.yaml")


def test_a_size_is_that_of_the_model_that_trains() -> None:
    one, _ = read_variants([TINY, TINY])
    model = build_model(resolve(one.config.model), 257)
    assert size_of(one.config, 257).parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("measure", ["params", "flops"])
@pytest.mark.parametrize("other", ["{part: gated}", "{part: gated, activation: gelu}"])
def test_d_ff_takes_the_size_of_the_first(measure: str, other: str) -> None:
    one, two = read_variants([TINY], [f"model.ffn=mlp,{other}"])
    target = size_of(one.config, 257).by(measure)
    assert abs(size_of(two.config, 257).by(measure) / target - 1) > 0.1
    alike = match(two, 257, measure, target)
    assert abs(size_of(alike.config, 257).by(measure) / target - 1) <= 0.01
    assert alike.config.model.d_ff == 168
    assert alike.changes[0] == "model.d_ff 256 → 168"
    assert alike.config.model.d_model == two.config.model.d_model


def test_where_d_ff_cannot_the_width_does() -> None:
    one, two = read_variants([TINY, f"{TINY} model.ffn={{part: mlp, d_ff: 32}}", "model.d_model=128"])
    target = size_of(one.config, 257).parameters
    alike = match(two, 257, "params", float(target))
    assert size_of(alike.config, 257).parameters == pytest.approx(target, rel=0.01)
    assert alike.changes[0].startswith("model.d_model 128 → ")
    assert resolve(alike.config.model)["n_heads"] == 2


def test_what_is_alike_already_is_left_alone() -> None:
    one, two = read_variants([TINY], ["model.position=rope,none"])
    assert match(two, 257, "params", float(size_of(one.config, 257).parameters)) is two


def test_what_cannot_be_matched_is_told_with_the_nearest() -> None:
    one, _ = read_variants([TINY, TINY])
    with pytest.raises(UserError, match=r"within 1% of 1,000,000,000 parameters.*d_model = \d+"):
        match(one, 257, "params", 1e9)


def test_the_measures() -> None:
    assert Size(3, 5.0).by("params") == 3.0
    assert Size(3, 5.0).by("flops") == 5.0
