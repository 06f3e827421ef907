"""What is said of runs: found, not found, or nothing to be said."""

from datetime import datetime
from pathlib import Path

import pytest
from scipy import stats

from firsthand import config
from firsthand.config import Config
from firsthand.experiments.compare.findings import Finding, findings, inequalities, sentences
from firsthand.experiments.compare.match import Size
from firsthand.experiments.compare.variants import Variant
from firsthand.experiments.metrics import Metrics
from firsthand.experiments.runs import Run
from firsthand.experiments.series import Outcome, Trial

BASE = [2.310, 2.290, 2.335]
BETTER = [2.281, 2.259, 2.306]
SAME = [2.303, 2.296, 2.334]


def _outcomes(label: str, bits: list[float | None]) -> list[Outcome]:
    found = []
    for seed, value in enumerate(bits):
        tree = config.parse({"train": {"seed": seed, "steps": 1}}, "test")
        status = {"bits_per_byte": value, "peak_memory": 100 + seed}
        lines = [{"step": 1.0, "tokens_per_second": 1000.0 * (seed + 1)}]
        run = Run(Path(f"{label}-{seed}"), "finished", datetime(2026, 1, 1), {}, status, Metrics(lines))
        error = None if value is not None else "It diverged."
        found.append(Outcome(Trial(f"{label}-{seed}", label, tree), run, error))
    return found


def _found(baseline: int = 0, **bits: list[float | None]) -> list[Finding]:
    variants = [Variant(label, Config()) for label in bits]
    sizes = [Size(1000 + 100 * place, 5e3) for place in range(len(bits))]
    return findings(variants, sizes, [_outcomes(label, each) for label, each in bits.items()], baseline)


def test_figures_of_a_variant() -> None:
    base, better = _found(base=BASE, better=BETTER)
    assert base.bits is not None
    assert base.bits.mean == pytest.approx(sum(BASE) / 3)
    assert base.difference is None
    assert better.tokens_per_second == 2000
    assert better.peak_memory == 102
    assert better.p == pytest.approx(stats.ttest_rel(BETTER, BASE).pvalue)


def test_a_difference_is_found_and_has_a_direction() -> None:
    found = _found(base=BASE, better=BETTER)
    assert len(sentences(found, 0)) == 1
    assert sentences(found, 0)[0].startswith("**better** is better than **base** by 0.0297 bits per byte (95% interval")
    found = _found(1, base=BASE, better=BETTER)
    assert sentences(found, 1)[0].startswith("**base** is worse than **better** by 0.0297")


def test_a_smaller_mean_is_not_enough() -> None:
    """The mean of SAME is below that of BASE, and yet nothing is claimed."""
    found = _found(base=BASE, same=SAME)
    assert found[1].difference is not None
    assert found[1].difference.estimate.mean < 0
    (said,) = sentences(found, 0)
    assert said.startswith("**No difference found** between **same** and **base**")
    assert "would not show with 3 seeds" in said
    assert "better" not in said


def test_several_tests_are_corrected() -> None:
    noisy = [2.300, 2.285, 2.322]
    alone = _found(base=BASE, noisy=noisy)[1]
    among = _found(base=BASE, noisy=noisy, same=SAME, other=[2.3, 2.31, 2.33])[1]
    assert alone.p is not None
    assert among.p == pytest.approx(3 * alone.p)
    assert "Holm's correction for 3 tests" in sentences(_found(base=BASE, a=noisy, b=SAME, c=BETTER), 0)[0]


def test_one_seed_says_nothing() -> None:
    found = _found(base=BASE[:1], better=BETTER[:1])
    (said,) = sentences(found, 0)
    assert "No p-value can be given" in said
    assert found[1].p is None
    assert found[0].bits is not None
    assert found[0].bits.margin is None


def test_failed_runs_are_told_and_left_out_of_pairs() -> None:
    found = _found(base=[2.3, None, 2.335], better=BETTER)
    assert found[1].difference is not None
    assert found[1].difference.estimate.count == 2
    assert sentences(found, 0)[-1] == "**base**: 1 of 3 runs failed. It diverged."
    nothing = _found(base=[None], better=[2.2])
    assert "no seed finished with both" in sentences(nothing, 0)[0]
    assert nothing[0].bits is None
    assert nothing[0].to_json()["bits_per_byte"] is None


def test_unequal_sizes_are_told() -> None:
    assert inequalities(_found(base=BASE, larger=SAME), 0) == [
        "The variants do not have the same parameters (from 1,000 to 1,100); `--match params` makes them alike."
    ]
