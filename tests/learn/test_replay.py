"""Reading again from the start is what a cache has to equal, and the contract of mixers holds for it."""

import pytest
import torch

from firsthand.contracts.battery import BATTERIES, judge
from firsthand.contracts.part import Part
from firsthand.errors import UserError
from firsthand.learn import manifest
from firsthand.learn.replay import Replay, same_document
from firsthand.types import Place

ANSWER = manifest.exercise("causal_attention").folder / "correct" / "explicit.py"


@pytest.mark.parametrize("check", [name for name in BATTERIES["mixer"] if name != "compiled"])
def test_an_exercise_keeps_the_contract_of_mixers(check):
    finding = judge(Part("mixer", f"{ANSWER}:CausalSelfAttention"), check)
    assert finding.passed, f"{finding.what} {finding.todo}"


def test_a_state_that_is_full_says_so():
    state = Replay(1, 2, torch.zeros(1, 4))
    with pytest.raises(UserError, match="room for 2 tokens"):
        state.replay(lambda x, place: (x, None), torch.zeros(1, 3, 4), Place(torch.arange(3)[None]))


def test_tokens_can_be_forgotten_and_room_be_made():
    state = Replay(1, 2, torch.zeros(1, 1))
    state.replay(lambda x, place: (x, None), torch.tensor([[[1.0], [2.0]]]), Place(torch.arange(2)[None]))
    assert state.keep_first(1, 3)
    y, _ = state.replay(
        lambda x, place: (x.cumsum(1), None), torch.tensor([[[5.0], [7.0]]]), Place(torch.tensor([[1, 2]]))
    )
    assert y.flatten().tolist() == [6.0, 13.0]


def test_documents_of_a_row():
    document = torch.tensor([[0, 0, 1]])
    assert same_document(Place(torch.arange(3)[None], document))[0, 0].int().tolist() == [
        [1, 1, 0],
        [1, 1, 0],
        [0, 0, 1],
    ]
    assert same_document(Place(torch.arange(3)[None])).all()
