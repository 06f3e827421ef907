"""Every FFN keeps every promise, and so do some with other settings. What FFNS gains is tested with no new code."""

import pytest

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.model.ffns import FFNS

SPECS = (
    *FFNS,
    {"part": "mlp", "activation": "relu2", "bias": True},
    {"part": "experts", "n_shared": 1, "score": "sigmoid", "balance": "bias"},
)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("check", BATTERIES["ffn"])
def test_it_keeps_its_promise(spec, check):
    broken = broken_by(Part("ffn", spec, beside=SPECS), check)
    assert broken is None, str(broken)
