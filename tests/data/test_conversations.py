"""Conversations in rows: none divided or lost, kept apart, in an order that is computed, cut only by the rule."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.data.conversations import ConversationLoader, Conversations, evaluation, write
from firsthand.data.fit import fit
from firsthand.data.rows import Packing
from firsthand.errors import UserError
from firsthand.tokens import TOKENIZERS
from firsthand.tokens.chat import CHATML, ChatTemplate, Encoded
from firsthand.types import IGNORE, Message


@pytest.fixture(scope="module")
def template():
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return ChatTemplate(CHATML, TOKENIZERS["byte"].train([], special_tokens=special))


def some(count=40, seed=0):
    """Conversations whose ids tell which they are: 100 n, 100 n + 1, ...; the second half is learnt."""
    lengths = np.random.default_rng(seed).integers(2, 17, count).tolist()
    return [Encoded([100 * n + i for i in range(k)], [i >= k // 2 for i in range(k)]) for n, k in enumerate(lengths)]


def rows_of(batches):
    return [(x, y, i, d) for b in batches for x, y, i, d in zip(b.inputs, b.targets, b.place.index, b.place.document)]  # noqa: B905


@settings(max_examples=40)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(0, 3), st.booleans())
def test_each_epoch_has_every_conversation_once_in_rows_that_hold_them(lengths, epoch, packed):
    lengths = np.array(lengths)
    packing = Packing(lengths, 20, packed)
    rows = [packing.row(7, epoch, number) for number in range(len(packing))]
    assert sorted(n for row in rows for n in row.tolist()) == list(range(len(lengths)))
    assert all(lengths[row].sum() <= 20 for row in rows)
    assert packed or len(rows) == len(lengths)
    plain = sorted(n for number in range(len(packing)) for n in packing.plain(number).tolist())
    assert plain == list(range(len(lengths)))


def test_epochs_and_seeds_differ_and_are_repeated():
    packing = Packing(np.random.default_rng(0).integers(1, 9, 200), 32)
    orders = {
        (s, e): tuple(packing.row(s, e, n).tobytes() for n in range(len(packing))) for s in (0, 1) for e in (0, 1)
    }
    assert len(set(orders.values())) == 4
    assert orders[1, 1] == tuple(packing.row(1, 1, n).tobytes() for n in range(len(packing)))


def test_little_is_wasted():
    """Lengths as of short instructions: log-normal, median 60, rows of 512."""
    lengths = np.clip(np.random.default_rng(0).lognormal(4.1, 0.7, 2000).astype(int), 4, 512)
    packing = Packing(lengths, 512)
    assert 1 - lengths.sum() / (len(packing) * 512) < 0.01


def test_inputs_targets_positions_and_documents():
    encoded = some()
    conversations = Conversations.of(encoded)
    loader = ConversationLoader(conversations, 32, 128, microbatches=2)
    assert conversations.targets == sum(sum(one.learn) for one in encoded)
    seen = []
    for x, y, index, document in rows_of(loader.batch(3)):
        for n in document.unique().tolist():
            here = document == n
            if n < 0:
                assert (y[here] == IGNORE).all()
                continue
            ids, learn = encoded[n].ids, encoded[n].learn
            assert x[here].tolist() == ids[:-1]
            assert y[here].tolist() == [i if learnt else IGNORE for i, learnt in zip(ids[1:], learn[1:], strict=True)]
            assert index[here].tolist() == list(range(len(ids) - 1))
            assert (here.nonzero().diff(dim=0) == 1).all()
            seen.append(n)
    assert len(seen) > 4


def test_batches_are_the_same_on_any_number_of_ranks_and_from_any_step():
    conversations = Conversations.of(some())
    whole = ConversationLoader(conversations, 20, 80, seed=3, microbatches=4)
    parts = [ConversationLoader(conversations, 20, 80, seed=3, microbatches=4, rank=r, world=2) for r in (0, 1)]
    for step in (0, 1, 25):
        both = [batch for part in parts for batch in part.batch(step)]
        for one, other in zip(whole.batch(step), both, strict=True):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.place.document, other.place.document)


def test_without_packing_a_row_is_one_conversation_and_as_long_as_the_longest():
    conversations = Conversations.of(some())
    parts = [ConversationLoader(conversations, 20, 80, rank=r, world=2, microbatches=2, packed=False) for r in (0, 1)]
    batches = [batch for part in parts for batch in part.batch(1)]
    lengths = [(row >= 0).sum().item() for batch in batches for row in batch.place.document]
    assert {batch.inputs.shape[1] for batch in batches} == {max(lengths)}
    assert all(len(set(row.tolist()) - {-1}) == 1 for batch in batches for row in batch.place.document)
    assert parts[0].rows_per_epoch == len(conversations)


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_an_evaluation_has_every_target_once(rows):
    encoded = some()
    batches = list(evaluation(Conversations.of(encoded), 20, rows))
    targets = sorted(t for batch in batches for t in batch.targets[batch.targets != IGNORE].tolist())
    assert targets == sorted(i for one in encoded for i, learn in zip(one.ids, one.learn, strict=True) if learn)
    assert len({batch.inputs.shape for batch in batches}) == 1


def test_written_and_opened_again(tmp_path):
    encoded = some()
    written = write(iter(encoded), tmp_path, 5000, "abc")
    first, second = (ConversationLoader(data, 20, 80) for data in (Conversations.of(encoded), written))
    assert torch.equal(first.batch(2)[0].targets, second.batch(2)[0].targets)
    assert written.ids.fingerprint == "abc"


def test_what_does_not_fit_is_an_error():
    conversations = Conversations.of(some())
    with pytest.raises(UserError, match=r"longest conversation has \d+ tokens, too many for rows of 8"):
        ConversationLoader(conversations, 8, 80)
    with pytest.raises(UserError, match="Nearest valid"):
        ConversationLoader(conversations, 20, 90)


ASK, SAY = (lambda text: Message("user", text)), (lambda text: Message("assistant", text))


def test_the_oldest_turns_go_first_and_the_system_message_stays(template):
    system = Message("system", "S")
    messages = [system, *(turn for n in range(5) for turn in (ASK(f"question {n}"), SAY(f"answer {n}")))]
    longest = len(template.encode([system, *messages[-4:]]).ids)
    for room in (longest, longest + 5):
        found = fit(template, messages, room)
        assert found.cut == "turns"
        assert list(found.messages) == [system, *messages[-4:]]
    assert fit(template, messages, 10_000).cut == ""


def test_then_the_beginning_of_the_prompt_goes_and_never_the_answer(template):
    messages = [ASK("first words, many of them, then the question?"), SAY("the answer")]
    whole = len(template.encode(messages).ids)
    found = fit(template, messages, whole - 8)
    assert found.cut == "prompt"
    assert found.messages[0].content == "many of them, then the question?"
    assert found.messages[1] == messages[1]
    least = len(template.encode([ASK(""), messages[1]]).ids)
    assert fit(template, messages, least).messages[0].content == ""
    assert fit(template, messages, least - 1) is None


@settings(max_examples=40)
@given(st.lists(st.text("ab c\n", max_size=30), min_size=2, max_size=6), st.integers(1, 200))
def test_whatever_is_cut_fits_and_ends_with_the_answer(template, texts, longest):
    turns = [(ASK, SAY)[i % 2](text) for i, text in enumerate(texts[: len(texts) // 2 * 2])]
    found = fit(template, turns, longest)
    if found is None:
        assert len(template.encode([ASK(""), turns[-1]]).ids) > longest
    else:
        assert len(found.encoded.ids) <= longest
        assert found.messages[-1] == turns[-1]
        assert found.encoded == template.encode(found.messages)
