"""Every norm keeps every promise. A new line in NORMS is tested here with no new code."""

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.model.norms import NORMS


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("check", BATTERIES["norm"])
def test_it_keeps_its_promise(name, check):
    broken = broken_by(Part("norm", name, beside=tuple(NORMS)), check)
    assert broken is None, str(broken)
