"""The chat template of a Hugging Face folder: chat_template.jinja, or a field of tokenizer_config.json."""

from pathlib import Path
from typing import Any

from firsthand.tables import LARGEST, read_table
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import ChatTemplate

NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "eot_token")


def template_in(folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The template that lies in `folder`, None where there is none.

    DamagedError for a file that is no JSON of that shape, UserError for a template that cannot be used.
    """
    settings = folder / "tokenizer_config.json"
    config = read_table(settings) if settings.is_file() else {}
    names = {name: _text(config.get(name)) for name in NAMES}
    loose = folder / "chat_template.jinja"
    if loose.is_file() and loose.stat().st_size <= LARGEST:
        source: Any = loose.read_text(encoding="utf-8", errors="replace")
    else:
        source = config.get("chat_template")
        if isinstance(source, list):  # several by name
            named = {each.get("name"): each.get("template") for each in source if isinstance(each, dict)}
            source = named.get("default")
    if not isinstance(source, str) or not source:
        return None
    return ChatTemplate(source, tokenizer, {name: text for name, text in names.items() if text})


def _text(token: Any) -> str:
    """A token's text, which files write as it is or with its settings."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else ""
