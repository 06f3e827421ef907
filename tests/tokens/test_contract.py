"""What every kind of tokenizer promises."""

import json
import random

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firsthand.errors import UserError
from firsthand.tokens import TOKENIZERS, Tokenizer, fingerprint, load
from firsthand.tokens.base import to_bytes
from firsthand.tokens.fast import Engine

END = "<|endoftext|>"
LOSSLESS = ("byte", "bpe")


def test_the_table_is_complete():
    assert list(TOKENIZERS) == ["char", "byte", "word", "bpe", "wordpiece"]
    assert all(kind.kind == name for name, kind in TOKENIZERS.items())


def test_it_keeps_the_protocol(trained):
    assert isinstance(trained, Tokenizer)
    assert trained.end_of_text == trained.special_tokens[END] == trained.vocab_size - 2
    assert trained.special_tokens["<|user|>"] == trained.vocab_size - 1


def test_tidy_text_comes_back(trained, plays):
    text = plays[0]
    assert trained.kind == "word" or trained.decode(trained.encode(text)) == text
    assert trained.encode("") == []
    assert trained.decode([]) == ""
    assert trained.decode_bytes([]) == b""


def test_ids_and_text_are_hugging_faces(trained, hugging_face, fuzzed):
    other = hugging_face(trained)
    ours = [trained.encode(text) for text in fuzzed[::10]]
    assert ours == [found.ids for found in other.encode_batch(fuzzed[::10], add_special_tokens=False)]
    ids = [*range(trained.vocab_size)]
    assert [trained.decode([id]) for id in ids[-300:]] == [other.decode([id], False) for id in ids[-300:]]
    assert [trained.decode(ids) for ids in ours[:3000]] == other.decode_batch(ours[:3000], skip_special_tokens=False)


def test_special_tokens_are_hugging_faces(trained, hugging_face):
    other = hugging_face(trained, specials=True)
    assert {name: other.token_to_id(name) for name in trained.special_tokens} == trained.special_tokens
    assert other.get_vocab_size() == trained.vocab_size
    parts = [trained.encode("to be"), trained.end_of_text, trained.encode("or not"), trained.special_tokens["<|user|>"]]
    assert other.encode("to be<|endoftext|>or not<|user|>").ids == [*parts[0], parts[1], *parts[2], parts[3]]


def test_a_saved_tokenizer_is_read_by_hugging_face_and_by_us(trained, tmp_path):
    trained.save(tmp_path)
    text = "To be, or not to be;\n\nthat is 42 questions — naïve 😀"
    assert tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids == trained.encode(text)
    for again in (load(tmp_path), type(trained).load(tmp_path), load(tmp_path / "tokenizer.json")):
        assert type(again) is type(trained)
        assert again.encode(text) == trained.encode(text)
        assert again.special_tokens == trained.special_tokens
        assert again.tokens == trained.tokens
        assert fingerprint(again) == fingerprint(trained)
        assert again.to_json() == trained.to_json()
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_the_fingerprint_is_of_the_content(trained, tmp_path):
    trained.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(tree.items()))), encoding="utf-8")
    assert fingerprint(load(tmp_path)) == fingerprint(trained)
    others = {fingerprint(TOKENIZERS[kind].train(["another text"])) for kind in TOKENIZERS}
    assert len(others) == len(TOKENIZERS)
    assert fingerprint(trained) not in others


def test_another_kind_is_not_loaded(trained, tmp_path):
    trained.save(tmp_path)
    for other in set(TOKENIZERS.values()) - {type(trained)}:
        with pytest.raises(UserError, match=r"firsthand\.tokens\.load"):
            other.load(tmp_path)


@pytest.mark.parametrize("wrong", [-1, "size", 10**9])
def test_an_id_out_of_range_is_an_error(trained, wrong):
    id = trained.vocab_size if wrong == "size" else wrong
    for call in (trained.decode, trained.decode_bytes):
        with pytest.raises(UserError, match=f"{id} is out of range.* 0 to {trained.vocab_size - 1}"):
            call([0, id, 1])


def test_ids_may_come_in_an_array(trained):
    ids = trained.encode("to be or not")
    assert trained.decode(np.array(ids, np.uint16)) == trained.decode(ids) == trained.decode(iter(ids))


