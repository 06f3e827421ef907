"""The bigram: a new one knows nothing, a trained one the shares of the pairs."""

import math

import pytest
import torch
from torch.nn import functional as F

from firsthand.data.packing import windows
from firsthand.model.bigram import Bigram


def test_before_training_all_tokens_are_equally_likely():
    ids = torch.tensor([[0, 4, 2]])
    loss = F.cross_entropy(Bigram(5)(ids).flatten(0, 1), ids.flatten())
    assert loss.item() == pytest.approx(math.log(5))


def test_trained_to_the_end_it_is_the_table_of_shares():
    text = torch.tensor([0, 1, 0, 2, 0, 1, 0, 1, 0])  # after 0 comes 1 three times of four, and 0 after the others
    x, y = windows(text, 8)
    model = Bigram(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.3, weight_decay=0.0)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
        optimizer.step()
    shares = model.embedding.weight.detach().softmax(-1)
    assert shares[0].tolist() == pytest.approx([0, 0.75, 0.25], abs=0.02)
    assert shares[1].tolist() == pytest.approx([1, 0, 0], abs=0.02)
