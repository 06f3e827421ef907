"""The embedding: rows by their number, and gradients for those that were read."""

import torch

from firsthand.model.embedding import Embedding


def test_it_is_torchs_embedding_number_for_number():
    torch.manual_seed(1)
    ours = Embedding(7, 5)
    torch.manual_seed(1)
    theirs = torch.nn.Embedding(7, 5)
    ids = torch.tensor([[3, 0, 3], [6, 1, 2]])
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours(ids), theirs(ids))
    assert (ours.vocab_size, ours.d_model) == (7, 5)


def test_only_the_rows_that_were_read_get_a_gradient():
    embedding = Embedding(4, 3)
    embedding(torch.tensor([[0, 2, 2]])).sum().backward()
    assert embedding.weight.grad[:, 0].tolist() == [1, 0, 2, 0]
