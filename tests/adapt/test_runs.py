"""Runs that teach a trained model: what their checkpoints hold, how they open, resume, and refuse another base."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

import firsthand
from firsthand import config
from firsthand.adapt.saved import Adapted, Base, fingerprint
from firsthand.errors import DamagedError, Stopped, UserError
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent
from firsthand.interop import EXPORTS
from firsthand.opened import find, open_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft

LINES = [f"the {a} {b} {c}.\n" for a in ("king", "queen", "fool") for b in ("sees", "loves") for c in ("night", "war")]
MODEL = {"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16, "dropout": 0.1, "tied": False}
TRAIN = {
    "steps": 6,
    "save_every": 2,
    "sample_every": 100,
    "evaluate_every": 100,
    "threads": 1,
    "compile": False,
    "precision": "fp32",
}
DATA = {"validation": "tail:0.1", "batch_tokens": 128, "deduplicate": "none"}
LORA = {"part": "lora", "rank": 2, "alpha": 8.0, "targets": "all", "dropout": 0.1}


@pytest.fixture(scope="module", autouse=True)
def _no_pictures():
    """They take most of the time of so small a run, and are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firsthand.experiments.run.plot_run", lambda folder: [])
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with a small trained run in it, and the recipe that begins with it."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "text.txt").write_text("".join(LINES) * 6)
    data = DATA | {"source": str(folder / "text.txt")}
    tree = {"run": {"dir": str(folder / "run")}, "data": data, "tokenizer": "char", "model": MODEL, "train": TRAIN}
    execute(config.parse(tree, "test"))
    return folder


def tuned(base, folder, adapt, **train):
    data = DATA | {"source": str(base / "text.txt")}
    rate = {"optimizer": {"part": "adamw", "lr": 0.03}}
    tree = {"run": {"dir": str(folder)}, "data": data, "model": {"weights": str(base / "run")}, "adapt": adapt}
    return config.parse(yaml.safe_load(yaml.safe_dump(tree | {"train": TRAIN | rate | train})), "test")


def weights(path):
    return {name: parameter.detach() for name, parameter in firsthand.load(path)[0].named_parameters()}


def saved(folder, step=6):
    return load_file(folder / "checkpoints" / f"step-{step:09}" / "model.safetensors")


@pytest.mark.parametrize("adapt", [{"adapter": LORA}, {"adapter": LORA | {"part": "dora"}, "quantize": "nf4"}])
def test_a_run_saves_what_learns_and_opens_as_a_plain_model(base, tmp_path, adapt):
    execute(tuned(base, tmp_path / "run", adapt))
    held = saved(tmp_path / "run")
    assert held
    assert {name.rpartition(".")[2] for name in held} <= {"lora_a", "lora_b", "magnitude"}
    state = load_file(tmp_path / "run" / "checkpoints" / "step-000000006" / "optimizer.safetensors")
    assert {name.rpartition(".")[0] for name in state} == held.keys()
    before, after = weights(base / "run"), weights(tmp_path / "run")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{name.rpartition('.')[0]}.weight" for name in held}


def test_unfrozen_weights_are_saved_beside_nothing_else(base, tmp_path):
    execute(tuned(base, tmp_path / "run", {"train": "last_block"}))
    before, after = weights(base / "run"), weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == saved(tmp_path / "run").keys()
    assert {name.split(".")[0] for name in changed} == {"blocks", "norm", "unembedding"}
    assert not any(name.startswith("blocks.0") for name in changed)


