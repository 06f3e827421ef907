"""The bulk engine: the readable code's ids, in order, whatever the workers and the memo."""

import functools

import numpy as np
import pytest

from firsthand.data.write import write_shards
from firsthand.text import pool
from firsthand.tokens import TOKENIZERS, fast
from firsthand.tokens.char import CharTokenizer
from firsthand.tokens.fast import Engine, encode_all, encode_parts


def parts_of(split, size, text):
    return (raw for raw, _ in split._blocks(text, size))


def test_ids_are_those_of_the_readable_code(trained, plays, python_sources, many_scripts):
    texts = [plays[0][:30_000], python_sources[0][:30_000], many_scripts[0][:10_000], "", "x"]
    arrays = list(encode_all(trained, texts))
    assert [array.tolist() for array in arrays] == [trained.encode(text) for text in texts]
    assert {array.dtype for array in arrays} == {np.dtype(np.uint16)}
    assert all(array.flags.writeable for array in arrays)


def test_workers_change_nothing(trained, plays, monkeypatch):
    monkeypatch.setattr(fast, "BATCH", 50_000)
    texts = [*plays[:3], "", "\udc80\ud800"]
    expected = [array.tolist() for array in encode_all(trained, texts, workers=1)]
    if trained.kind == "bpe":
        assert [array.tolist() for array in encode_all(trained, texts, workers=2)] == expected
    monkeypatch.setattr(pool, "PATIENCE", 1e9)
    assert [array.tolist() for array in encode_all(trained, iter(texts))] == expected


def test_shards_are_the_same_bytes_whatever_the_workers(plays, tmp_path, monkeypatch):
    monkeypatch.setattr(fast, "BATCH", 50_000)
    tokenizer = TOKENIZERS["bpe"].train(plays[:1], 600)
    for workers in (1, 2):
        ids = encode_all(tokenizer, iter(plays[:5]), workers)
        write_shards(ids, tmp_path / str(workers), tokenizer.vocab_size, tokenizer.end_of_text, shard_tokens=100_000)
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert sum(name.startswith("tokens-") for name in names) > 1
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_full_memo_starts_anew(trained, plays, monkeypatch):
    monkeypatch.setattr(fast, "REMEMBERED", 50)
    engine = Engine(trained)
    text = plays[0][:20_000]
    assert engine.encode([text, text])[1].tolist() == trained.encode(text)
    assert len(engine._chunks) <= 50


def test_long_chunks_are_not_remembered():
    engine = Engine(TOKENIZERS["bpe"].train(["some words"]))
    engine.encode(["a" * 1000, "x " + "b" * 129, "x " + "c" * 128])
    assert sorted(engine._chunks) == ["\x0fx", "c" * 128]


def test_it_counts_what_the_memo_knew():
    engine = Engine(TOKENIZERS["bpe"].train(["some words"]))
    engine.encode(["some words some words", "other words"])
    assert (engine.asked, engine.missed) == (6, 4)  # words that begin a text are chunks of their own
    engine.encode(["some words"])
    assert (engine.asked, engine.missed) == (8, 4)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_long_texts_are_encoded_in_parts(kind, plays, monkeypatch):
    monkeypatch.setattr(fast, "BATCH", 1000)
    monkeypatch.setattr(type(TOKENIZERS["bpe"].train([]).split), "parts", functools.partialmethod(parts_of, 700))
    made = TOKENIZERS[kind].train(plays[:1], **({"vocab_size": 600} if kind in ("bpe", "wordpiece") else {}))
    texts = [plays[1][:9000], "", "short", "國王看見了，夜裡。" * 500]
    found = [[part.tolist() for part in parts] for parts in encode_parts(made, iter(texts), 1)]
    assert [[id for part in parts for id in part] for parts in found] == [made.encode(text) for text in texts]
    assert [len(parts) for parts in found[1:3]] == [1, 1]
    if kind == "bpe":
        assert min(len(found[0]), len(found[3])) > 5


def test_large_vocabularies_have_wide_ids():
    characters = [chr(0x20000 + i) for i in range(65_536)]
    made = CharTokenizer(characters)
    (ids,) = Engine(made).encode([characters[0] + characters[-1] + "x"])
    assert ids.dtype == np.uint32
    assert ids.tolist() == [0, 65_535, 65_536]


def test_texts_are_read_as_the_arrays_are_taken(monkeypatch):
    monkeypatch.setattr(fast, "BATCH", 10)
    taken = []

    def texts():
        for i in range(100):
            taken.append(i)
            yield f"text {i}"

    arrays = encode_all(TOKENIZERS["byte"].train([]), texts(), workers=1)
    assert bytes(next(arrays).tolist()) == b"text 0"
    assert len(taken) < 5
    arrays.close()


def test_a_tokenizer_from_outside_is_asked_text_by_text():
    class Outside:
        vocab_size = 70_000
        end_of_text = 0

        @property
        def special_tokens(self):
            return {"<|endoftext|>": 0}

        def encode(self, text):
            return [ord(char) for char in text]

        def decode(self, ids):
            return "".join(map(chr, ids))

        def decode_bytes(self, ids):
            return self.decode(ids).encode()

        def extended(self, names):
            raise NotImplementedError

        def save(self, folder):
            raise NotImplementedError

        @classmethod
        def load(cls, folder):
            raise NotImplementedError

    (ids,) = encode_all(Outside(), ["世a"])
    assert ids.dtype == np.uint32
    assert ids.tolist() == [0x4E16, 97]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_nothing_in_nothing_out(kind):
    made = TOKENIZERS[kind].train(["abc"])
    assert list(encode_all(made, [])) == []
    assert [array.tolist() for array in encode_all(made, ["", ""])] == [[], []]
