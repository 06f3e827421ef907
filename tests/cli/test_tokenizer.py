"""`firsthand tokenizer`: train, encode, compare."""

import io
import json
import sys

import pytest
import tokenizers

from firsthand.cli import main
from firsthand.tokens import load

TEXT = "To be, or not to be: that is the question.\nWhether 'tis nobler in the mind to suffer\n"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i:02}.txt").write_text(f"Scene {i}. {TEXT * 20} The end of scene {i}.", encoding="utf-8")
    return str(folder)


@pytest.fixture
def firsthand(capsys):
    """Runs the program; gives back exit code, standard output and standard error."""

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["tokenizer", *arguments])
        return (exit_.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def trained(firsthand, source, tmp_path):
    folder = tmp_path / "bpe"
    assert firsthand("train", source, "--out", str(folder), "--vocab-size", "300")[0] == 0
    return folder


def test_train_writes_a_file_that_both_can_read(firsthand, source, tmp_path):
    folder = tmp_path / "made"
    arguments = ["--out", str(folder), "--vocab-size", "290", "--special", "<|user|>", "--split", "cl100k", "--json"]
    code, out, _ = firsthand("train", source, *arguments)
    report = json.loads(out)
    assert code == 0
    assert report["special_tokens"] == {"<|endoftext|>": 288, "<|user|>": 289}
    assert load(folder).vocab_size == report["vocab_size"] == 290
    ids = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT).ids
    assert ids == load(folder).encode(TEXT)


@pytest.mark.parametrize("kind", ["char", "byte", "word", "wordpiece"])
def test_every_kind_is_trained(firsthand, source, tmp_path, kind):
    code, out, _ = firsthand("train", source, "--out", str(tmp_path / kind), "--kind", kind)
    assert code == 0
    assert kind in out
    assert load(tmp_path / kind).kind == kind


def test_an_existing_tokenizer_is_replaced_only_on_request(firsthand, source, trained):
    code, _, said = firsthand("train", source, "--out", str(trained), "--kind", "char")
    assert (code, load(trained).kind) == (1, "bpe")
    assert "--overwrite" in said
    code, _, _ = firsthand("train", source, "--out", str(trained), "--kind", "char", "--overwrite")
    assert (code, load(trained).kind) == (0, "char")


def test_encode_shows_every_token_with_its_id(firsthand, trained):
    code, out, _ = firsthand("encode", str(trained), "to be\n\x1b[2J")
    ids = load(trained).encode("to be\n\x1b[2J")
    assert code == 0
    assert all(str(id) in out for id in ids)
    assert "\x1b[2J" not in out
    assert f"{len(ids)} tokens for 10 bytes" in out


def test_encode_as_json_reads_standard_input_byte_for_byte(firsthand, trained, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"to be\xff<|endoftext|>")))
    code, out, _ = firsthand("encode", str(trained), "--json")
    value = json.loads(out)
    assert code == 0
    assert value["ids"] == load(trained).encode("to be\udcff<|endoftext|>")
    assert value["round_trip"] is True
    assert len(value["tokens"]) == len(value["ids"])


def test_encode_finds_the_tokenizer_of_a_run(firsthand, trained, tmp_path):
    for step in ("step-000000010", "step-000000020"):
        load(trained).save(tmp_path / "run" / "checkpoints" / step)
    code, out, _ = firsthand("encode", str(tmp_path / "run"), "to be", "--json")
    assert code == 0
    assert json.loads(out)["ids"] == load(trained).encode("to be")


def test_compare_trains_all_kinds_on_the_same_text(firsthand, source):
    code, out, _ = firsthand("compare", "--source", source, "--vocab-size", "300", "--json")
    report = json.loads(out)
    assert code == 0
    assert list(report["tokenizers"]) == ["char", "byte", "word", "bpe", "wordpiece"]
    figures = report["tokenizers"]
    assert figures["byte"]["bytes_per_token"] == 1
    assert figures["bpe"]["bytes_per_token"] > 2
    assert figures["bpe"]["vocab_size"] == 300
    assert figures["word"]["vocab_size"] < 60  # all that there are
    assert figures["bpe"]["round_trip"] is True


def test_compare_shows_tables_and_tokens(firsthand, source, trained):
    code, out, _ = firsthand("compare", "byte", str(trained), "--source", source)
    assert code == 0
    assert "bytes/token" in out
    assert "Devanagari" in out
    assert "any text" in out
    assert "t|h|e" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "SOURCE", "--out", "OUT", "--kind", "bpr"], "Did you mean 'bpe'?"),
        (["train", "SOURCE", "--out", "OUT", "--kind", "word", "--split", "gpt2"], "--split is for bpe"),
        (["train", "SOURCE", "--out", "OUT", "--split", "gpt3"], "Did you mean 'gpt2'?"),
        (["train", "SOURCE", "--out", "OUT", "--vocab-size", "90000"], "Set vocab_size="),
        (["train", "SOURCE", "--out", "OUT", "--special", "x"], "cannot be a special token"),
        (["train", "nothing-here.txt", "--out", "OUT"], "nothing-here.txt"),
        (["encode", "OUT", "text"], "There is no tokenizer"),
        (["compare", "OUT", "--source", "SOURCE"], "There is no tokenizer"),
    ],
)
def test_slips_are_told_in_a_paragraph(firsthand, source, tmp_path, arguments, message):
    places = {"SOURCE": source, "OUT": str(tmp_path / "out")}
    code, out, said = firsthand(*(places.get(word, word) for word in arguments), "--json")
    assert code == 1
    assert message in json.loads(out)["error"]
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_has_its_own_exit_code(firsthand, trained):
    (trained / "tokenizer.json").write_text("{", encoding="utf-8")
    assert firsthand("encode", str(trained), "x")[0] == 3
