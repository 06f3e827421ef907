import pytest
import torch

from firsthand.errors import UserError
from firsthand.train.host import pick_device, use_threads
from firsthand.train.randomness import seed_for, seed_microbatch


def test_auto_finds_a_device_that_is_there():
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no cuda"):
        pick_device("cuda")


def test_threads_can_be_set():
    before = torch.get_num_threads()
    try:
        assert use_threads(1) == 1
        assert use_threads(None) == 1
    finally:
        torch.set_num_threads(before)


def test_every_part_of_a_key_counts():
    keys = {seed_for("a", 1, 2), seed_for("a", 2, 1), seed_for("a", 12), seed_for("b", 1, 2)}
    assert len(keys) == 4
    assert all(0 <= key < 2**63 for key in keys)


def test_what_a_microbatch_draws_depends_on_seed_step_and_number_alone():
    def draw(*key):
        seed_microbatch(*key)
        return torch.rand(3)

    first = draw(0, 5, 1)
    draw(0, 6, 1)
    assert torch.equal(first, draw(0, 5, 1))
    assert not torch.equal(first, draw(0, 5, 2))
    assert not torch.equal(first, draw(1, 5, 1))
