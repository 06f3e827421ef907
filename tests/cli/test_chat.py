"""`firsthand chat` on a real checkpoint of a model that has learnt nothing."""

import io
import json
import sys

import pytest
import torch
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from firsthand import checkpoint
from firsthand.assemble import description, make_model
from firsthand.cli import chat as module
from firsthand.cli import main, terminal
from firsthand.config import Config
from firsthand.generate import decode
from firsthand.tokens import TOKENIZERS
from firsthand.tokens.chat import CHATML, END, START, ChatTemplate


def saved(folder, special_tokens, template):
    config = Config.model_validate({"model": {"d_model": 32, "n_layers": 2, "n_heads": 2, "context_length": 128}})
    tokenizer = TOKENIZERS["byte"].train([], special_tokens=special_tokens)
    weights = dict(make_model(config, tokenizer.vocab_size).named_parameters())
    for parameter in weights.values():
        torch.nn.init.normal_(parameter, std=0.1)
    told = description(config, tokenizer, None, ChatTemplate(CHATML, tokenizer) if template else None)
    content = json.dumps(tokenizer.to_json()).encode()
    checkpoint.save(folder / "checkpoints", 1, weights, {}, {}, told, content)
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three runs: one that was taught to talk, one that has the marks but no template, one without either."""
    folder = tmp_path_factory.mktemp("runs")
    marks = ("<|endoftext|>", START, END)
    return {
        "chat": saved(folder / "chat", marks, True),
        "marks": saved(folder / "marks", marks, False),
        "plain": saved(folder / "plain", ("<|endoftext|>",), False),
    }


@pytest.fixture(autouse=True)
def only_letters(monkeypatch):
    """And sometimes a command to the terminal."""
    draw = decode.sample

    def drawn(logits, **settings):
        barred = torch.ones(logits.shape[1], dtype=torch.bool)
        barred[[ord(letter) for letter in "abcdefgh\x1b"]] = False
        return draw(logits.masked_fill(barred, -100.0), **settings)

    monkeypatch.setattr(decode, "sample", drawn)


@pytest.fixture
def firsthand(capsys, models):
    """`chat` with the model of that name: exit code, standard output and standard error."""

    def call(model, *arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["chat", models[model], "--threads", "1", "--max-tokens", "6", *arguments])
        return (exit_.value.code, *capsys.readouterr())

    return call


def test_prompts_are_turns_of_one_conversation(firsthand):
    arguments = ["--prompt", "Hello", "--prompt", "How?", "--system", "Be brief.", "--seed", "3", "--temperature", "1"]
    code, out, _ = firsthand("chat", *arguments, "--json")
    assert code == 0
    value = json.loads(out)
    assert [message["role"] for message in value["messages"]] == ["system", *["user", "assistant"] * 2]
    assert [message["content"] for message in value["messages"][:2]] == ["Be brief.", "Hello"]
    assert (value["seed"], value["context_length"], value["tokens"]) == (3, 128, 12)
    first, second = value["answers"]
    assert first["text"] == value["messages"][2]["content"]
    assert (first["tokens"], first["finish"], first["read"]) == (6, "length", first["prompt_tokens"])
    assert second["read"] < second["prompt_tokens"]
    code, out, err = firsthand("chat", *arguments)
    assert (code, out) == (0, f"{first['text']}\n{second['text']}\n".replace("\x1b", ""))
    assert "wrote 6 at" in err
    assert "\x1b" not in err


def test_a_pipe_is_read_line_by_line_and_a_slash_is_text(firsthand, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"/quit\n\nna\xefve\n")))
    code, out, _ = firsthand("chat", "--json", "--seed", "1")
    value = json.loads(out)
    assert code == 0
    assert [message["content"] for message in value["messages"][::2]] == ["/quit", "na�ve"]
    assert len(value["answers"]) == 2


def test_a_question_that_is_too_long_fails_after_the_answers_before_it(firsthand):
    code, out, err = firsthand("chat", "--prompt", "Hello", "--prompt", "x" * 200)
    assert (code, len(out.splitlines())) == (1, 1)
    assert "too long" in err


def test_a_model_that_was_not_taught_to_talk_is_refused_with_advice(firsthand, models):
    code, _, err = firsthand("plain", "--prompt", "Hello")
    assert code == 1
    assert f"firsthand generate {models['plain']}" in err
    assert "fine-tune" in err
    code, _, err = firsthand("plain", "--prompt", "Hello", "--template", "chatml")
    assert code == 1
    assert START in err
    code, _, err = firsthand("marks", "--prompt", "Hello", "--template", "chatmll")
    assert (code, "Did you mean 'chatml'?" in err) == (1, True)
    assert firsthand("marks", "--prompt", "Hello", "--template", "chatml")[0] == 0


def test_settings_are_checked_before_the_model_is_opened(capsys):
    for setting in (["--temperature", "-1"], ["--engine", "steam"], ["--precision", "fp3"], ["--max-tokens", "0"]):
        with pytest.raises(SystemExit) as exit_:
            main(["chat", "no-such-model", "--prompt", "Hello", *setting])
        assert exit_.value.code == 1
        assert setting[1] in capsys.readouterr().err


def test_a_person_at_a_terminal(firsthand, monkeypatch, tmp_path):
    """Everything but the terminal itself: keys in, the answer out, the rest beside it."""
    monkeypatch.setenv("FIRSTHAND_CACHE", str(tmp_path))
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    reader = terminal.line_reader
    with create_pipe_input() as pipe:
        pipe.send_text("Hello\r/tokens\r/undo\r\x04")
        monkeypatch.setattr(module, "line_reader", lambda path: reader(path, input=pipe, output=DummyOutput()))
        code, out, err = firsthand("chat", "--seed", "1")
    assert code == 0
    assert len(out.splitlines()) == 1
    assert err.splitlines()[0].startswith("Opening ")
    assert "reads 128 tokens, seed 1" in err
    assert "of 128 tokens, 2 messages" in err
    assert "Taken back: Hello" in err
    assert "Hello" in (tmp_path / "chat" / "history").read_text()
