"""The template that lies beside a tokenizer."""

import json

import pytest

from firsthand.errors import DamagedError, UserError
from firsthand.tokens import of_json
from firsthand.tokens.template.folder import template_in
from firsthand.types import Message

SOURCE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n{% endfor %}"


@pytest.fixture
def tokenizer(families):
    return of_json(families["smollm"])


def _write(folder, **config):
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def test_it_is_found_in_each_place(tmp_path, tokenizer):
    assert template_in(tmp_path, tokenizer) is None
    _write(tmp_path, eos_token={"content": "<|im_end|>", "lstrip": False}, chat_template=SOURCE, pad_token=None)
    first = template_in(tmp_path, tokenizer)
    assert first.names == {"eos_token": "<|im_end|>"}
    assert tokenizer.decode(first.encode([Message("user", "a")]).ids) == "<|im_start|>user\na<|im_end|>\n"
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": SOURCE}]
    _write(tmp_path, eos_token="<|im_end|>", chat_template=several)
    assert template_in(tmp_path, tokenizer).source == SOURCE
    (tmp_path / "chat_template.jinja").write_text("!" + SOURCE, encoding="utf-8")
    assert template_in(tmp_path, tokenizer).source == "!" + SOURCE


@pytest.mark.parametrize("raw", ["[", "[1]", "[" * 100_000, "7"])
def test_settings_that_are_none_are_damaged(tmp_path, tokenizer, raw):
    (tmp_path / "tokenizer_config.json").write_text(raw, encoding="utf-8")
    with pytest.raises(DamagedError, match=r"tokenizer_config\.json"):
        template_in(tmp_path, tokenizer)


@pytest.mark.parametrize("strange", [7, None, {}, [], [7], [{"name": "rag", "template": "x"}], ""])
def test_a_field_that_holds_no_template_is_none(tmp_path, tokenizer, strange):
    _write(tmp_path, chat_template=strange, eos_token=[1])
    assert template_in(tmp_path, tokenizer) is None


def test_a_template_that_cannot_be_used_says_so(tmp_path, tokenizer):
    _write(tmp_path, chat_template="{{ cycler() }}")
    with pytest.raises(UserError, match="chat template cannot be used"):
        template_in(tmp_path, tokenizer)
