"""One dial: what n_layers decides, what the recipe may decide instead, and that it is said."""

import math

import pytest
import yaml

from firsthand import assemble, config, dial
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent
from firsthand.model.presets import PRESETS, resolve


def settle(*settings):
    return assemble.settle(config.load(None, list(settings)))


def test_twelve_layers_are_as_wide_as_gpt2():
    assert dial.width(12) == 768
    fields = resolve({"preset": "gpt2", "n_layers": 12})
    assert fields == resolve({"preset": "gpt2"})


def test_the_rules_give_what_their_sources_print():
    """DeepSeek LLM, table 2: 2T tokens, rows of 4096; the 7B at 4.2e-4 in 2304 rows, the 67B at 3.2e-4 in 4608."""
    for weights, rate, rows in ((6.5e9, 4.2e-4, 2304), (66e9, 3.2e-4, 4608)):
        flops = 6 * weights * 2e12
        assert dial.rates("adamw", flops, 4096)["lr"] == pytest.approx(rate, rel=0.07)
        assert math.log2(dial.batch_tokens(flops, 4096) / 4096 / rows) == pytest.approx(0, abs=1)
    assert dial.horizon(70_000_000_000) == 1.4e12  # Chinchilla's own


@pytest.mark.parametrize("microbatches", [1, 3])
def test_a_batch_is_whole_rows_in_every_microbatch(microbatches):
    for flops in (1e6, 1e12, 1e18):
        rows, rest = divmod(dial.batch_tokens(flops, 96, microbatches), 96 * microbatches)
        assert rest == 0
        assert rows == 2 ** int(math.log2(rows))
    assert dial.batch_tokens(1.0, 96, microbatches) == 96 * microbatches


def test_rates_fall_as_models_grow():
    for optimizer, name in (("adamw", "lr"), ("lion", "lr"), ("muon", "adamw_lr")):
        small, large = (dial.rates(optimizer, flops, width) for flops, width in ((1e14, 128), (1e18, 768)))
        assert small[name] > large[name]
    assert dial.rates("muon", 1e14, 128)["lr"] == dial.rates("muon", 1e18, 768)["lr"]
    assert dial.rates("sgd", 1e14, 128) == {}


def test_n_layers_alone_decides_everything():
    settled, derived = settle("model.n_layers=4")
    assert set(derived) == {
        *(f"model.{key}" for key in ("d_model", "n_heads", "n_kv_heads", "d_head", "d_ff")),
        *("train.optimizer.lr", "data.batch_tokens", "train.tokens"),
    }
    assert (settled.model.d_model, settled.model.n_heads, settled.model.d_ff) == (256, 4, 1024)
    assert settled.train.tokens == pytest.approx(20 * 12 * 4 * 256**2, rel=0.01)
    assert settled.data.batch_tokens == derived["data.batch_tokens"]
    assert settled.train.optimizer == {"part": "adamw", "lr": derived["train.optimizer.lr"]}


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("model.d_model=128", "model.n_heads"),
        ("model.size=nano", "model.d_ff"),
        ("data.batch_tokens=512", "data.batch_tokens"),
        ("train.optimizer.lr=1e-3", "train.optimizer.lr"),
        ("train.steps=5", "train.tokens"),
        ("train.seconds=5", "train.tokens"),
        ("train.optimizer=sgd", "train.optimizer.lr"),
        ("model.d_ff=700", "model.d_ff"),
    ],
)
def test_anything_can_be_overridden(setting, left):
    settled, derived = settle("model.n_layers=2", setting)
    assert left not in derived
    key, _, value = setting.partition("=")
    assert str(flat(settled)[key]) == str(type(flat(settled)[key])(value))


def flat(settled):
    tree = settled.model_dump()
    found = {f"{top}.{key}": value for top in ("data", "model", "train") for key, value in tree[top].items()}
    optimizer = tree["train"]["optimizer"]
    return found | ({f"train.optimizer.{key}": optimizer[key] for key in optimizer} if "lr" in optimizer else {})


def test_the_budget_changes_neither_rate_nor_batch():
    """So that a run can be resumed with a longer one."""
    first, second = settle("train.steps=10"), settle("train.tokens=1e9")
    assert first[1] == second[1]
    assert "train.optimizer.lr" in first[1]


@pytest.mark.parametrize("recipe", ["tiny", "demo", "shakespeare-char"])
def test_recipes_that_say_it_all_are_left_as_they_are(recipe, pytestconfig):
    stated = config.load(pytestconfig.rootpath / "recipes" / f"{recipe}.yaml")
    assert assemble.settle(stated) == (stated, {})


def test_a_settled_run_is_settled():
    settled, _ = settle("model.n_layers=3", "train.optimizer=muon")
    assert assemble.settle(settled) == (settled, {})


@pytest.mark.parametrize("preset", PRESETS)
def test_the_dial_turns_every_preset(preset):
    settled, _ = settle(f"model.preset={preset}", "model.n_layers=4")
    assert settled.model.d_model == 4 * PRESETS[preset].width
    assert settled.train.tokens > 1e6


def test_what_is_derived_is_said_and_stored(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"line {n} of some text, {n % 7} and {n % 11}\n" for n in range(900)))
    run = config.load(
        None,
        [
            *("model.n_layers=1", "model.context_length=16", "tokenizer=byte", "train.steps=2", "data.batch_tokens=64"),
            *(f"data.source={text}", "data.validation=tail:0.2", f"run.dir={tmp_path / 'run'}", "train.device=cpu"),
        ],
    )
    notes = []

    class Listening(Silent):
        def note(self, text):
            notes.append(text)

    execute(run, show=Listening())
    said = [line for line in notes if line.startswith("the dial sets")]
    assert len(said) == 1
    assert "model.d_model=64" in said[0]
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert stored["model"]["d_model"] == 64
    assert stored["train"]["optimizer"]["lr"] > 0
    assert stored["train"]["tokens"] is None
