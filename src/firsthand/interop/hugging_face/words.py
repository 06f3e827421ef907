"""A folder's tokenizer and chat template, in and out."""

import sys
from pathlib import Path
from typing import Any

from firsthand import tokens
from firsthand.checkpoint import files
from firsthand.errors import UserError
from firsthand.interop.hugging_face.config import read_json
from firsthand.interop.imported import Imported
from firsthand.tokens import END_OF_TEXT, Tokenizer
from firsthand.tokens.chat import CHATML, ChatTemplate

JINJA, CONFIG = "chat_template.jinja", "tokenizer_config.json"
LARGEST_TEMPLATE = 1 << 20
CHATML_JINJA = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""Our built-in template as others write it."""


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer.json. UserError if there is none, or one that is not known here."""
    if files.size(folder / "tokenizer.json") is None:
        raise UserError(
            f"{folder} has no tokenizer.json. AutoTokenizer.from_pretrained(OLD).save_pretrained(NEW) of transformers "
            "writes one from older files (vocab.json and merges.txt, tokenizer.model)."
        )
    return tokens.load(folder)


def read_chat(folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The chat template, if there is one. One that is not supported is left out, with a line that says why."""
    source = _template(folder)
    if source is None:
        return None
    try:
        return ChatTemplate(source, tokenizer)
    except UserError as reason:
        sys.stderr.write(f"The chat template of {folder} is left out: {reason}\n")
        return None


def _template(folder: Path) -> str | None:
    size = files.size(folder / JINJA)
    if size is not None:
        if size > LARGEST_TEMPLATE:
            raise UserError(f"{folder / JINJA} is larger than any chat template ({LARGEST_TEMPLATE:,} bytes).")
        return (folder / JINJA).read_text(encoding="utf-8", errors="replace")
    if files.size(folder / CONFIG) is None:
        return None
    found = read_json(folder / CONFIG, 1 << 26).get("chat_template")
    if isinstance(found, list):  # several by name
        named = {str(each.get("name")): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def ends(model: Imported) -> list[int]:
    """The ids at which a text of this model ends, the usual one first."""
    stops = model.chat.stop_ids if model.chat else []
    try:
        return list(dict.fromkeys([*stops, model.tokenizer.end_of_text]))
    except UserError:
        return list(dict.fromkeys(stops))


def tokenizer_config(model: Imported) -> dict[str, Any]:
    """tokenizer_config.json, with the chat template."""
    names = {id: name for name, id in model.tokenizer.special_tokens.items()}
    known = [names[id] for id in ends(model) if id in names]
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "eos_token": known[0] if known else None,
        "bos_token": END_OF_TEXT if END_OF_TEXT in model.tokenizer.special_tokens else None,
        "pad_token": known[-1] if known else None,
    }
    if model.chat:
        config["chat_template"] = CHATML_JINJA if model.chat.source == CHATML else model.chat.source
    return config
