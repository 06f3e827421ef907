"""Likelihoods against the definition: one whole row at a time, nothing shared and nothing padded."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.evaluate import likelihood
from firsthand.evaluate.likelihood import encode_pairs, log_likelihoods

from .small_models import model, tokenizer

FIELDS = [{}, {"position": "rope", "mixer": {"part": "attention", "window": 5}}, {"mixer": ["mamba2", "attention"]}]


def defined(model, prompt, answer):
    """ln p by the logits of the whole row, and whether every token is the likeliest."""
    row = (prompt + answer)[-model.context_length - 1 :]
    with torch.no_grad():
        scores = model(torch.tensor([row[:-1]])).log_softmax(-1)[0, -len(answer) :]
    return scores.gather(1, torch.tensor(answer)[:, None]).sum().item(), scores.argmax(-1).tolist() == answer


def questions(vocab_size, seed=0):
    """Prompts of many lengths with one to five answers each, and a few that do not fit into the context."""
    random = torch.Generator().manual_seed(seed)

    def ids(low, high):
        length = int(torch.randint(low, high, (), generator=random))
        return torch.randint(vocab_size, (length,), generator=random).tolist()

    pairs = []
    for number in range(12):
        prompt = ids(1, 15) if number % 4 else ids(20, 40)
        pairs += [(prompt, ids(1, 9)) for _ in range(number % 5 + 1)]
    return pairs


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("batch_tokens", [1, 100, 4096])
def test_batches_and_shared_prompts_change_nothing(fields, batch_tokens, monkeypatch):
    monkeypatch.setattr(likelihood, "BATCH_TOKENS", batch_tokens)
    monkeypatch.setattr(likelihood, "ROWS", 7)
    own, pairs = model(50, **fields), questions(50)
    found = log_likelihoods(own, pairs)
    assert len(found) == len(pairs)
    for (prompt, answer), one in zip(pairs, found, strict=True):
        nats, greedy = defined(own, prompt, answer)
        assert one.nats == pytest.approx(nats, abs=1e-4)
        assert (one.greedy, one.tokens) == (greedy, len(answer))


def test_what_the_model_would_write_is_greedy():
    own = model(50)
    row = [3]
    for _ in range(4):
        row.append(int(own(torch.tensor([row]))[0, -1].argmax()))
    right, wrong = log_likelihoods(own, [([3], row[1:]), ([3], [*row[1:-1], (row[-1] + 1) % 50])])
    assert (right.greedy, wrong.greedy) == (True, False)


def test_a_prompt_is_read_once(monkeypatch):
    own = model(50)
    seen = []
    embed = own.embed
    monkeypatch.setattr(own, "embed", lambda ids, place: seen.append(tuple(ids.shape)) or embed(ids, place))
    log_likelihoods(own, [([1, 2, 3, 4, 5, 6], [7, choice]) for choice in range(4)])
    assert seen == [(1, 6)] + 4 * [(1, 1)]
    seen.clear()
    log_likelihoods(own, [([1, 2, 3, 4, 5, 6], [choice]) for choice in range(4)])
    assert seen == [(1, 6)], "answers of one token are read off the prompt's last logits"


def test_progress_and_mode():
    own = model(50).train()
    counts = []
    pairs = questions(50)
    log_likelihoods(own, pairs, done=counts.append)
    assert sum(counts) == len(pairs)
    assert own.training


def test_answers_that_cannot_be_scored():
    own = model(50, context_length=8)
    for answer in ([], list(range(9))):
        with pytest.raises(UserError, match="cannot be scored"):
            log_likelihoods(own, [([1], answer)])
    with pytest.raises(UserError, match="outside the model's vocabulary"):
        log_likelihoods(own, [([1], [99])])


def test_pairs_are_encoded_as_one_text():
    words = tokenizer()
    texts = [("To be, or not", " to be"), ("To be, or ", "not to"), ("", "that is"), ("   ", "not")]
    pairs = encode_pairs(words, texts)
    for (prompt, answer), (context, continuation) in zip(texts[:2], pairs[:2], strict=True):
        assert words.decode_bytes(context) + words.decode_bytes(continuation) == (prompt + answer).encode()
    assert words.decode(pairs[1][1]) == " not to", "the space is the first token's"
    assert words.decode(pairs[2][1]) == "that is"
    assert pairs[2][0] == pairs[3][0] == [words.end_of_text]
