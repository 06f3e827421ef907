"""The peak of each piece of work by itself."""

import pytest
import torch

from firsthand.experiments.memory import PeakMemory

MIB = 2**20


def _peak(mebibytes: int) -> int:
    with PeakMemory(torch.device("cpu")) as memory:
        held = torch.ones(mebibytes * MIB // 4)
        assert held[0] == 1
        del held
    if memory.bytes is None:
        pytest.skip("only Linux counts a process's peak anew")
    return memory.bytes


def test_a_smaller_piece_after_a_larger_one_has_a_smaller_peak() -> None:
    small, large, small_again = _peak(1), _peak(300), _peak(1)
    assert large - small == pytest.approx(299 * MIB, abs=20 * MIB)
    assert large - small_again == pytest.approx(299 * MIB, abs=20 * MIB)
