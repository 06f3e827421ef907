"""The objective of pretraining, with the shipped cross-entropy and with one's own."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.make import build_model
from firsthand.train.objectives.next_token import NextToken
from firsthand.types import IGNORE, Batch, Place

OWN = """
def cross_entropy(logits, targets, ignore_index=-100):
    seen = targets != ignore_index
    logits, targets = logits[seen], targets[seen]
    picked = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (logits.logsumexp(-1) - picked).sum(), seen.sum()
"""


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model({"preset": "modern", "n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 8}, 11)


@pytest.fixture
def batch():
    ids = torch.arange(16).reshape(2, 8) % 11
    targets = (ids * 3 + 1) % 11
    targets[0, :3] = IGNORE
    return Batch(ids, targets, Place.of(ids))


def test_your_own_cross_entropy_gives_the_same_loss_and_gradients(model, batch, tmp_path) -> None:
    (tmp_path / "loss.py").write_text(OWN)
    gradients = []
    for objective in (NextToken(), NextToken(f"{tmp_path / 'loss.py'}:cross_entropy"), NextToken("plain")):
        loss = objective(model, batch)
        model.zero_grad()
        loss.value.backward()
        gradients.append((loss.value.detach(), loss.count, model.embedding.weight.grad.clone()))
    for found in gradients[1:]:
        torch.testing.assert_close(found, gradients[0])
    assert gradients[0][1] == 13


def test_a_wrong_name_says_what_there_is(tmp_path) -> None:
    with pytest.raises(UserError, match=r"train\.objective\.cross_entropy: there is no part called 'focal'"):
        NextToken("focal")
