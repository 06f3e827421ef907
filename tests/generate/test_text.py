"""Text in, text out, with every kind of tokenizer."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.generate.decode import generate
from firsthand.generate.stream import Completion
from firsthand.generate.text import begun, complete, stream
from firsthand.model.make import build_model
from firsthand.tokens import TOKENIZERS

TEXT = "The quick brown fox — naïve and 😀 happy — jumps over 13 lazy dogs.\nAnd then?\n" * 3


def make(vocab_size):
    torch.manual_seed(0)
    model = build_model({"d_model": 32, "n_layers": 1, "n_heads": 2, "context_length": 16}, vocab_size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def never_ending(model, end_of_text):
    head = model.head
    model.head = lambda x: head(x).index_fill(1, torch.tensor([end_of_text]), -100.0)
    return model


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param].train([TEXT])


@pytest.fixture
def characters():
    return TOKENIZERS["char"].train([TEXT])


def completions(pieces):
    """The completion of each row; the pieces of a row join to its text."""
    texts, ended = {}, {}
    for piece in pieces:
        assert piece.row not in ended
        texts[piece.row] = texts.get(piece.row, "") + piece.text
        if piece.completion is not None:
            ended[piece.row] = piece.completion
    assert {row: completion.text for row, completion in ended.items()} == texts
    return [ended[row] for row in sorted(ended)]


def test_v9_joined_pieces_are_the_full_decoding(tokenizer):
    model = make(tokenizer.vocab_size)
    special = set(tokenizer.special_tokens.values())
    ids = tokenizer.encode("The quick ")
    rows = generate(model, [ids], 60, seed=5, stop_ids=[tokenizer.end_of_text])
    assert list(rows)
    new = [id for id in rows.ids[0][len(ids) :] if id not in special]
    (completion,) = completions(stream(model, tokenizer, ["The quick "], 60, seed=5))
    assert "<|endoftext|>" not in completion.text
    assert completion.text == tokenizer.decode(new)
    assert complete(model, tokenizer, "The quick ", 60, seed=5) == completion.text


def test_a_row_is_what_it_is_alone(characters):
    model = make(characters.vocab_size)
    prompts = ["The", "quick brown fox", ""]
    together = completions(stream(model, characters, prompts, 30, seed=2, temperature=0.9))
    for prompt, completion in zip(prompts, together, strict=True):
        assert completions(stream(model, characters, [prompt], 30, seed=2, temperature=0.9)) == [completion]


def test_padded_rows_and_the_token_that_texts_begin_with(characters):
    """What has no token is never drawn; what begins texts stands before a prompt and alone where it is empty."""
    model = make(characters.vocab_size + 200)
    [found] = completions(stream(model, characters, ["The"], 40))
    assert found.text
    assert begun(characters, [1, 2]) == [1, 2]
    assert begun(characters, []) == [characters.end_of_text]
    characters.begin = 3
    assert (begun(characters, [1, 2]), begun(characters, [])) == ([3, 1, 2], [3])


def test_stop_strings_end_one_row_and_say_so(characters):
    model = never_ending(make(characters.vocab_size), characters.end_of_text)
    free = completions(stream(model, characters, ["a", "b"], 30, seed=1))
    stop = next(free[0].text[i : i + 2] for i in range(3, 20) if free[0].text[i : i + 2] not in free[1].text)
    first, second = completions(stream(model, characters, ["a", "b"], 30, seed=1, stop=[stop]))
    cut = free[0].text.index(stop)
    assert (first.text, first.finish, first.tokens) == (free[0].text[:cut], "stop", cut + 2)
    assert second == free[1]
    last = completions(stream(model, characters, ["a"], cut + 2, seed=1, stop=[stop]))[0]
    assert (last.text, last.finish) == (free[0].text[:cut], "stop")
    tail = completions(stream(model, characters, ["a"], cut + 1, seed=1, stop=[stop]))[0]
    assert (tail.text, tail.finish) == (free[0].text[: cut + 1], "length")


def test_the_end_of_a_text_ends_the_row_and_is_not_printed(characters):
    model = make(characters.vocab_size)
    model.head = lambda x: torch.zeros(len(x), model.vocab_size).index_fill_(
        1, torch.tensor([characters.end_of_text]), 9.0
    )
    (completion,) = completions(stream(model, characters, ["The"], 30, temperature=0))
    assert completion == Completion("The", "", 0, "end_of_text", slid=False, dropped=0, unknown=0)


def test_limits_are_told(characters):
    model = never_ending(make(characters.vocab_size), characters.end_of_text)
    long, unknown = completions(stream(model, characters, ["The quick brown fox", "Ωab™"], 4, seed=1))
    assert (long.dropped, long.slid, long.unknown, long.tokens) == (3, True, 0, 4)
    assert (unknown.dropped, unknown.slid, unknown.unknown) == (0, False, 2)


def test_bad_settings_are_user_errors(characters):
    model = make(characters.vocab_size)
    with pytest.raises(UserError, match="temperature"):
        complete(model, characters, "a", temperature=-1)
    with pytest.raises(UserError, match="empty stop"):
        complete(model, characters, "a", stop=[""])
