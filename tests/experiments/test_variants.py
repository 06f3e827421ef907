"""What a command line says is to be compared."""

from pathlib import Path

import pytest

from firsthand.errors import UserError
from firsthand.experiments.compare.variants import folder_name, read_variants

RECIPES = Path(__file__).parents[2] / "recipes"
TINY = str(RECIPES / "tiny.yaml")


def find(name: str) -> Path:
    return RECIPES / f"{Path(name).stem}.yaml"


def test_two_recipes_and_a_setting_for_both() -> None:
    one, other = read_variants(["tiny", "shakespeare-char", "train.steps=5"], find=find)
    assert (one.label, other.label) == ("tiny", "shakespeare-char")
    assert one.config.train.steps == other.config.train.steps == 5
    assert other.config.model.d_model == 128


def test_a_recipe_with_settings_of_its_own_which_win() -> None:
    one, other = read_variants(
        ["tiny", "tiny model.position={part: alibi} model.d_ff=96", "model.d_ff=64", "model.n_layers=1"], find=find
    )
    assert (one.label, other.label) == ("tiny", "alibi d_ff=96")
    assert (one.config.model.d_ff, other.config.model.d_ff) == (64, 96)
    assert other.config.model.position == {"part": "alibi"}
    assert other.config.model.n_layers == 1


def test_one_recipe_and_many_values() -> None:
    found = read_variants([TINY], ["model.position=rope,{part: rope, theta: 100},none"])
    assert [variant.label for variant in found] == ["rope", "rope theta=100", "none"]
    assert found[1].config.model.position == {"part": "rope", "theta": 100}


def test_two_settings_multiply() -> None:
    found = read_variants([TINY], ["model.position=rope,none", "model.d_ff=64,128"])
    assert [variant.label for variant in found] == ["rope d_ff=64", "rope d_ff=128", "none d_ff=64", "none d_ff=128"]


def test_a_budget_is_the_only_bound() -> None:
    found = read_variants([TINY, f"{TINY} train.steps=7"], budget="2e6tok")
    assert [(each.config.train.steps, each.config.train.tokens) for each in found] == [(None, 2e6)] * 2


def test_names_and_repeated_recipes() -> None:
    assert [each.label for each in read_variants([TINY, TINY])] == ["tiny", "tiny (2)"]
    assert [each.label for each in read_variants([TINY, TINY], names="one, two")] == ["one", "two"]
    with pytest.raises(UserError, match="1 names for 2 variants"):
        read_variants([TINY, TINY], names="one")


@pytest.mark.parametrize(
    ("words", "vary", "said"),
    [
        ([TINY], [], "two sides"),
        (["train.steps=3"], ["model.d_ff=1,2"], "two sides"),
        ([TINY], ["model.position=rope"], "two sides"),
        ([TINY], ["rope,alibi"], "write a setting"),
        ([TINY, f"{TINY} {TINY}"], [], "after a recipe"),
        ([TINY, "nowhere.yaml"], [], "no recipe"),
        ([TINY], ["model.positions=a,b"], "Did you mean 'position'"),
    ],
)
def test_mistakes_are_told(words: list[str], vary: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_variants(words, vary)


def test_a_folder_is_named_after_the_variants() -> None:
    assert folder_name(read_variants([TINY], ["model.position=rope,none"])) == "compare-rope-none"
    names = ",".join(f"a-very-long-name-{number}" for number in range(6))
    many = read_variants([TINY], ["model.d_ff=1,2,3,4,5,6"], names=names)
    assert len(folder_name(many)) == 72
    assert folder_name(many) != folder_name(many[::-1])
