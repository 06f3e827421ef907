"""`firsthand eval` on real checkpoints of models that have learnt nothing."""

import json
import math

import pytest
import torch

from firsthand import checkpoint
from firsthand.assemble import description, make_model
from firsthand.cli import main
from firsthand.config import Config
from firsthand.data.packing import windows
from firsthand.experiments import evaluation
from firsthand.opened import load
from firsthand.tokens import TOKENIZERS
from firsthand.types import IGNORE

TEXT = "To be, or not to be: that is the question. Naïve 😀 slings and arrows.\n" * 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    config = Config.model_validate({"model": {"d_model": 32, "n_layers": 2, "n_heads": 2, "context_length": 32}})
    tokenizer = TOKENIZERS["bpe"].train([TEXT], vocab_size=300)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_model(config, tokenizer.vocab_size)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    content = json.dumps(tokenizer.to_json()).encode()
    weights = dict(model.named_parameters())
    checkpoint.save(folder / "checkpoints", 1, weights, {}, {}, description(config, tokenizer), content)
    return str(folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.txt").write_text(TEXT)
    (folder / "texts.jsonl").write_text("\n".join(json.dumps({"text": TEXT[i:]}) for i in range(5)))
    records = [{"q": "To be", "a": ["or not", "arrows"], "right": n % 2} for n in range(6)]
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, records)))
    common = 'data: records.jsonl\nprompt: "{q}"\n'
    (folder / "choice.yaml").write_text(f'kind: choice\n{common}choices: "{{a}}"\nanswer: "{{right}}"\n')
    (folder / "write.yaml").write_text(f'kind: generate\n{common}answer: "{{a.0}}"\nmax_tokens: 4\nmetrics: [f1]\n')
    return folder


@pytest.fixture
def firsthand(capsys):
    """Runs the program; gives back exit code, standard output and standard error."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def test_texts(firsthand, run, files):
    code, out, _ = firsthand("eval", run, "--data", files / "text.txt", "--json")
    assert code == 0
    found = json.loads(out)
    model, tokenizer = load(run)
    ids = torch.tensor(tokenizer.encode(TEXT))
    x, y = windows(ids, 32)
    with torch.no_grad():
        nats = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=IGNORE).item()
    size = len(TEXT.encode()) - len(tokenizer.decode_bytes(ids[:1].tolist()))
    assert found["nats_per_token"] == pytest.approx(nats, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats), rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(nats * (len(ids) - 1) / math.log(2) / size, rel=1e-5)
    assert (found["tokens"], found["bytes"], found["documents"]) == (len(ids) - 1, size, 1)
    figure = found["figures"]["bits_per_byte"]
    assert figure["low"] < figure["value"] < figure["high"]
    assert found["complete"]


def test_more_context_by_a_stride(firsthand, run, files):
    said = [firsthand("eval", run, "--data", files / "texts.jsonl", "--json", "--stride", n)[1] for n in (32, 8)]
    wide, close = map(json.loads, said)
    assert wide["tokens"] == close["tokens"]
    assert wide["nats_per_token"] != close["nats_per_token"]
    assert close["samples"] > wide["samples"]
    limited = json.loads(firsthand("eval", run, "--data", files / "texts.jsonl", "--json", "--limit", 2)[1])
    assert limited["documents"] == 2


def test_tasks_and_what_they_leave(firsthand, run, files, tmp_path):
    arguments = ["eval", run, "--task", files / "choice.yaml", "--task", files / "write.yaml", "--out", tmp_path / "o"]
    code, out, _ = firsthand(*arguments, "--json", "--seed", 3)
    assert code == 0
    found = json.loads(out)
    assert found["tasks"]["choice"]["figures"]["accuracy"]["value"] == 0.5
    assert found["tasks"]["write"]["samples"] == found["tasks"]["write"]["of"] == 6
    assert json.loads((tmp_path / "o" / "results.json").read_text()) == found
    lines = (tmp_path / "o" / "samples-tasks-choice.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(6))
    assert set(json.loads(lines[0])) == {"number", "prompt", "right", "answer", "scores", "details"}
    assert not list((tmp_path / "o").glob("*.partial"))
    code, out, _ = firsthand(*arguments, "--limit", 4)
    assert code == 0
    assert "accuracy per byte" in out
    assert "95 % interval" in out
    assert "wrote" in out


def test_what_was_done_before_an_interruption_is_reported(firsthand, run, files, monkeypatch):
    whole = evaluation.ask

    def interrupted(*arguments):
        for number, sample in enumerate(whole(*arguments)):
            if number == 3:
                raise KeyboardInterrupt
            yield sample

    monkeypatch.setattr(evaluation, "ask", interrupted)
    code, out, _ = firsthand("eval", run, "--task", files / "choice.yaml", "--task", files / "write.yaml", "--json")
    found = json.loads(out)
    assert code == 130
    assert (found["complete"], set(found["tasks"])) == (False, {"choice"})
    assert (found["tasks"]["choice"]["samples"], found["tasks"]["choice"]["of"]) == (3, 6)
    code, out, _ = firsthand("eval", run, "--task", files / "choice.yaml")
    assert code == 130
    assert "Interrupted" in out
    assert "3 of 6" in out


def test_refusals(firsthand, run, files):
    for arguments, says in (
        ([], "Nothing to evaluate on"),
        (["--data", files / "none.txt"], "no file"),
        (["--data", files / "text.txt", "--chat"], "no chat template"),
        (["--data", files / "text.txt", "--stride", 99], "between 1 and the window"),
        (["--data", files / "text.txt", "--precision", "fp8"], "precision"),
        (["--data", files / "text.txt", "--window", 64], "A window of 64 tokens"),
        (["--task", files / "choice.yaml", "--task", files / "choice.yaml"], "Two tasks are called"),
        (["--task", files / "records.jsonl"], "not YAML"),
    ):
        code, out, err = firsthand("eval", run, *arguments, "--json")
        assert code == 1, arguments
        assert says in json.loads(out)["error"]
        assert says in err
