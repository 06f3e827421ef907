"""The tree of a run: what a recipe may say, how the command line changes it, and what a slip is answered with."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand import config
from firsthand.errors import UserError


def _load(folder: Path, text: str = "", *overrides: str) -> config.Config:
    recipe = folder / "recipe.yaml"
    recipe.write_text(text, encoding="utf-8")
    return config.load(recipe, list(overrides))


def test_an_empty_recipe_is_the_default_run(tmp_path: Path) -> None:
    assert _load(tmp_path) == config.Config()


def test_overrides_win_over_the_recipe_and_the_last_over_the_first(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "train: {steps: 5, seed: 1}", "train.steps=7", "train.steps=9", "model.n_layers=2")
    assert (loaded.train.steps, loaded.train.seed, loaded.model.n_layers) == (9, 1, 2)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.tokens=1e9", 1e9),
        ("train.flops=1.5E+12", 1.5e12),
        ("train.seconds=60", 60.0),
        ("train.steps=1e3", 1000),
        ("train.clip=null", None),
        ("train.clip=", None),
        ("train.compile=auto", "auto"),
        ("train.compile=true", True),
        ("data.source=[a.txt, b.txt]", ["a.txt", "b.txt"]),
        ("data.source=a=b.txt", "a=b.txt"),
        ("train.optimizer={part: muon, lr: 2e-2}", {"part": "muon", "lr": 0.02}),
        ("train.trackers=[tensorboard]", ["tensorboard"]),
    ],
)
def test_a_value_is_read_as_yaml(tmp_path: Path, override: str, value: Any) -> None:
    loaded: Any = _load(tmp_path, "", override)
    for name in override.partition("=")[0].split("."):
        loaded = getattr(loaded, name)
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("", {"part": "adamw", "lr": 0.001}),
        ("train: {optimizer: muon}", {"part": "muon", "lr": 0.001}),
        ("train: {optimizer: {part: muon, momentum: 0.9}}", {"part": "muon", "momentum": 0.9, "lr": 0.001}),
    ],
)
def test_an_override_reaches_into_a_part(tmp_path: Path, recipe: str, expected: dict[str, Any]) -> None:
    assert _load(tmp_path, recipe, "train.optimizer.lr=1e-3").train.optimizer == expected


def test_an_override_keeps_the_rest_of_a_default_part(tmp_path: Path) -> None:
    assert _load(tmp_path, "", "tokenizer.vocab_size=512").tokenizer == {"part": "bpe", "vocab_size": 512}


SLIPS = [
    ("trian: {seed: 1}", [], ["recipe.yaml", "'trian'", "Did you mean 'train'?", "data, model, run, tokenizer, train"]),
    ("train: {sede: 1}", [], ["'train.sede'", "Did you mean 'seed'?", "schedule"]),
    ("", ["model.layers=2"], ["'model.layers'", "Did you mean 'n_layers'?"]),
    ("", ["nothing.of.this=1"], ["There is no setting 'nothing'"]),
    ("", ["train..x=1"], ["There is no setting 'train.'"]),
    ("", ["train.steps=0"], ["train.steps = 0", "greater than 0"]),
    ("", ["train.steps=many"], ["train.steps = 'many'", "integer"]),
    ("", ["train.steps=0", "train.seed=-1"], ["train.steps = 0", "train.seed = -1"]),
    ("", ["train.seconds=nan"], ["train.seconds"]),
    ("", ["train.keep=1"], ["train.keep = 1"]),
    ("", ["train.precision=bf8"], ["'auto', 'fp32', 'bf16' or 'fp16'"]),
    ("", ["train.compile=maybe"], ["train.compile = 'maybe'", "boolean", "'auto'"]),
    ("", ["run.name=a/b"], ["run.name = 'a/b'", "no slash"]),
    ("", ["data.validation=half"], ["data.validation = 'half'", "documents:0.1", "tail:0.1"]),
    ("", ["data.validation=0.1"], ["tail:0.1"]),
    ("", ["train.seed"], ["'train.seed' is not an override", "key=value"]),
    ("", ["=3"], ["not an override"]),
    ("", ["data.source=[a"], ["'data.source=[a'", "not valid YAML"]),
    ("tokenizer: 5", [], ["tokenizer = 5", "string or a valid dictionary"]),
    ("model: {mixer: [4]}", [], ["model.mixer"]),
    ("train: 5", [], ["train = 5"]),
    ("- a", [], ["holds a list", "run, data, model, train"]),
    ("a: [", [], ["not valid YAML"]),
    ("1: 2", [], ["There is no setting '1'"]),
]


@pytest.mark.parametrize(("recipe", "overrides", "words"), SLIPS)
def test_a_slip_is_one_paragraph_that_helps(
    tmp_path: Path, recipe: str, overrides: list[str], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        _load(tmp_path, recipe, *overrides)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_a_missing_or_binary_recipe_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no recipe .*nowhere\.yaml"):
        config.load(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not valid YAML"):
        config.load(tmp_path / "binary.yaml")


def test_a_recipe_runs_no_code(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not valid YAML"):
        _load(tmp_path, f"run: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']")
    assert not (tmp_path / "made").exists()


def test_what_is_saved_is_what_was_meant(tmp_path: Path) -> None:
    """Null is not the same as absent: `clip: null` turns clipping off."""
    meant = _load(tmp_path, "", "train.clip=null", "data.clean=[]", "run.dir=somewhere/é", "train.tokens=1e9")
    config.save(meant, tmp_path / "saved.yaml")
    assert config.load(tmp_path / "saved.yaml") == meant


_text = st.text(max_size=5) | st.sampled_from(["1e5", "-1.5E-3", "null", "yes", "0x1", "2026-01-01", "a: b", "\x85"])


@given(
    seed=st.integers(0, 2**40),
    clip=st.none() | st.floats(1e-30, 1e30),
    source=_text | st.lists(_text, max_size=3),
    optimizer=st.dictionaries(_text, st.floats(allow_nan=False) | _text | st.booleans() | st.integers()),
)
def test_any_tree_survives_its_file(seed: int, clip: float | None, source: Any, optimizer: dict[str, Any]) -> None:
    tree = {"data": {"source": source}, "train": {"seed": seed, "clip": clip, "optimizer": optimizer}}
    meant = config.parse(tree, "here")
    with tempfile.TemporaryDirectory() as folder:
        config.save(meant, Path(folder) / "saved.yaml")
        assert config.load(Path(folder) / "saved.yaml") == meant


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    assert _load(tmp_path, "", "run.name=demo").run.folder == Path("runs/demo")
    assert _load(tmp_path, "", f"run.dir={tmp_path}").run.folder == tmp_path
    assert _load(tmp_path, "", "run.dir=~/x").run.folder == Path.home() / "x"
