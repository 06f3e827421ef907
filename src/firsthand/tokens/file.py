"""tokenizer.json, Hugging Face's file: written so that `tokenizers` gives the same ids, read as if hostile."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from firsthand.errors import DamagedError, UserError

NAME = "tokenizer.json"
LARGEST_FILE = 1 << 26
LARGEST_VOCABULARY = 1 << 20
LONGEST_TOKEN = 1 << 12

_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = bytes([*_PRINTABLE, *(b for b in range(256) if b not in _PRINTABLE)])
"""The 256 bytes in GPT-2's order, printable ones first: byte-level BPE gives them the ids 0 to 255."""
_VISIBLE = dict(zip(BYTES, map(chr, [*_PRINTABLE, *range(256, 324)]), strict=True))
_BYTE = {char: byte for byte, char in _VISIBLE.items()}


def storable(text: str) -> bool:
    """Whether a file can hold `text`: lone surrogates have no UTF-8."""
    return text.isprintable() or not any("\ud800" <= char <= "\udfff" for char in text)


def show(token: bytes) -> str:
    """Any bytes as visible characters, as GPT-2's vocabulary writes them: a space is Ġ."""
    return "".join(map(_VISIBLE.__getitem__, token))


def unshow(token: str) -> bytes:
    """The bytes that `show` made visible. DamagedError for a character that stands for no byte."""
    try:
        return bytes(map(_BYTE.__getitem__, token))
    except KeyError:
        raise DamagedError(f"The token {token!r} is not in the byte alphabet of byte-level BPE.") from None


def tree(
    model: dict[str, Any],
    pre_tokenizer: dict[str, Any],
    decoder: dict[str, Any],
    special_tokens: Mapping[str, int],
    added_tokens: Mapping[str, int] = MappingProxyType({}),
    end: int | None = None,
) -> dict[str, Any]:
    """The whole file. The special tokens stand outside the model's vocabulary, where no merge can reach them.

    `end`: the id that ends a text, if no name says so; it is marked in a way that `tokenizers` passes over.
    """
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    marks = {content: (id, True) for content, id in special_tokens.items()}
    marks |= {content: (id, False) for content, id in added_tokens.items()}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": content, **flags, "special": special} | ({_END: True} if id == end else {})
            for content, (id, special) in sorted(marks.items(), key=lambda mark: mark[1][0])
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


_END = "end_of_text"

_BPE_OPTIONS: dict[str, Any] = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
}


def bpe_model(vocab: Mapping[str, int], merges: Sequence[str] = (), whole: bool = False) -> dict[str, Any]:
    """The model of a byte-level BPE; a merge is two tokens with a space between. `whole`: see BPETokenizer."""
    return {"type": "BPE", **_BPE_OPTIONS, "ignore_merges": whole, "vocab": dict(vocab), "merges": list(merges)}


def bpe_merges(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges of a byte-level BPE, which files write as "a b" or as ["a", "b"], in the order they were learnt."""
    model = content["model"]
    for option, plain in _BPE_OPTIONS.items():
        if (model.get(option) or None) != (plain or None):
            raise UserError(f"This BPE sets {option}={model[option]!r:.40}, which is not supported here.")
    merges = model.get("merges")
    if not isinstance(merges, list) or len(merges) > LARGEST_VOCABULARY:
        _damaged(f"its merges are no list of at most {LARGEST_VOCABULARY}")
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    if not all(isinstance(pair, list) and [type(part) for part in pair] == [str, str] for pair in pairs):
        _damaged("a merge is not two tokens")
    return [(first, second) for first, second in pairs]


def write(content: dict[str, Any], folder: Path) -> None:
    """Write folder/tokenizer.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f"{NAME}.{os.getpid()}.half"
    half.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    half.replace(folder / NAME)


def read(path: Path) -> dict[str, Any]:
    """The tree in folder/tokenizer.json, or in the file itself. DamagedError if it is not JSON of that shape."""
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"There is no tokenizer at {path}. Train one with `firsthand tokenizer train`.")
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(f"{path} is larger than {LARGEST_FILE >> 20} MiB, the most that a tokenizer may have.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not valid JSON ({error}). Copy it again, or train the tokenizer anew.") from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise DamagedError(f"{path} is JSON but no tokenizer: it has no model. Name a tokenizer.json.")
    if "type" not in content["model"] and "merges" in content["model"]:
        content["model"]["type"] = "BPE"  # as files of 2019 leave it out
    for setting in ("truncation", "padding"):
        if content.get(setting) is not None:
            raise UserError(f"{path} has a {setting}, which would change the ids and is not supported here.")
    return content


