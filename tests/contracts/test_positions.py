"""Every position scheme keeps every promise, and so do some with other settings. A new line in POSITIONS is tested."""

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.model.positions import POSITIONS

SPECS = (
    *POSITIONS,
    {"part": "rope", "layout": "half"},
    {"part": "rope", "scaling": "yarn", "factor": 4.0},
)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("check", BATTERIES["position"])
def test_it_keeps_its_promise(spec, check):
    broken = broken_by(Part("position", spec, beside=SPECS), check)
    assert broken is None, str(broken)
