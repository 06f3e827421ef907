"""Every position scheme keeps every promise. A new line in POSITIONS is tested here with no new code."""

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.model.positions import POSITIONS


@pytest.mark.parametrize("name", POSITIONS)
@pytest.mark.parametrize("check", BATTERIES["position"])
def test_it_keeps_its_promise(name, check):
    broken = broken_by(Part("position", name, beside=tuple(POSITIONS)), check)
    assert broken is None, str(broken)
