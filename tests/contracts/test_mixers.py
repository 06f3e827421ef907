"""Every mixer keeps every promise, and so do some with other settings. What MIXERS gains is tested with no new code."""

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.model.mixers import MIXERS

SPECS = (
    *MIXERS,
    {"part": "attention", "window": 5},
    {"part": "attention", "qk_norm": True, "softcap": 5.0},
    {"part": "attention", "bias": "qkv"},
    {"part": "linear_attention", "feature_map": "relu"},
)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("check", BATTERIES["mixer"])
def test_it_keeps_its_promise(spec, check):
    broken = broken_by(Part("mixer", spec, beside=SPECS), check)
    assert broken is None, str(broken)
