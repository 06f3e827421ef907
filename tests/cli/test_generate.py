"""`firsthand generate` on a real checkpoint of a model that has learnt nothing."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch

from firsthand import checkpoint
from firsthand.assemble import description, make_model
from firsthand.cli import main
from firsthand.config import Config
from firsthand.generate import decode
from firsthand.tokens import TOKENIZERS

PARTS = Path(__file__).parents[1] / "parts"
TEXT = "To be, or not to be: that is the question. \x1b[31m naïve 😀\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with one checkpoint: a character model with a context of 16 tokens."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    config = Config.model_validate({"model": {"d_model": 32, "n_layers": 2, "n_heads": 2, "context_length": 16}})
    tokenizer = TOKENIZERS["char"].train([TEXT])
    assert tokenizer.end_of_text == tokenizer.vocab_size - 1
    model = make_model(config, tokenizer.vocab_size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # zero projections would make every text the same
    weights = dict(model.named_parameters())
    content = json.dumps(tokenizer.to_json()).encode()
    checkpoint.save(folder / "checkpoints", 1, weights, {}, {}, description(config, tokenizer), content)
    return str(folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run whose mixer comes from a file that stands beside it and notes that it was imported."""
    folder = tmp_path_factory.mktemp("own")
    code = (PARTS / "mixers.py").read_text() + f"\nopen({str(folder / 'imported')!r}, 'w').close()\n"
    (folder / "idea.py").write_text(code)
    mixer = f"{folder / 'idea.py'}:Sound"
    model = {"d_model": 32, "n_layers": 2, "n_heads": 2, "context_length": 16, "mixer": mixer}
    config = Config.model_validate({"model": model})
    tokenizer = TOKENIZERS["char"].train([TEXT])
    weights = dict(make_model(config, tokenizer.vocab_size).named_parameters())
    content = json.dumps(tokenizer.to_json()).encode()
    checkpoint.save(folder / "checkpoints", 1, weights, {}, {}, description(config, tokenizer), content)
    (folder / "imported").unlink()
    return folder


@pytest.fixture(autouse=True)
def never_ending(monkeypatch):
    """A model that has learnt nothing would end its text anywhere."""
    draw = decode.sample

    def without_end(logits, **settings):
        return draw(logits.index_fill(1, torch.tensor([logits.shape[1] - 1]), -100.0), **settings)

    monkeypatch.setattr(decode, "sample", without_end)


@pytest.fixture
def firsthand(capsys):
    """Runs the program; gives back exit code, standard output and standard error."""

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(list(arguments))
        return (exit_.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def as_json(firsthand, run):
    """`generate RUN … --json`, which must work."""

    def call(*arguments):
        code, out, _ = firsthand("generate", run, "--json", *arguments)
        assert code == 0
        return json.loads(out)

    return call


def test_one_prompt_as_json(as_json):
    value = as_json("--prompt", "To be", "--max-tokens", "9", "--temperature", "0.7", "--seed", "3")
    assert value["prompt"] == "To be"
    assert (value["tokens"], value["finish"], value["slid"], value["seed"]) == (9, "length", False, 3)
    assert value["tokens_per_second"] > 0
    assert value["completions"] == [{key: value[key] for key in value["completions"][0]}]
    assert (
        value["text"]
        == as_json("--prompt", "To be", "--max-tokens", "9", "--temperature", "0.7", "--seed", "3")["text"]
    )


def test_without_a_seed_another_one_is_drawn_and_told(as_json):
    first, second = (as_json("--max-tokens", "9") for _ in range(2))
    assert first["seed"] != second["seed"]
    assert as_json("--max-tokens", "9", "--seed", str(first["seed"]))["text"] == first["text"]


def test_several_prompts_as_json_and_as_text(as_json, firsthand, run):
    arguments = ["--prompt", "To", "--prompt", "not to be", "--prompt", "", "--max-tokens", "5", "--seed", "1"]
    value = as_json(*arguments)
    assert "text" not in value
    assert [completion["prompt"] for completion in value["completions"]] == ["To", "not to be", ""]
    code, out, err = firsthand("generate", run, *arguments)
    assert code == 0
    wanted = [completion["prompt"] + completion["text"] for completion in value["completions"]]
    printed = "".join(f"── {number} of 3 ──\n{text}\n" for number, text in enumerate(wanted, 1))
    assert out == printed.replace("\x1b", "")
    assert "15 tokens" in err
    assert "seed 1" in err


def test_temperature_zero_needs_no_seed(as_json):
    greedy = ["--temperature", "0", "--max-tokens", "9"]
    assert as_json(*greedy, "--seed", "1")["text"] == as_json(*greedy)["text"]


def test_every_filter_reaches_the_draw(as_json):
    greedy = as_json("--temperature", "0", "--max-tokens", "12")["text"]
    for setting in (["--top-k", "1"], ["--top-p", "0.0001"], ["--min-p", "1"]):
        assert as_json(*setting, "--max-tokens", "12")["text"] == greedy
    assert as_json("--temperature", "0", "--max-tokens", "12", "--repetition-penalty", "1e9")["text"] != greedy


def test_stop_strings(as_json):
    text = as_json("--seed", "1", "--max-tokens", "12")["text"]
    value = as_json("--seed", "1", "--max-tokens", "12", "--stop", text[4:6], "--stop", "never")
    assert (value["text"], value["finish"]) == (text[: text.index(text[4:6])], "stop")


def test_s13_a_terminal_gets_no_commands_and_json_the_exact_text(as_json, firsthand, run):
    arguments = ["--prompt", "\x1b[31m", "--max-tokens", "120", "--seed", "1", "--temperature", "3"]
    value = as_json(*arguments)
    assert "\x1b" in value["text"]
    code, out, _ = firsthand("generate", run, *arguments)
    assert code == 0
    assert out == (value["prompt"] + value["text"]).replace("\x1b", "") + "\n"


def test_a_prompt_from_standard_input(as_json, firsthand, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("To be 😀\n".encode())))
    assert as_json("--prompt", "-", "--max-tokens", "2")["prompt"] == "To be 😀\n"
    code, _, err = firsthand("generate", run, "--prompt", "-", "--prompt", "-")
    assert code == 1
    assert "only once" in err