def test_resuming_is_exact(base, tmp_path):
    class Interrupted(Silent):
        def step(self, line, fraction):
            if line["step"] == 3:
                raise Stopped("enough")

    adapt = {"adapter": LORA}
    execute(tuned(base, tmp_path / "whole", adapt, log_every=1))
    with pytest.raises(Stopped):
        execute(tuned(base, tmp_path / "halves", adapt, log_every=1), show=Interrupted())
    execute(tuned(base, tmp_path / "halves", adapt, log_every=1), resume=True)
    whole, halves = saved(tmp_path / "whole"), saved(tmp_path / "halves")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_a_base_that_is_gone_or_another_one_is_refused_by_name(base, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(base / "text.txt", copy / "text.txt")
    shutil.copytree(base / "run", copy / "run")
    execute(tuned(copy, tmp_path / "run", {"adapter": LORA}))
    expected = weights(tmp_path / "run")
    shutil.move(copy / "run", copy / "away")
    with pytest.raises(UserError, match=r"that model is gone.*copy/run"):
        open_model(tmp_path / "run")
    execute(config.replaced(config.load(base / "run" / "config.yaml"), {"run.dir": str(copy / "run"), "train.seed": 1}))
    with pytest.raises(UserError, match=r"weights have changed"):
        open_model(tmp_path / "run")
    shutil.rmtree(copy / "run")
    shutil.move(copy / "away", copy / "run")
    assert all(torch.equal(expected[name], tensor) for name, tensor in weights(tmp_path / "run").items())


def test_an_adapter_over_an_adapter(base, tmp_path):
    execute(tuned(base, tmp_path / "one", {"adapter": LORA}))
    data = DATA | {"source": str(base / "text.txt")}
    tree = {"run": {"dir": str(tmp_path / "two")}, "data": data, "model": {"weights": str(tmp_path / "one")}}
    execute(config.parse(tree | {"adapt": {"train": "head"}, "train": TRAIN}, "test"))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert {name for name in one if not torch.equal(one[name], two[name])} == {"unembedding.weight"}


def test_an_adapter_from_a_file_is_named_again(base, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from firsthand.adapt.lora import LoRA\n\n\nclass Mine(LoRA):\n    pass\n")
    spec = f"{file}:Mine"
    execute(tuned(base, tmp_path / "run", {"adapter": LORA | {"part": spec}}))
    with pytest.raises(UserError, match=r"adapt\.adapter=.*mine\.py:Mine"):
        open_model(tmp_path / "run")
    opened = open_model(tmp_path / "run", parts=[f"adapt.adapter={spec}"])
    before = weights(base / "run")
    assert any(not torch.equal(before[name], one) for name, one in opened.model.named_parameters())


def test_a_description_is_read_as_it_was_written():
    whole = Adapted(LORA, "nf4", ("blocks.0.mixer.query",), ("ham", "spam"), 64, Base("a", "/a", "0" * 64))
    assert Adapted.of_json(json.loads(json.dumps(whole.to_json())), "here") == whole
    assert Adapted().to_json() is None
    assert Adapted.of_json(None, "here") == Adapted()


@pytest.mark.parametrize(
    "tree",
    [
        [1],
        {"base": {"name": 1}},
        {"labels": [1]},
        {"quantized": 3},
        {"more": 1},
        {"row_tokens": -1},
        {"adapter": 1},
        "text",
    ],
)
def test_a_description_that_was_never_written_is_damaged(tree):
    with pytest.raises(DamagedError, match="its adapter is damaged"):
        Adapted.of_json(tree, "here")


def test_the_fingerprint_is_of_names_kinds_and_numbers():
    one = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    assert fingerprint(one) == fingerprint(dict(reversed(one.items())))
    others = [{"a": torch.zeros(3, 2), "b": torch.ones(1)}, {"a": torch.zeros(2, 3), "b": torch.zeros(1)}]
    others += [{"a": torch.zeros(2, 3), "c": torch.ones(1)}, {"a": torch.zeros(2, 3), "b": torch.ones(1).double()}]
    assert len({fingerprint(one), *map(fingerprint, others)}) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["adapt.adapter=lorra"], "Did you mean 'lora'"),
        (["adapt.adapter.part=lora", "adapt.adapter.ranks=3"], "no argument 'ranks'"),
        (["adapt.adapter.part=lora", "adapt.adapter.targets=q_proj"], "'q_proj'"),
        (["adapt.quantize=nf4"], "model.weights"),
        (["adapt.train=adapter"], "nothing would learn"),
        (["train.objective=classify"], "data.kind=labels"),
    ],
)
def test_slips_are_told_before_any_data_is_read(tmp_path, settings, message):
    tree = config.load(None, [f"run.dir={tmp_path}/run", "data.source=nowhere", "model.preset=llama", *settings])
    with pytest.raises(UserError, match=message):
        execute(tree)


def test_a_run_with_an_adapter_is_handed_over(tmp_path):
    """To peft, which gets the adapter alone; and as a run of its own, which needs no base any more."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from firsthand.experiments.handing_over import OURS

    (tmp_path / "text.txt").write_text("".join(LINES) * 6)
    data = DATA | {"source": str(tmp_path / "text.txt")}
    model = {"preset": "llama", **MODEL, "dropout": 0.0}
    tree = {"run": {"dir": str(tmp_path / "run")}, "data": data, "tokenizer": "byte", "model": model, "train": TRAIN}
    execute(config.parse(tree, "test"))
    execute(tuned(tmp_path, tmp_path / "taught", {"adapter": LORA}))
    OURS["firsthand"][0](str(tmp_path / "taught"), tmp_path / "alone")
    OURS["peft"][0](str(tmp_path / "taught"), tmp_path / "adapter")
    EXPORTS["hf"].write(find(tmp_path / "run"), tmp_path / "base", "fp32")
    expected = weights(tmp_path / "taught")
    assert all(torch.equal(expected[name], tensor) for name, tensor in weights(tmp_path / "alone").items())
    ids = torch.arange(12)[None] + 60
    with torch.no_grad():
        ours = firsthand.load(tmp_path / "taught")[0](ids)
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
        assert (theirs(ids).logits - ours).abs().max() > 0.01
        torch.testing.assert_close(PeftModel.from_pretrained(theirs, tmp_path / "adapter")(ids).logits, ours)
    with pytest.raises(UserError, match="has no adapter"):
        OURS["peft"][0](str(tmp_path / "run"), tmp_path / "none")
