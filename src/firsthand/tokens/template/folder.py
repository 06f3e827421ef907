"""The chat template of a Hugging Face folder: chat_template.jinja, or a field of tokenizer_config.json."""

import json
from pathlib import Path
from typing import Any

from firsthand.errors import DamagedError
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import ChatTemplate

LARGEST = 1 << 22
NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "eot_token")


def template_in(folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The template that lies in `folder`, None where there is none.

    DamagedError for a file that is no JSON of that shape, UserError for a template that cannot be used.
    """
    config = _read(folder / "tokenizer_config.json")
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


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.stat().st_size > LARGEST:
        raise DamagedError(f"{path} is larger than {LARGEST >> 20} MiB, the most that it may have.")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not valid JSON ({error!s:.100}). Copy it again.") from None
    if not isinstance(config, dict):
        raise DamagedError(f"{path} is JSON but no table of settings. Copy it again.")
    return config


def _text(token: Any) -> str:
    """A token's text, which files write as it is or with its settings."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else ""