def test_bytes_that_are_no_text_become_unknown_characters(firsthand, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"To \xff be")))
    code, out, err = firsthand("generate", run, "--prompt", "-", "--max-tokens", "2", "--json")
    assert code == 0
    assert json.loads(out)["prompt"] == "To � be"
    assert "1 of its tokens as <unk>" in err


def test_limits_are_told_in_one_line_each(firsthand, run):
    code, out, err = firsthand("generate", run, "--prompt", "To be, or not to be: ™", "--max-tokens", "3", "--json")
    assert code == 0
    value = json.loads(out)
    assert (value["dropped"], value["slid"], value["unknown"]) == (6, True, 1)
    assert len(err.splitlines()) == 3
    for words in ("first 6", "<unk>", "last half"):
        assert words in err


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--temperature", "-1"], "temperature"),
        (["--top-p", "1.5"], "top_p"),
        (["--top-k", "0"], "top_k"),
        (["--min-p", "2"], "min_p"),
        (["--repetition-penalty", "0"], "repetition_penalty"),
        (["--max-tokens", "0"], "max_tokens"),
        (["--stop", ""], "stop"),
    ],
)
def test_bad_settings_are_one_paragraph(firsthand, run, arguments, name):
    code, out, err = firsthand("generate", run, *arguments)
    assert (code, len(err.splitlines())) == (1, 1)
    assert name in err
    assert out == ""


def test_a_run_that_does_not_exist(firsthand, tmp_path):
    code, _, err = firsthand("generate", str(tmp_path / "none"))
    assert code == 1
    assert "none" in err


def test_a_part_from_a_file_is_not_imported_unless_it_is_named(firsthand, own):
    code, out, err = firsthand("generate", str(own))
    assert (code, out) == (1, "")
    assert err.endswith(f"name the part again on the command line: model.mixer={own / 'idea.py'}:Sound\n")
    assert not (own / "imported").exists()


def test_a_part_that_is_named_again_writes(firsthand, own):
    first = firsthand("generate", str(own), f"model.mixer={own / 'idea.py'}:Sound", "--seed", "1", "--max-tokens", "8")
    assert first[0] == 0
    assert len(first[1].strip()) > 0
    moved = own / "elsewhere.py"
    moved.write_text((own / "idea.py").read_text())
    again = firsthand("generate", str(own), f"model.mixer={moved}:Sound", "--seed", "1", "--max-tokens", "8")
    assert again[:2] == first[:2]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("model.mixer=attention", "names no part of this model"),
        ("model.mixr=a.py:Sound", "A model has no part called 'model.mixr'."),
        ("model.ffn=a.py:Sound", "model.ffn=a.py:Sound names no part of this model: its model.ffn is"),
        ("mixer", "'mixer' is not an override."),
    ],
)
def test_what_else_is_named_is_refused(firsthand, run, part, words):
    code, out, err = firsthand("generate", run, part)
    assert (code, out) == (1, "")
    assert words in err
