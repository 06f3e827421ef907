"""`firsthand export` and `firsthand import`: there and back, for people and for programs."""

import json

import pytest
import torch

from firsthand import checkpoint, tokens
from firsthand.assemble import description
from firsthand.cli import main
from firsthand.config import parse
from firsthand.model.make import build_model
from firsthand.opened import load

MODEL = {"preset": "llama", "n_layers": 2, "d_model": 16, "n_heads": 2, "context_length": 32}


@pytest.fixture
def run(tmp_path):
    """The folder of a run with one checkpoint."""
    tokenizer = tokens.TOKENIZERS["byte"].train([])
    tokenizer.save(tmp_path / "tokenizer")
    torch.manual_seed(0)
    model = build_model(MODEL, tokenizer.vocab_size)
    saved = {name: parameter.detach() for name, parameter in model.named_parameters()}
    content = description(parse({"model": MODEL}, "The test"), tokenizer)
    where = tmp_path / "tokenizer" / "tokenizer.json"
    checkpoint.save(tmp_path / "run" / "checkpoints", 7, saved, {}, {}, content, where)
    return tmp_path / "run"


def said(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code, capsys.readouterr()


def test_out_and_in_again(run, tmp_path, capsys):
    code, printed = said(capsys, "export", run, "--out", tmp_path / "hf", "--json")
    assert code == 0, printed.err
    report = json.loads(printed.out)
    assert report["format"] == "hf"
    assert report["files"][str(tmp_path / "hf" / "model.safetensors")] > 4 * 16 * 256
    code, printed = said(capsys, "import", tmp_path / "hf", "--out", tmp_path / "back", "--json")
    assert code == 0, printed.err
    report = json.loads(printed.out)
    assert report["chat"] is False
    (ours, words), (back, others) = load(run), load(tmp_path / "back")
    assert report["parameters"] == sum(parameter.numel() for parameter in ours.parameters())
    assert words.encode("both") == others.encode("both")
    for (name, one), (other_name, other) in zip(ours.named_parameters(), back.named_parameters(), strict=True):
        assert name == other_name
        assert torch.equal(one, other)


def test_an_imported_model_and_the_folder_itself_both_write(run, tmp_path, capsys):
    said(capsys, "export", run, "--out", tmp_path / "hf")
    code, printed = said(capsys, "import", tmp_path / "hf", "--out", tmp_path / "back")
    assert code == 0
    assert "2 layers" in printed.out
    texts = []
    for place in (run, tmp_path / "hf", tmp_path / "back"):
        words = ("--prompt", "a", "--max-tokens", 5, "--temperature", 0, "--engine", "torch", "--threads", 1, "--json")
        code, printed = said(capsys, "generate", place, *words)
        assert code == 0, printed.err
        texts.append(json.loads(printed.out)["text"])
    assert texts[0] == texts[1] == texts[2] != ""


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--format", "onnx"], "no format 'onnx'"),
        (["--dtype", "int3"], "no dtype 'int3'"),
    ],
)
def test_slips_are_answered(run, tmp_path, capsys, words, answer):
    code, printed = said(capsys, "export", run, "--out", tmp_path / "hf", *words)
    assert code == 1
    assert answer in printed.err
    assert not (tmp_path / "hf").exists()


def test_nothing_is_written_over(run, tmp_path, capsys):
    for words in (("export", run, "--out", run), ("import", tmp_path / "tokenizer", "--out", run)):
        code, printed = said(capsys, *words)
        assert code == 1
        assert "is there already" in printed.err


def test_what_is_no_model(tmp_path, capsys):
    code, printed = said(capsys, "import", tmp_path, "--out", tmp_path / "out")
    assert code == 1
    assert "neither" in printed.err
    code, printed = said(capsys, "import", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert code == 1
    assert "There is no" in printed.err
