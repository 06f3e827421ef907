import pytest
import torch

from firsthand.compress.prune.choice import Choice, largest, parsed
from firsthand.compress.prune.magnitude import magnitude_mask
from firsthand.compress.prune.n_m import mask_2_of_4
from firsthand.errors import UserError


@pytest.mark.parametrize("count", [0, 1, 17, 34])
def test_the_smallest_go_and_of_equals_the_earlier(count):
    score = torch.randint(0, 4, (5, 7), generator=torch.Generator().manual_seed(count)).float()
    order = sorted(range(35), key=lambda place: (score.flatten()[place].item(), place))
    wanted = torch.ones(35, dtype=torch.bool)
    wanted[order[:count]] = False
    assert torch.equal(largest(score, count).flatten(), wanted)


def test_a_layers_choice_of_sizes_is_the_magnitude_mask():
    weight = torch.randn(9, 13, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    assert torch.equal(Choice(0.3).mask(weight.abs()), magnitude_mask(weight, 0.3))


def test_each_row_loses_its_share():
    score = torch.rand(6, 10) + torch.arange(6).unsqueeze(1)
    mask = Choice(0.3, "row").mask(score)
    assert (~mask).sum(1).tolist() == [3] * 6
    for row, stays in zip(score, mask, strict=True):
        assert row[stays].min() > row[~stays].max()


def test_a_global_choice_compares_all_maps():
    scores = {"small": torch.rand(4, 4), "large": 1 + torch.rand(4, 8)}
    masks = Choice(0.5, "global").masks(scores)
    assert not masks["small"].any()
    assert int((~masks["large"]).sum()) == 8


def test_a_pattern_is_a_choice():
    weight = torch.randn(3, 8)
    assert torch.equal(Choice.of(None, None, "2:4").mask(weight.abs()), mask_2_of_4(weight))
    assert Choice.of(0.25, None, "3:4").mask(weight.abs()).sum(1).tolist() == [6, 6, 6]


@pytest.mark.parametrize("sparsity", [1.0, 1.5, -0.1])
def test_a_share_that_leaves_nothing_is_refused(sparsity):
    with pytest.raises(UserError, match="sparsity="):
        Choice.of(sparsity, None, None)


def test_a_share_that_rounds_to_all_is_refused():
    with pytest.raises(UserError, match="none of 16"):
        Choice(0.99).mask(torch.rand(4, 4))
    with pytest.raises(UserError, match="none of 4"):
        Choice(0.9, "row").mask(torch.rand(16, 4))


def test_what_contradicts_a_pattern_is_refused():
    with pytest.raises(UserError, match="Leave sparsity and scope out"):
        Choice.of(0.7, None, "2:4")
    with pytest.raises(UserError, match="Leave sparsity and scope out"):
        Choice.of(None, "row", "2:4")
    with pytest.raises(UserError, match="Did you mean 'layer'"):
        Choice.of(None, "layers", None)


@pytest.mark.parametrize("pattern", ["4:4", "0:4", "2-4", "5:4", "-1:4", "99999:4"])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(UserError, match="is no pattern"):
        parsed(pattern)


def test_rows_that_are_no_whole_groups_are_refused():
    with pytest.raises(UserError, match="rows of 6 weights"):
        Choice.of(None, None, "2:4").mask(torch.rand(2, 6))
