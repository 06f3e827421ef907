"""Document borders, as a recurrent mixer sees them."""

import torch

from firsthand.model.mixers.segments import segments
from firsthand.types import Place


def place(*document):
    ids = torch.tensor([document])
    return Place(torch.arange(len(document)).unsqueeze(0), ids)


def test_a_row_of_one_document_has_no_borders():
    assert segments(Place(torch.arange(3).unsqueeze(0))) == (None, None)


def test_borders_are_counted():
    found, last = segments(place(4, 4, 9, 9, 4, -1))
    assert found.tolist() == [[0, 0, 1, 1, 2, 3]]
    assert last.tolist() == [-1]


def test_the_state_belongs_to_the_document_that_it_saw_last():
    assert segments(place(4, 4, 9), torch.tensor([4]))[0].tolist() == [[0, 0, 1]]
    assert segments(place(4, 4, 9), torch.tensor([-1]))[0].tolist() == [[1, 1, 2]]


def test_what_comes_without_a_document_is_document_0():
    found, last = segments(Place(torch.arange(2).unsqueeze(0)), torch.tensor([0, 3]))
    assert found.tolist() == [[0, 0], [1, 1]]
    assert last.tolist() == [0, 0]
