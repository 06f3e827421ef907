"""Tokenizers of other families: their files read, and the ids of Hugging Face's `tokenizers`."""

import copy
import json

import pytest
import tokenizers

from firsthand.errors import UserError
from firsthand.tokens import END_OF_TEXT, load, of_json
from firsthand.tokens.fast import Engine
from firsthand.tokens.foreign import CONTROL, NORMAL, UNUSED, USER_DEFINED, bpe_from_parts


@pytest.fixture(params=["gpt2", "smollm", "llama3", "qwen", "gpt-oss", "nemo"])
def tree(request, families):
    return copy.deepcopy(families[request.param])


@pytest.fixture
def ours(tree, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(tree), encoding="utf-8")
    return load(tmp_path)


NEW = (("gpt-oss", "gpt-4o"), ("nemo", "tekken"))


def _theirs(tree):
    made = tokenizers.Tokenizer.from_str(json.dumps(tree))
    made.encode_special_tokens = True
    return made


def test_ids_are_hugging_faces_one_by_one_and_many_at_once(tree, ours, fuzzed, plays, python_sources):
    texts = [
        *fuzzed,
        "a   1\n 2  b\t3 ",
        "'s 'S don't 1234567",
        "CamelCase HTTPServer iPhone's a/b//\n\n/ DON'T ǅ",
        *(t[:20_000] for t in plays[5:8] + python_sources[:3]),
    ]
    other = _theirs(tree)
    expected = [found.ids for found in other.encode_batch_fast(texts, add_special_tokens=False)]
    assert [ids.tolist() for ids in Engine(ours).encode(texts)] == expected
    few = slice(None, None, max(1, len(texts) // 3000))
    assert [ours.encode(text) for text in texts[few]] == expected[few]
    assert [ours.decode(ids) for ids in expected[few]] == other.decode_batch(expected[few], skip_special_tokens=False)


def test_what_we_save_is_the_same_tokenizer(tree, ours, fuzzed, tmp_path):
    ours.save(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    other = _theirs(saved)
    texts = fuzzed[::200]
    assert [found.ids for found in other.encode_batch(texts, add_special_tokens=False)] == list(map(ours.encode, texts))
    assert other.encode("to be").ids == _theirs(tree).encode("to be").ids
    marks = {**ours.special_tokens, **ours.added_tokens}
    assert {name: other.token_to_id(name) for name in marks} == marks
    again = load(tmp_path)
    assert again.to_json() == ours.to_json()
    assert (again.begin, again.end_of_text, again.added_tokens) == (ours.begin, ours.end_of_text, ours.added_tokens)
    assert again.vocab_size == ours.vocab_size == other.get_vocab_size()


def test_no_text_gives_a_mark(ours):
    marks = {**ours.special_tokens, **ours.added_tokens}
    for name in marks:
        for text in (name, f"a{name}b", name[:4] + name + name[4:], name + name):
            assert set(marks.values()).isdisjoint(ours.encode(text))
            assert ours.decode(ours.encode(text)) == text


def test_what_sets_the_families_apart(families):
    gpt2, smollm, llama3, qwen = (of_json(load_type(families[name])) for name in ("gpt2", "smollm", "llama3", "qwen"))
    assert [t.decode([t.end_of_text]) for t in (gpt2, smollm, llama3, qwen)] == [END_OF_TEXT] * 2 + [
        "<|end_of_text|>",
        END_OF_TEXT,
    ]
    assert [t.begin for t in (gpt2, smollm, qwen)] == [None] * 3
    assert llama3.decode([llama3.begin]) == "<|begin_of_text|>"
    assert smollm.missing == b"\x04\x06\x13\x14\x16\x1d"
    assert smollm.decode(smollm.encode("a\x04b")) == "ab"
    assert qwen.decode(qwen.encode("e\u0301")) == "é"
    assert list(qwen.added_tokens) == ["<tool_call>", "<think>", "</think>"]
    assert [len(t.split.pieces("a  1234")) for t in (gpt2, smollm, llama3, qwen)] == [3, 6, 5, 7]


def load_type(tree):
    return tree | {"model": {"type": "BPE", **tree["model"]}}


def test_parts_from_gguf_make_the_same_tokenizer(families, fuzzed):
    for name, split in (("gpt2", "gpt-2"), ("smollm", "smollm"), ("llama3", "llama-bpe"), ("qwen", "qwen2"), *NEW):
        whole = of_json(load_type(families[name]))
        vocab = load_type(families[name])["model"]["vocab"]
        added = {token["content"]: token for token in families[name]["added_tokens"]}
        by_id = {id: token for token, id in vocab.items()} | {token["id"]: text for text, token in added.items()}
        names = [by_id[id] for id in range(len(by_id))]
        types = [NORMAL if n not in added else CONTROL if added[n]["special"] else USER_DEFINED for n in names]
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in families[name]["model"]["merges"]]
        parts = bpe_from_parts([*names, "[PAD]"], merges, split, [*types, UNUSED], begin=whole.begin)
        texts = fuzzed[::500]
        assert [parts.encode(text) for text in texts] == [whole.encode(text) for text in texts]
        assert (parts.special_tokens, parts.added_tokens) == (whole.special_tokens, whole.added_tokens)
        assert (parts.begin, parts.end_of_text) == (whole.begin, whole.end_of_text)
        assert parts.decode([len(names)]) == ""
        assert of_json(parts.to_json()).encode("to be 123") == whole.encode("to be 123")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "poro-chat"}, "not known here"),
        ({"types": [1]}, "other numbers"),
        ({"tokens": ["a", "a"]}, "there twice"),
        ({"tokens": ["a", ""]}, "empty"),
        ({"tokens": ["a", "世"]}, "byte alphabet"),
        ({"merges": ["a b c"]}, "not two tokens"),
        ({"merges": ["a c"]}, "does not make"),
        ({"end": 7}, "other numbers"),
        ({"begin": -1}, "other numbers"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    parts = {"tokens": ["a", "b"], "merges": [], "split": "gpt-2"} | change
    with pytest.raises(UserError, match=message):
        bpe_from_parts(**parts)


def test_an_end_that_no_name_tells_is_kept(tmp_path):
    made = bpe_from_parts(["a", "<fin>"], [], "gpt-2", [NORMAL, CONTROL], end=1)
    made.save(tmp_path)
    assert load(tmp_path).end_of_text == made.end_of_text == 1
    assert tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).token_to_id("<fin>") == 1
    with pytest.raises(UserError, match="has no"):
        _ = bpe_from_parts(["a", "<fin>"], [], "gpt-2", [NORMAL, CONTROL]).end_of_text
