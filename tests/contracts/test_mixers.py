"""Every mixer keeps every promise. A new line in MIXERS is tested here with no new code."""

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.model.mixers import MIXERS


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("check", BATTERIES["mixer"])
def test_it_keeps_its_promise(name, check):
    broken = broken_by(Part("mixer", name, beside=tuple(MIXERS)), check)
    assert broken is None, str(broken)