def _refuse_additions(content: Mapping[str, Any]) -> None:
    """UserError for a file that changes the text first, or adds tokens to it."""
    if content.get("normalizer") is not None:
        raise UserError("This tokenizer has a normalizer, which would change the ids and is not supported here.")
    post = content.get("post_processor")
    if post is not None and not (isinstance(post, dict) and post.get("type") == "ByteLevel"):
        raise UserError("This tokenizer has a post_processor that adds tokens, which is not supported here.")


class Vocabulary(NamedTuple):
    """`tokens`: the ordinary ones by id, "" where none stands. `special` and `added`: what is special, and what stands
    among the added tokens without being so. `end`: the id that our files mark as the end of a text, where no name does.
    """

    tokens: list[str]
    special: dict[str, int]
    added: dict[str, int]
    end: int | None


def vocabulary(content: Mapping[str, Any]) -> tuple[list[str], dict[str, int]]:
    """The ordinary tokens by id ("" where a special one stands) and the special tokens, all checked.

    Together the ids are exactly 0 to n-1, or DamagedError.
    """
    _refuse_additions(content)
    tokens, special, added, _ = loose_vocabulary(content)
    if added:
        raise UserError(
            f"The added token {min(added)[:40]!r} is not special: ordinary text would match it whole, "
            f"which is not supported here."
        )
    if tokens.count("") != len(special):
        _damaged(f"its ids are not 0 to {len(tokens) - 1}, each once")
    return tokens, special


def loose_vocabulary(content: Mapping[str, Any]) -> Vocabulary:
    """The same with added tokens that are not special, and with ids that stand for nothing (fewer than half of all)."""
    vocab, listed = content["model"].get("vocab"), content.get("added_tokens", [])
    if not isinstance(vocab, dict) or not isinstance(listed, list):
        _damaged("its vocabulary is not a table of tokens and ids")
    if len(vocab) + len(listed) > LARGEST_VOCABULARY:
        raise UserError(f"This tokenizer has more than {LARGEST_VOCABULARY} tokens, the most that is read.")
    marks, special, end = _marks(listed, vocab)
    ordinary = {token: id for token, id in vocab.items() if token not in marks}
    by_id: dict[Any, str] = {id: token for token, id in [*ordinary.items(), *marks.items()] if type(id) is int}
    if "" in vocab or not all(storable(token) for token in by_id.values()):
        _damaged("a token is empty, or has characters that no file can hold")
    size = max(by_id, default=-1) + 1
    if len(by_id) != len(ordinary) + len(marks) or min(by_id, default=0) < 0 or size > 2 * len(by_id):
        _damaged("its ids are not numbers from 0 on, each once and most of them used")
    if any(len(token) > LONGEST_TOKEN for token in by_id.values()):
        _damaged(f"a token is longer than {LONGEST_TOKEN} characters")
    if any(marks.get(token, id) != vocab.get(token, id) for token, id in marks.items()):
        _damaged("a special token has two ids")
    tokens = [""] * size
    for token, id in ordinary.items():
        tokens[id] = token
    added = {token: id for token, id in marks.items() if token not in special}
    return Vocabulary(tokens, special, added, end if type(end) is int else None)


def _marks(listed: Sequence[Any], vocab: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """The added tokens but for those that are ordinary, the special among them, and the id marked as an end."""
    marks: dict[str, Any] = {}
    special: dict[str, Any] = {}
    end = None
    for token in listed:
        if not isinstance(token, dict) or not isinstance(token.get("content"), str) or not token["content"]:
            _damaged("an added token has no content")
        name, id = token["content"], token.get("id")
        if token.get("special") is True:
            special[name] = id
        if name in special or name not in vocab:
            marks[name] = id
        end = id if token.get(_END) is True else end
    return marks, special, end


def _damaged(what: str) -> NoReturn:
    raise DamagedError(f"This tokenizer.json is damaged: {what}. Copy it again, or train the tokenizer anew.")