def test_no_text_gives_a_special_token(trained):
    """5000 texts of the special tokens' names: whole, cut, nested, forged, and in the letters of the file format."""
    draw = random.Random(1)
    names = [
        *trained.special_tokens,
        "<|",
        "|>",
        "<",
        "|",
        ">",
        "endoftext",
        "user",
        "<|end",
        "oftext|>",
        " ",
        "\n",
        "Ġ",
    ]
    names += ["<unk>", "[UNK]", "<|endof<|endoftext|>text|>", "＜|endoftext|＞", "<|ENDOFTEXT|>", "<|endoftext|>\u200b"]
    special = set(trained.special_tokens.values())
    texts = ["".join(draw.choices(names, k=draw.randrange(1, 6))) for _ in range(5000)]
    for text, ids in zip(texts, Engine(trained).encode(texts), strict=True):
        assert special.isdisjoint(ids.tolist()), text
    assert special.isdisjoint(trained.encode("".join(texts)))
    assert trained.kind not in LOSSLESS or trained.decode(trained.encode("".join(texts))) == "".join(texts)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=40))
def test_any_string_is_encoded(trained, text):
    """Lone surrogates too, which no UTF-8 has."""
    ids = trained.encode(text)
    assert all(0 <= id < trained.vocab_size - 2 for id in ids)
    assert Engine(trained).encode([text])[0].tolist() == ids
    if trained.kind in LOSSLESS:
        assert trained.decode_bytes(ids) == to_bytes(text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=30))
def test_bytes_that_are_no_utf8_come_back(trained, raw):
    if trained.kind in LOSSLESS:
        ids = trained.encode(raw.decode(errors="surrogateescape"))
        assert trained.decode_bytes(ids) == raw
        assert trained.decode(ids) == raw.decode(errors="replace")
        assert b"".join(trained.decode_bytes([id]) for id in ids) == raw
    else:
        assert trained.decode(trained.encode(raw.decode(errors="replace"))).isascii() in (True, False)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_end_of_text_is_there_even_if_not_asked_for(kind):
    made = TOKENIZERS[kind].train(["some words"], special_tokens=("<|a|>", "<|b|>", "<|a|>"))
    assert list(made.special_tokens) == [END, "<|a|>", "<|b|>"]
    assert made.decode([made.special_tokens["<|b|>"]]) == "<|b|>"


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in TOKENIZERS for name in ("", "x", "\ud800<|>")])
def test_a_special_token_that_text_could_produce_is_refused(kind, name):
    with pytest.raises(UserError, match="cannot be a special token"):
        TOKENIZERS[kind].train(["some words"], special_tokens=(END, name))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_training_on_nothing(kind):
    made = TOKENIZERS[kind].train([])
    assert made.decode(made.encode("")) == ""
    with pytest.raises(UserError, match=r"at most \d+ tokens"):
        TOKENIZERS[kind].train([], vocab_size=1000)
    with pytest.raises(UserError, match=r"at least \d+ tokens"):
        TOKENIZERS[kind].train([], vocab_size=1)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_training_is_the_same_for_any_cut_into_texts_and_takes_an_iterator(kind, plays):
    text = plays[0][:30_000]
    lines = text.splitlines(keepends=True)
    size = {"char": None, "byte": None}.get(kind, 400)
    made = TOKENIZERS[kind].train(iter([text]), size)
    assert made.vocab_size == (size or made.vocab_size)
    assert fingerprint(made) == fingerprint(TOKENIZERS[kind].train([text], size))
    if kind in ("char", "byte"):
        assert fingerprint(made) == fingerprint(TOKENIZERS[kind].train(reversed(lines), size))


def test_special_tokens_can_be_added_later(trained, tmp_path):
    more = trained.extended(["<|im_start|>", END, "<|im_end|>", "<|im_start|>"])
    assert more.special_tokens == trained.special_tokens | {
        "<|im_start|>": trained.vocab_size,
        "<|im_end|>": trained.vocab_size + 1,
    }
    assert more.vocab_size == trained.vocab_size + 2 == len(more.tokens)
    assert more.decode([more.vocab_size - 1]) == "<|im_end|>"
    text = "to be <|im_start|> or not"
    assert more.encode(text) == trained.encode(text)
    assert "<|im_end|>" not in trained.special_tokens
    more.save(tmp_path)
    assert load(tmp_path).to_json() == more.to_json()
    assert fingerprint(load(tmp_path)) == fingerprint(more) != fingerprint(trained)
    for name in ("x", "", "\ud800<|>"):
        with pytest.raises(UserError, match="cannot be a special token"):
            trained.extended([name])
    assert trained.extended([]).to_json() == trained.to_json()
