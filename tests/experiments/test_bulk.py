"""From sources straight into token shards: the ids of the slow way, whatever the workers; flat memory; and runs."""

import json
import subprocess
import sys

import numpy as np
import pytest

from firsthand import config, tokens
from firsthand.cli import main
from firsthand.data.shards import Tokens
from firsthand.errors import DamagedError, UserError
from firsthand.experiments.run import execute
from firsthand.text.pipeline import prepare, read_split
from firsthand.tokens import TOKENIZERS, fast

WORDS = ["the", "king", "and", "queen", "saw", "a", "fool", "by", "night,", "it", "was", "not", "king's", "fault"]


def line(number):
    return " ".join(WORDS[(number * n + n * n) % len(WORDS)] for n in range(1, 9)) + f" {number}.\n"


@pytest.fixture
def source(tmp_path):
    """Short documents, one that is longer than a batch, and one without a space."""
    texts = ["".join(map(line, range(start, start + 5))) for start in range(0, 200, 5)]
    texts += ["".join(map(line, range(1000, 8000))), "國王看見了，夜裡的傻子。" * 3000]
    path = tmp_path / "source.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


@pytest.fixture
def tokenizer(source, tmp_path):
    made = TOKENIZERS["bpe"].train(["".join(map(line, range(2000)))], 400)
    made.save(tmp_path / "tokenizer")
    return made


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", *map(str, arguments)])
    return int(stop.value.code or 0)


def test_shards_are_the_same_bytes_whatever_the_workers_and_the_ids_those_of_each_text(
    source, tokenizer, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(fast, "BATCH", 20_000)
    for workers in (1, 2):
        options = ("--tokenizer", tmp_path / "tokenizer", "--workers", workers, "--test", 0.1, "--json")
        assert run(source, "--out", tmp_path / f"tokens-{workers}", *options) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    prepare(str(source), tmp_path / "text", test=0.1)
    for split in ("train", "validation", "test"):
        one, two = tmp_path / "tokens-1" / split, tmp_path / "tokens-2" / split
        assert {path.name: path.read_bytes() for path in one.iterdir()} == {
            path.name: path.read_bytes() for path in two.iterdir()
        }
        found, documents = Tokens.open(two, verify=True), list(read_split(tmp_path / "text", split))
        ids = [id for document in documents for id in (*tokenizer.encode(document.text), tokenizer.end_of_text)]
        assert found.slice(0, len(found)).tolist() == ids
        assert found.names == [document.name for document in documents]
        assert report["splits"][split]["tokens"] == len(ids)
        assert report["splits"][split]["documents"] == len(documents) > 0


MEMORY = """
import resource, sys
from pathlib import Path
from firsthand.data.write import Shards
from firsthand.tokens import TOKENIZERS
from firsthand.tokens.fast import encode_parts

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def write(name, text):
    with Shards(Path(sys.argv[1]) / name, 257, 256) as shards:
        for parts in encode_parts(tokenizer, [text], 1):
            shards.write(parts)
    return shards.tokens

tokenizer = TOKENIZERS["byte"].train([])
text = "a line of some words\\n" * 2_000_000
write("small", text[:4_000_000])
before = peak()
print(write("large", text) - len(text), peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no getrusage")
def test_one_document_of_42_mb_takes_no_more_memory_than_one_of_4(tmp_path):
    """Its ids are 84 MB."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    more, growth = map(int, done.stdout.split())
    assert more == 1  # the end of the document
    assert growth < 20e6


def tree(tmp_path, *settings):
    return config.parse(
        {
            "run": {"dir": str(tmp_path / "run")},
            "data": {"source": str(tmp_path / "shards"), "batch_tokens": 64},
            "tokenizer": str(tmp_path / "shards"),
            "model": {"n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 16},
            "train": {"steps": 2, "save_every": 1, "threads": 1, "precision": "fp32"},
        },
        "test",
    )


def test_a_run_trains_on_them_where_they_lie(source, tokenizer, tmp_path):
    assert run(source, "--out", tmp_path / "shards", "--tokenizer", tmp_path / "tokenizer", "--json") == 0
    summary = execute(tree(tmp_path))
    assert summary["steps"] == 2
    assert np.isfinite(summary["validation_loss"])
    assert tokens.fingerprint(tokens.load(tmp_path / "run" / "data")) == tokens.fingerprint(tokenizer)
    assert sorted(path.name for path in (tmp_path / "run" / "data").iterdir()) == ["summary.json", "tokenizer.json"]
    options = ("--tokenizer", tmp_path / "tokenizer", "--overwrite", "--validation", 0.3, "--json")
    assert run(source, "--out", tmp_path / "shards", *options) == 0
    with pytest.raises(DamagedError, match="other tokens than when this run began"):
        execute(tree(tmp_path), resume=True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tokenizer", "char", "tokens of its own tokenizer.*Set tokenizer="),
        ("data.validation", "tail:0.1", "held out when it"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(source, tokenizer, tmp_path, key, value, message):
    assert run(source, "--out", tmp_path / "shards", "--tokenizer", tmp_path / "tokenizer", "--json") == 0
    with pytest.raises(UserError, match=message):
        execute(config.replaced(tree(tmp_path), {key: value}))


def test_without_documents_held_out_there_is_no_run(source, tokenizer, tmp_path):
    options = ("--tokenizer", tmp_path / "tokenizer", "--validation", 0, "--json")
    assert run(source, "--out", tmp_path / "shards", *options) == 0
    with pytest.raises(UserError, match="Prepare it with --validation"):
        execute(tree(tmp_path))


def test_nothing_is_left_of_what_failed(source, tokenizer, tmp_path, capsys):
    before = sorted(path.name for path in tmp_path.iterdir())
    with source.open("a") as file:
        file.write("no JSON\n")
    assert run(source, "--out", tmp_path / "shards", "--tokenizer", tmp_path / "tokenizer") == 1
    assert "is not JSON" in capsys.readouterr().err
    assert run(source, "--out", tmp_path / "shards", "--tokenizer", tmp_path / "tokenizer", "--zstd") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
