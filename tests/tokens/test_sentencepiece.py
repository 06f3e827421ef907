"""SentencePiece's tokenizers: the ids of its own library, of Hugging Face's, and the same after saving."""

import json

import pytest
import sentencepiece
import tokenizers

from firsthand.errors import DamagedError, UserError
from firsthand.tokens import END_OF_TEXT, encode_on, load, of_json
from firsthand.tokens.chat import ChatTemplate
from firsthand.tokens.fast import Engine, encode_all
from firsthand.tokens.foreign import CONTROL, NORMAL, OF_BYTE, UNKNOWN, sentencepiece_from_parts
from firsthand.tokens.lead import Lead
from firsthand.tokens.sentencepiece import SentencePieceTokenizer
from firsthand.types import Message


@pytest.fixture(scope="module")
def processor(plays, tmp_path_factory):
    """Trained as Llama 2's was: characters kept as they are, digits apart, bytes for what is rare."""
    target = tmp_path_factory.mktemp("sentencepiece") / "tokenizer"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for play in plays[:6] for line in play.split("\n") if line),
        model_prefix=str(target),
        vocab_size=1500,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(f"{target}.model"), target


@pytest.fixture(scope="module")
def parts(processor):
    theirs, _ = processor
    ids = range(theirs.get_piece_size())
    types = [
        UNKNOWN
        if theirs.is_unknown(i)
        else CONTROL
        if theirs.is_control(i)
        else OF_BYTE
        if theirs.is_byte(i)
        else NORMAL
        for i in ids
    ]
    return [theirs.id_to_piece(i) for i in ids], [theirs.get_score(i) for i in ids], types


@pytest.fixture(scope="module")
def ours(parts):
    return sentencepiece_from_parts(*parts, begin=1, end=2)


def of(tokenizer, lead):
    """The same with another lead, by way of its file."""
    return of_json(tokenizer.to_json() | lead.to_json() | {"decoder": lead.decoder()})


def theirs_of(tokenizer):
    made = tokenizers.Tokenizer.from_str(json.dumps(tokenizer.to_json()))
    made.encode_special_tokens = True
    return made


@pytest.fixture(scope="module")
def texts(fuzzed, plays):
    return [
        *fuzzed[::30],
        "",
        " ",
        "▁",
        "  two  spaces\n\nlines\n",
        "a\udc80b",
        "x" * 300,
        *(play[:20_000] for play in plays[:2]),
    ]


def test_ids_are_those_of_the_library_that_trained_it_and_of_hugging_faces(ours, processor, texts, fuzzed):
    plain = [text for text in [*texts, *fuzzed] if text.encode(errors="ignore").decode() == text]
    expected = processor[0].encode(plain)
    assert [ids.tolist() for ids in Engine(ours).encode(plain)] == expected
    assert [ours.encode(text) for text in plain[:3000]] == expected[:3000]
    assert [found.ids for found in theirs_of(ours).encode_batch_fast(plain, add_special_tokens=False)] == expected


@pytest.mark.parametrize("lead", Lead)
def test_ids_and_texts_are_hugging_faces_however_a_text_begins(ours, lead, texts):
    mine = of(ours, lead)
    assert mine.lead is lead
    other = theirs_of(mine)
    plain = [text for text in texts if text.encode(errors="ignore").decode() == text]
    expected = [found.ids for found in other.encode_batch(plain, add_special_tokens=False)]
    assert [ids.tolist() for ids in Engine(mine).encode(plain)] == expected
    assert [mine.decode(ids) for ids in expected] == other.decode_batch(expected, skip_special_tokens=False)


