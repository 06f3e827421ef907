"""Every FFN keeps every promise. A new line in FFNS is tested here with no new code."""

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.model.ffns import FFNS


@pytest.mark.parametrize("name", FFNS)
@pytest.mark.parametrize("check", BATTERIES["ffn"])
def test_it_keeps_its_promise(name, check):
    broken = broken_by(Part("ffn", name, beside=tuple(FFNS)), check)
    assert broken is None, str(broken)
