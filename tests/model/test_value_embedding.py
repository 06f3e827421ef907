"""A second embedding in the values of attention: by its formula, and in a model that trains and generates."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.value_embedding import ValueEmbedding
from firsthand.types import Place

IDS = torch.tensor([[3, 1, 4], [1, 5, 9]])


def make(d_model=40):
    torch.manual_seed(0)
    return ValueEmbedding(vocab_size=10, d_model=d_model, n_kv_heads=2, d_head=4), torch.randn(2, 3, d_model)


def test_by_its_formula():
    embedding, x = make()
    value = torch.randn(2, 2, 3, 4)
    found = embedding(value, x, Place.of(IDS))
    for row in range(2):
        for time in range(3):
            opened = 2 * torch.sigmoid(embedding.gate.weight @ x[row, time, :32])
            for head in range(2):
                added = opened[head] * embedding.table[IDS[row, time], 4 * head : 4 * head + 4]
                torch.testing.assert_close(found[row, head, time], value[row, head, time] + added)


def test_narrow_models_use_all_their_channels():
    embedding, x = make(d_model=8)
    assert embedding.gate.in_features == 8
    assert embedding(torch.zeros(2, 2, 3, 4), x, Place.of(IDS)).abs().sum() > 0


def test_the_table_is_no_weight():
    """So Muon and weight decay leave it alone, and nobody counts it as multiplied."""
    embedding, _ = make()
    assert [name for name, _ in embedding.named_parameters()] == ["table", "gate.weight"]


def test_a_place_without_tokens_is_an_error():
    embedding, x = make()
    with pytest.raises(UserError, match=r"does not say which they are. Make it with Place.of\(ids\)"):
        embedding(torch.zeros(2, 2, 3, 4), x, Place(torch.arange(3).unsqueeze(0)))


def test_the_dtype_of_the_values_is_kept():
    embedding, x = make()
    assert embedding(torch.zeros(2, 2, 3, 4).bfloat16(), x, Place.of(IDS)).dtype == torch.bfloat16
