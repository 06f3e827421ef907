"""A comparison from its command to its report: in turns, resumable, and never claiming more than it knows."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats

from firsthand.errors import Stopped, UserError
from firsthand.experiments import series
from firsthand.experiments.compare import Question, command, compare
from firsthand.experiments.compare.page import Page
from firsthand.experiments.compare.variants import read_variants
from firsthand.experiments.series import Outcome, Trial
from firsthand.experiments.watch import Silent

RECIPE = {
    "data": {"validation": "tail:0.2", "batch_tokens": 128, "deduplicate": "none"},
    "tokenizer": {"part": "byte"},
    "model": {"n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 16},
    "train": {
        "optimizer": {"part": "adamw", "lr": 3e-3},
        "steps": 5,
        "log_every": 1,
        "evaluate_every": 2,
        "threads": 1,
        "precision": "fp32",
        "seed": 3,
    },
}
ORDER = ["rope-seed-3", "none-seed-3", "rope-seed-4", "none-seed-4"]


class Quiet(Silent):
    """Remembers which runs began."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []

    def begin(self, trial: Trial, number: int, total: int) -> None:
        self.began.append(trial.name)

    def done(self, outcome: Outcome) -> None:
        self.ended.append(outcome.trial.name)


@pytest.fixture(scope="module", autouse=True)
def no_pictures_of_single_runs() -> Iterator[None]:
    """They take longer than these runs, and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firsthand.experiments.run.plot_run", lambda folder: None)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recipe")
    lines = [f"the {a} sees the {b}, and the {b} sees the {a}.\n" for a in ("king", "fool") for b in ("queen", "sea")]
    (folder / "text.txt").write_text("".join(lines) * 12)
    tree = RECIPE | {"data": RECIPE["data"] | {"source": str(folder / "text.txt")}}
    (folder / "small.yaml").write_text(yaml.safe_dump(tree))
    return str(folder / "small.yaml")


def ask(recipe: str, seeds: int = 2, values: str = "rope,none", **more: Any) -> Question:
    return Question(read_variants([recipe], [f"model.position={values}"]), seeds, **more)


@pytest.fixture(scope="module")
def whole(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Path, Quiet]:
    """A comparison that was never disturbed."""
    folder, show = tmp_path_factory.mktemp("whole"), Quiet()
    page = compare(ask(recipe, command="firsthand compare …"), folder / "out", False, show, folder / "page")
    return page, folder, show


def _bits(folder: Path, name: str) -> float:
    return float(json.loads((folder / "out" / name / "status.json").read_text())["bits_per_byte"])


def test_the_variants_run_in_turns(whole: tuple[Page, Path, Quiet]) -> None:
    _, folder, show = whole
    assert show.began == show.ended == ORDER
    seeds = [yaml.safe_load((folder / "out" / name / "config.yaml").read_text())["train"]["seed"] for name in ORDER]
    assert seeds == [3, 3, 4, 4]


def test_the_data_is_made_once_and_shared(whole: tuple[Page, Path, Quiet]) -> None:
    _, folder, _ = whole
    made = list((folder / "out" / "data").iterdir())
    assert len(made) == 1
    files = {(folder / "out" / name / "data" / "tokenizer.json").stat().st_ino for name in ORDER}
    assert files == {(made[0] / "tokenizer.json").stat().st_ino}


def test_the_figures_are_those_of_the_runs(whole: tuple[Page, Path, Quiet]) -> None:
    page, folder, _ = whole
    rope, none = ([_bits(folder, f"{label}-seed-{seed}") for seed in (3, 4)] for label in ("rope", "none"))
    report = json.loads((folder / "out" / "report.json").read_text())
    first, second = report["variants"]
    assert first["bits_per_byte"]["mean"] == pytest.approx(sum(rope) / 2)
    assert first["bits_per_byte"]["high"] == pytest.approx(stats.t.interval(0.95, 1, sum(rope) / 2, stats.sem(rope))[1])
    assert second["difference"]["p"] == pytest.approx(stats.ttest_rel(none, rope).pvalue)
    assert second["flops_per_token"] * 5 * 128 == pytest.approx(second["runs"][0]["flops"])
    assert report == json.loads(json.dumps(page.to_json()))
    assert report["differences"] == {"model.position": {"rope": "rope", "none": "none"}}


def test_the_page_can_be_pasted(whole: tuple[Page, Path, Quiet]) -> None:
    _, folder, _ = whole
    for page in (folder / "out" / "report.md", folder / "page" / "report.md"):
        text = page.read_text()
        assert text.startswith("# Comparison: rope, none\n\n```sh\nfirsthand compare …\n```\n")
        assert "| `model.position` | rope | none |" in text
        assert str(folder) not in text
        pictures = re.findall(r"!\[.*\]\((.*)\)", text)
        assert len(pictures) == 2
        assert all((page.parent / picture).is_file() for picture in pictures)
    assert sorted(path.name for path in (folder / "page").iterdir()) == ["curves.svg", "report.md", "result.svg"]


class Killed(BaseException):
    """Like SIGKILL, nothing catches it."""


@pytest.mark.parametrize("at", ["rope-seed-3", "none-seed-4"])
def test_killed_and_resumed_is_the_same_comparison(
    recipe: str, whole: tuple[Page, Path, Quiet], tmp_path: Path, at: str
) -> None:
    class Dies(Quiet):
        def step(self, line: dict[str, Any], fraction: float) -> None:
            if self.began[-1] == at and line["step"] == 3:
                raise Killed

    with pytest.raises(Killed):
        compare(ask(recipe), tmp_path / "out", False, Dies())
    show = Quiet()
    compare(ask(recipe), tmp_path / "out", True, show)
    assert show.began == ORDER[ORDER.index(at) :]
    assert [_bits(tmp_path, name) for name in ORDER] == [_bits(whole[1], name) for name in ORDER]


def test_a_signal_stops_it_with_a_way_back(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*words: Any, **more: Any) -> None:
        raise Stopped("as asked")

    monkeypatch.setattr(series, "execute", stop)
    with pytest.raises(Stopped, match=r"run 1 of 4, 'rope, seed 3'.*--resume"):
        compare(ask(recipe), tmp_path / "out", False, Quiet())


def test_more_seeds_and_more_variants_go_on_from_there(recipe: str, tmp_path: Path) -> None:
    compare(ask(recipe, seeds=1), tmp_path / "out", False, Quiet())
    show = Quiet()
    page = compare(ask(recipe, seeds=1, values="rope,none,alibi"), tmp_path / "out", True, show)
    assert show.began == ["alibi-seed-3"]
    assert all("No p-value can be given" in said for said in page.said()[:2])


def test_the_same_recipe_twice_is_no_difference(recipe: str, tmp_path: Path) -> None:
    page = compare(Question(read_variants([recipe, recipe]), 2), tmp_path / "out", False, Quiet())
    (said,) = page.said()
    assert said.startswith("**No difference found** between **small (2)** and **small**: +0.0000")
    assert "Nothing: the variants are the same" in page.text("")


def test_another_command_in_the_same_folder_is_refused(recipe: str, whole: tuple[Page, Path, Quiet]) -> None:
    _, folder, _ = whole
    with pytest.raises(UserError, match=r"holds a compare already.*--resume"):
        compare(ask(recipe), folder / "out", False, Quiet())
    longer = Question(read_variants([recipe, "train.steps=9"], ["model.position=rope,none"]), 2)
    with pytest.raises(UserError, match=r"was made with train\.steps = 5, which is now 9"):
        compare(longer, folder / "out", True, Quiet())


def test_a_failing_variant_does_not_end_the_others(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute: Callable[..., Any] = series.execute

    def fail(config: Any, **more: Any) -> Any:
        if config.run.name == "none-seed-3":
            raise UserError("It diverged.")
        return execute(config, **more)

    monkeypatch.setattr(series, "execute", fail)
    page = compare(ask(recipe), tmp_path / "out", False, Quiet())
    assert page.said()[-1] == "**none**: 1 of 2 runs failed. It diverged."
    assert "| none-seed-3 | 3 | failed |" in page.text("")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": "rope,rop"}, "no part called 'rop'"),
        ({"baseline": "alibi"}, "no variant 'alibi'"),
        ({"match": "weights"}, "no measure 'weights'"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    recipe: str, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    show = Quiet()
    with pytest.raises(UserError, match=said):
        compare(ask(recipe, **change), tmp_path / "out", False, show)
    assert show.began == []


def test_matched_models_and_unequal_budgets_are_told(recipe: str, tmp_path: Path) -> None:
    words = [recipe, f"{recipe} model.ffn=gated", f"{recipe} train.steps=3"]
    page = compare(Question(read_variants(words), 1, match="params"), tmp_path / "out", False, Quiet())
    first, gated, _ = page.found
    assert gated.size.parameters == pytest.approx(first.size.parameters, rel=0.01)
    assert "Changed to make the variants alike:\n\n- gated: model.d_ff 64 → " in page.text("")
    assert page.said()[-1] == "The variants do not have the same budget; `--budget` sets one for all."


def test_the_printed_command_can_be_typed() -> None:
    options = {"vary": ["model.ffn=mlp,{part: gated}"], "seeds": 3, "match": None}
    typed = "firsthand compare 'tiny train.steps=3' --vary 'model.ffn=mlp,{part: gated}' --seeds 3"
    assert command("compare", ["tiny train.steps=3"], options) == typed
