"""tokenizer.json read as if an enemy had written it."""

import copy
import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firsthand.errors import DamagedError, UserError
from firsthand.tokens import TOKENIZERS, file, load
from firsthand.tokens.bpe import BPETokenizer
from firsthand.tokens.splits import WORDS

BPE = BPETokenizer.of_merges([(64, 65), (256, 66)]).to_json()
EVIL = {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False}


def _with(value, *path):
    tree = copy.deepcopy(BPE)
    here = tree
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return tree


def _vocab(**changes):
    return _with(BPE["model"]["vocab"] | changes, "model", "vocab")


HOSTILE = {
    "another normalizer": _with({"type": "Lowercase"}, "normalizer"),
    "a pattern that explodes": _with(EVIL, "pre_tokenizer"),
    "patterns in a sequence": _with({"type": "Sequence", "pretokenizers": [EVIL, EVIL]}, "pre_tokenizer"),
    "a pre-tokenizer of the wrong type": _with(7, "pre_tokenizer"),
    "no pre-tokenizer": _with(None, "pre_tokenizer"),
    "a post-processor": _with({"type": "TemplateProcessing"}, "post_processor"),
    "truncation": _with({"max_length": 3}, "truncation"),
    "padding": _with({"strategy": "BatchLongest"}, "padding"),
    "another model": _with("Unigram", "model", "type"),
    "a model's type that is a list": _with(["BPE"], "model", "type"),
    "dropout": _with(0.1, "model", "dropout"),
    "bytes as a fallback": _with(True, "model", "byte_fallback"),
    "no vocabulary": _with(None, "model", "vocab"),
    "a vocabulary that is a list": _with(["a"], "model", "vocab"),
    "an empty vocabulary": _with({}, "model", "vocab"),
    "a gap in the ids": _vocab(ab=10**6),
    "a negative id": _vocab(ab=-1),
    "an id twice": _vocab(ab=3),
    "an id that is a fraction": _vocab(ab=256.0),
    "an id that is true": _vocab(ab=True),
    "an id that is a text": _vocab(ab="256"),
    "an enormous id": _vocab(ab=1 << 80),
    "a token that stands for no bytes": _vocab(**{"世": 259}),
    "a token that is too long": _vocab(**{"a" * 5000: 259}),
    "an empty token": _vocab(**{"": 259}),
    "a token that no file can hold": _vocab(**{"\ud800": 259}),
    "a merge of unknown tokens": _with(["q zz"], "model", "merges"),
    "a merge that eats itself": _with(["a b", "ab ab"], "model", "merges"),
    "merges that are text": _with("a b", "model", "merges"),
    "added tokens that are a number": _with(3, "added_tokens"),
    "an added token that is a text": _with(["<|x|>"], "added_tokens"),
    "an added token without a content": _with([{"id": 258, "special": True}], "added_tokens"),
    "an added token with two ids": _with([{"id": 258, "content": "ab", "special": True}], "added_tokens"),
    "an added token with a list as id": _with([{"id": [1], "content": "<|x|>", "special": True}], "added_tokens"),
    "no model": {"version": "1.0"},
    "a list": [1, 2],
    "null": None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, name):
    (tmp_path / "tokenizer.json").write_text(json.dumps(HOSTILE[name]), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        load(tmp_path)
    assert len(str(refused.value)) < 500
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"\x00" * 100,
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"model": ' + b"9" * 10_000 + b"}",
        b'{"model": NaN}',
        json.dumps(BPE).encode()[:-1],
        json.dumps(BPE).encode()[: len(json.dumps(BPE)) // 2],
    ],
)
def test_what_is_no_json_is_damaged(tmp_path, raw):
    (tmp_path / "tokenizer.json").write_bytes(raw)
    with pytest.raises(DamagedError):
        load(tmp_path)


def test_a_file_too_large_is_not_even_read(tmp_path):
    with (tmp_path / "tokenizer.json").open("wb") as sparse:
        sparse.truncate(file.LARGEST_FILE + 1)
    with pytest.raises(UserError, match="larger than 64 MiB"):
        load(tmp_path)


def test_too_many_tokens_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(file, "LARGEST_VOCABULARY", 100)
    (tmp_path / "tokenizer.json").write_text(json.dumps(BPE), encoding="utf-8")
    with pytest.raises(UserError, match="more than 100 tokens"):
        load(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="There is no tokenizer at"):
        load(tmp_path)
    with pytest.raises(UserError, match="There is no tokenizer at"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_any_value_anywhere_is_read_or_refused(kind, tmp_path):
    """Every field of every kind's file set to things that do not belong there."""
    whole = TOKENIZERS[kind].train(["a few words, and more words"]).to_json()
    strange = [None, True, -1, 1.5, "x", [], [1], {"a": 1}]
    refused = read = 0
    for path in list(_paths(whole)):
        for value in strange:
            tree = copy.deepcopy(whole)
            here = tree
            for step in path[:-1]:
                here = here[step]
            here[path[-1]] = value
            (tmp_path / "tokenizer.json").write_text(json.dumps(tree), encoding="utf-8")
            try:
                made = load(tmp_path)
            except UserError:
                refused += 1
            else:
                assert all(0 <= id < made.vocab_size for id in made.encode("a few other words <|endoftext|>"))
                read += 1
    assert refused > read > 0


def _paths(tree, before=()):
    """The way to each value, of long tables only the first few."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items)[:4]:
        yield (*before, key)
        yield from _paths(value, (*before, key))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 6000), junk=st.binary(max_size=4), length=st.integers(0, 300))
def test_altered_files_are_read_or_refused(tmp_path, place, junk, length):
    raw = json.dumps(BPE).encode()
    (tmp_path / "tokenizer.json").write_bytes(raw[:place] + junk + raw[place + length :])
    try:
        made = load(tmp_path)
    except UserError:
        made = None
    if made is not None:
        assert made.decode(made.encode("abc d")) == "abc d"


def test_saving_leaves_the_old_file_until_the_new_one_is_whole(tmp_path, monkeypatch):
    old = TOKENIZERS["char"].train(["abc"])
    old.save(tmp_path)

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "replace", full)
    with pytest.raises(OSError, match="No space"):
        TOKENIZERS["char"].train(["xyz"]).save(tmp_path)
    assert load(tmp_path).to_json() == old.to_json()


def test_bytes_are_shown_as_gpt2_shows_them():
    assert file.show(b" a\n") == "ĠaĊ"
    assert file.unshow(file.show(bytes(range(256)))) == bytes(range(256))
    assert len(set(file.show(bytes(range(256))))) == 256
    assert sorted(file.BYTES) == list(range(256))
    assert sys.maxunicode > max(map(ord, file.show(bytes(range(256)))))


def test_a_word_file_whose_parts_do_not_agree_is_refused():
    tree = TOKENIZERS["word"].train(["to be or not"]).to_json()
    assert tree["pre_tokenizer"] == WORDS.to_json()
    tree["model"]["unk_token"] = "be"
    with pytest.raises(DamagedError, match="do not agree"):
        TOKENIZERS["word"].from_json(tree)
