"""Tokenizers from parts, as GGUF files hold them: the same that a tokenizer.json would give."""

from collections.abc import Sequence
from math import isfinite

from firsthand.errors import DamagedError, UserError, suggest
from firsthand.tokens import file
from firsthand.tokens.bpe import BPETokenizer
from firsthand.tokens.lead import Lead
from firsthand.tokens.ranks import read_merges
from firsthand.tokens.sentencepiece import BYTE, SentencePieceTokenizer, scored
from firsthand.tokens.splits import CL100K, GPT2, O200K, QWEN2, SMOLLM, TEKKEN

SPLITS = {
    "gpt-2": GPT2,
    "gpt2": GPT2,
    "olmo": GPT2,
    "phi-2": GPT2,
    "smollm": SMOLLM,
    "starcoder": SMOLLM,
    "codeshell": SMOLLM,
    "refact": SMOLLM,
    "command-r": SMOLLM,
    "llama-bpe": CL100K,
    "llama3": CL100K,
    "llama-v3": CL100K,
    "dbrx": CL100K,
    "qwen2": QWEN2,
    "deepseek-r1-qwen": QWEN2,
    "stablelm2": QWEN2,
    "gpt-4o": O200K,
    "tekken": TEKKEN,
}
"""How llama.cpp calls the ways to cut text (`tokenizer.ggml.pre`) that are known here."""

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, OF_BYTE = 1, 2, 3, 4, 5, 6
"""The types of tokens in GGUF files (`tokenizer.ggml.token_type`)."""


def bpe_from_parts(
    tokens: Sequence[str],
    merges: Sequence[str],
    split: str,
    types: Sequence[int] = (),
    *,
    begin: int | None = None,
    end: int | None = None,
) -> BPETokenizer:
    """A tokenizer of `tokens` by id, written in GPT-2's visible alphabet, and `merges` "a b" in their order.

    `split`: a name of SPLITS, which also says what else such a tokenizer does (Llama 3 takes whole pieces, Qwen
    composes characters). `types`: NORMAL and so on for each token; absent: all normal. `begin`: the id that each text
    begins with, None where texts begin with none. `end`: the id that ends a text, where no name says so.
    UserError for an unknown split, DamagedError for parts that do not fit together.
    """
    if split not in SPLITS:
        raise UserError(f"The tokenizer cuts text by {split[:40]!r}, which is not known here. {suggest(split, SPLITS)}")
    _check_size(tokens, merges)
    ids, special, added = _sorted(tokens, types, begin, end)
    pairs = [merge.split(" ") for merge in merges]
    if any(len(pair) != 2 for pair in pairs):
        raise DamagedError("This tokenizer is damaged: a merge is not two tokens.")
    raw = [b""] * len(tokens)
    for token, id in ids.items():
        raw[id] = file.unshow(token)
    return BPETokenizer(
        raw,
        read_merges(((first, second) for first, second in pairs), ids),
        special,
        SPLITS[split],
        added_tokens=added,
        whole=split in ("llama-bpe", "llama3", "llama-v3", "tekken"),
        nfc=split in ("qwen2", "deepseek-r1-qwen"),
        begin=begin,
        end=end,
    )


def sentencepiece_from_parts(
    tokens: Sequence[str],
    scores: Sequence[float],
    types: Sequence[int] = (),
    *,
    lead: bool = True,
    begin: int | None = None,
    end: int | None = None,
) -> SentencePieceTokenizer:
    """A tokenizer of SentencePiece from `tokens` by id and their `scores`, which say what is merged first.

    `lead`: a text begins with a space. The others as for `bpe_from_parts`, and so are the errors.
    """
    _check_size(tokens)
    if len(scores) != len(tokens) or not all(map(isfinite, scores)):
        raise DamagedError("This tokenizer is damaged: its tokens have other numbers than their scores.")
    ids, special, added = _sorted(tokens, types, begin, end)
    names = [""] * len(tokens)
    for token, id in ids.items():
        names[id] = token
    return SentencePieceTokenizer(
        names,
        scored(scores, {name: id for name, id in ids.items() if not BYTE.fullmatch(name)}),
        special,
        Lead.EACH if lead else Lead.NEVER,
        added_tokens=added,
        unknown=next((id for id, kind in enumerate(types) if kind == UNKNOWN), -1),
        begin=begin,
        end=end,
    )


def _check_size(*lists: Sequence[str]) -> None:
    if max(map(len, lists)) > file.LARGEST_VOCABULARY:
        raise UserError(f"This tokenizer has more than {file.LARGEST_VOCABULARY} tokens, the most that is read.")


def _sorted(
    tokens: Sequence[str], types: Sequence[int], begin: int | None, end: int | None
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """The ordinary tokens, the special and those defined by users, with their ids."""
    kinds = list(types) or [NORMAL] * len(tokens)
    if len(kinds) != len(tokens) or any(not 0 <= id < len(tokens) for id in (begin, end) if id is not None):
        raise DamagedError("This tokenizer is damaged: its tokens have other numbers than their types, or its marks.")
    ids: dict[str, int] = {}
    special: dict[str, int] = {}
    added: dict[str, int] = {}
    tables = {CONTROL: special, UNKNOWN: special, USER_DEFINED: added}
    for id, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if kind == UNUSED:
            continue
        into = tables.get(kind, ids)
        if token in into or not token or len(token) > file.LONGEST_TOKEN or not file.storable(token):
            raise DamagedError(
                f"This tokenizer is damaged: its token {id}, {token[:40]!r}, is empty, too long, or there twice."
            )
        into[token] = id
    return ids, special, added