def test_what_transformers_writes_is_read(processor, ours, texts, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    (tmp_path / "tokenizer.model").write_bytes(processor[1].with_suffix(".model").read_bytes())
    for legacy, lead in ((True, Lead.MISSING), (False, Lead.FIRST)):
        theirs = transformers.LlamaTokenizerFast.from_pretrained(tmp_path, legacy=legacy)
        theirs.save_pretrained(tmp_path / lead.value)
        mine = load(tmp_path / lead.value)
        assert (mine.lead, mine.end_of_text) == (lead, ours.end_of_text)
        assert mine.merges == ours.merges
        plain = [t for t in texts[:400] if t.encode(errors="ignore").decode() == t and "<unk>" not in t]
        assert [mine.encode(text) for text in plain] == theirs(plain, add_special_tokens=False)["input_ids"]


TINY_LLAMA = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@pytest.mark.parametrize("lead", Lead)
def test_a_conversation_has_the_ids_that_it_has_elsewhere(ours, lead, tmp_path):
    """Behind a mark a text begins anew for some, and goes on for others."""
    mine = of(ours, lead)
    chat = ChatTemplate(TINY_LLAMA, mine)
    said = [Message("user", "to be </s> or"), Message("assistant", "not to be"), Message("user", " that")]
    whole = chat.encode(said, answer=True)
    text = (
        "".join(f"<|{turn.role}|>\n{turn.content.replace('</s>', '<END>')}</s>\n" for turn in said) + "<|assistant|>\n"
    )
    other = tokenizers.Tokenizer.from_str(json.dumps(mine.to_json()))
    same = chat.encode([Message(turn.role, turn.content.replace("</s>", "<END>")) for turn in said], answer=True)
    assert same.ids == other.encode(text, add_special_tokens=False).ids
    assert whole.ids.count(mine.end_of_text) == 3
    learnt = [id for id, learn in zip(whole.ids, whole.learn, strict=True) if learn]
    assert mine.decode(learnt) == "not to be</s>"


def test_text_that_goes_on_has_no_space_before_it(ours):
    first, more = ours.encode("to be or"), encode_on(ours, " not")
    assert ours.decode(first + more) == "to be or not"
    assert first + more == ours.encode("to be or not")


def test_texts_come_back_but_for_the_sign_that_stands_for_a_space(ours, texts):
    for text in texts:
        assert ours.decode(ours.encode(text)).replace("▁", " ") == text.replace("▁", " ").replace("\udc80", "\ufffd")


def test_a_long_text_in_parts_is_the_whole(ours, plays):
    text = "\n".join(plays) * 2
    assert len(text) > 1 << 20
    (ids,) = encode_all(ours, [text], workers=1)
    assert ours.decode(ids) == text
    assert ids[:9].tolist() == ours.encode(text[:200])[:9]


def test_a_token_across_words_is_found(ours):
    """Then nothing is cut: slower, and the same ids."""
    names = [*ours.names, "o▁b", "▁to▁b"]
    ids = {name: id for id, name in enumerate(names)}
    tree = ours.to_json()
    tree["model"]["vocab"] |= {name: ids[name] for name in names[-2:]}
    tree["model"]["merges"] = ["o ▁b", *tree["model"]["merges"]] if "▁b" in ids else tree["model"]["merges"]
    crossing = of_json(tree)
    assert crossing.split.name == "sentences"
    assert crossing.encode("to be") == theirs_of(crossing).encode("to be", add_special_tokens=False).ids
    assert ids["o▁b"] not in ours.encode("to be")


def test_saved_it_is_the_same(ours, tmp_path):
    more = ours.extended(["<|im_start|>", END_OF_TEXT])
    for tokenizer in (ours, more):
        tokenizer.save(tmp_path)
        again = load(tmp_path)
        assert isinstance(again, SentencePieceTokenizer)
        assert again.to_json() == tokenizer.to_json()
        assert (again.begin, again.unknown, again.vocab_size) == (1, 0, tokenizer.vocab_size)
        assert theirs_of(again).encode("to be 世").ids == [1, *tokenizer.encode("to be 世")]


def test_without_bytes_what_is_unknown_is_one_token(parts):
    names, scores, types = parts
    kept = [i for i, type in enumerate(types) if type != OF_BYTE]
    mine = sentencepiece_from_parts(*([column[i] for i in kept] for column in (names, scores, types)))
    assert mine.encode("to 世界 be") == theirs_of(mine).encode("to 世界 be", add_special_tokens=False).ids
    assert mine.encode("世界").count(mine.unknown) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}},
            "cuts",
        ),
        ({"normalizer": {"type": "Lowercase"}}, "changes or cuts"),
        ({"normalizer": {"type": "Sequence", "normalizers": 3}}, "changes or cuts"),
        ({"post_processor": {"type": "BertProcessing"}}, "post_processor"),
    ],
)
def test_files_that_do_more_are_refused(ours, change, message):
    with pytest.raises(UserError, match=message):
        of_json(ours.to_json() | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"fuse_unk": False}, "fuse"), ({"ignore_merges": True}, "merges"), ({"dropout": 0.1}, "dropout")],
)
def test_models_that_do_more_are_refused(ours, change, message):
    tree = ours.to_json()
    with pytest.raises(UserError, match=message):
        of_json(tree | {"model": tree["model"] | change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unk_token": "<none>"}, "none of its tokens"),
        ({"unk_token": ["<unk>"]}, "none of its tokens"),
        ({"merges": ["▁ nothing"]}, "does not make"),
        ({"vocab": {"a": 0, "b": -1}, "merges": []}, "damaged"),
    ],
)
def test_damaged_files_are_refused(ours, change, message):
    tree = ours.to_json()
    with pytest.raises(DamagedError, match=message):
        of_json(tree | {"model": tree["model"] | change})


@pytest.mark.parametrize("scores", [[0.0], [float("nan")] * 3])
def test_parts_that_do_not_fit_are_refused(scores):
    with pytest.raises(DamagedError, match="scores"):
        sentencepiece_from_parts(["a", "b", "ab"], scores)


def test_a_token_that_would_take_its_time_is_refused():
    with pytest.raises(UserError, match="At most 128"):
        sentencepiece_from_parts(["a", "a" * 200], [0.0, 0.0])


def test_it_is_read_and_not_trained():
    with pytest.raises(UserError, match="Train the kind bpe"):
        SentencePieceTokenizer.train(["a"])
