"""What the runs of a comparison say: figures for every variant, a test against the baseline, and sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from firsthand.experiments.compare.match import Size
from firsthand.experiments.compare.variants import Variant
from firsthand.experiments.markdown import amount, p_value
from firsthand.experiments.series import Outcome
from firsthand.experiments.statistics import ALPHA, Difference, Estimate, estimate, holm, paired


@dataclass(frozen=True)
class Finding:
    """A variant's runs in the order of their seeds, and what they say.

    `bits`: bits per byte of the whole validation text, over the runs that finished (None: none did). `difference`: from
    the baseline, over the seeds that both finished; `p`: its p-value after Holm's correction. None for the baseline.
    """

    variant: Variant
    size: Size
    outcomes: list[Outcome]
    bits: Estimate | None
    difference: Difference | None = None
    p: float | None = None

    @property
    def label(self) -> str:
        return self.variant.label

    @property
    def tokens_per_second(self) -> float | None:
        """The median over the runs, of each the median over its training lines."""
        speeds = [outcome.run.summary()["tokens_per_second"] for outcome in self.outcomes]
        known = [speed for speed in speeds if speed is not None]
        return median(known) if known else None

    @property
    def peak_memory(self) -> int | None:
        """Bytes: the largest of the runs that were measured."""
        return max((outcome.summary.get("peak_memory") or 0 for outcome in self.outcomes), default=0) or None

    def to_json(self) -> dict[str, Any]:
        bits, difference = self.bits, self.difference
        return {
            "variant": self.label,
            "changes": self.variant.changes,
            "bits_per_byte": bits and {"mean": bits.mean, "low": bits.low, "high": bits.high, "runs": bits.count},
            "difference": difference
            and {
                "mean": difference.estimate.mean,
                "low": difference.estimate.low,
                "high": difference.estimate.high,
                "pairs": difference.estimate.count,
                "p": difference.p,
                "p_corrected": self.p,
            },
            "tokens_per_second": self.tokens_per_second,
            "peak_memory": self.peak_memory,
            "parameters": self.size.parameters,
            "flops_per_token": self.size.flops_per_token,
            "runs": [_run(outcome) for outcome in self.outcomes],
        }


def findings(
    variants: Sequence[Variant], sizes: Sequence[Size], outcomes: Sequence[Sequence[Outcome]], baseline: int = 0
) -> list[Finding]:
    """`outcomes`: of each variant, in the order of the seeds. `baseline`: the place of the variant to test against."""
    base = outcomes[baseline]
    differences = [None if own is base else _difference(own, base) for own in outcomes]
    p_values = holm([found.p if found else None for found in differences])
    return [
        Finding(variant, size, list(own), _estimate(own), difference, p)
        for variant, size, own, difference, p in zip(variants, sizes, outcomes, differences, p_values, strict=True)
    ]


def sentences(found: Sequence[Finding], baseline: int) -> list[str]:
    """What may be said, one sentence or two for each variant but the baseline, and what spoils the comparison."""
    base, tests = found[baseline], sum(finding.p is not None for finding in found)
    said = [_sentence(finding, base, tests) for finding in found if finding is not base]
    for finding in found:
        failed = [outcome for outcome in finding.outcomes if outcome.error is not None]
        if failed:
            said.append(f"**{finding.label}**: {len(failed)} of {len(finding.outcomes)} runs failed. {failed[0].error}")
    return said


def _sentence(finding: Finding, base: Finding, tests: int) -> str:
    names = f"**{finding.label}** and **{base.label}**"
    if finding.difference is None:
        return f"Nothing can be said of {names}: no seed finished with both."
    difference, p = finding.difference.estimate, finding.p
    if p is None or difference.margin is None:
        return (
            f"Nothing can be said of {names} by one seed: {difference.mean:+.4f} bits per byte lie between these two "
            "runs, and another seed may turn that round. No p-value can be given; --seeds 3 or more gives one."
        )
    interval = f"95% interval {difference.low:+.4f} to {difference.high:+.4f}, p = {p_value(p)}".replace("= <", "< ")
    corrected = f" after Holm's correction for {tests} tests" if tests > 1 else ""
    if p < ALPHA:
        way = "better" if difference.mean < 0 else "worse"
        return (
            f"**{finding.label}** is {way} than **{base.label}** by {abs(difference.mean):.4f} bits per byte "
            f"({interval}{corrected})."
        )
    return (
        f"**No difference found** between {names}: {difference.mean:+.4f} bits per byte ({interval}{corrected}). "
        f"A difference smaller than about {difference.margin:.4f} would not show with {difference.count} seeds."
    )


def inequalities(found: Sequence[Finding], baseline: int) -> list[str]:
    """Sizes of the models that differ from the baseline's by more than 1%."""
    base = found[baseline].size
    said = []
    for name, values, unit in (
        ("parameters", [finding.size.parameters for finding in found], base.parameters),
        ("FLOPs per token", [finding.size.flops_per_token for finding in found], base.flops_per_token),
    ):
        if max(abs(value / unit - 1) for value in values) > 0.01:
            option = "params" if name == "parameters" else "flops"
            spread = f"from {amount(min(values))} to {amount(max(values))}"
            said.append(f"The variants do not have the same {name} ({spread}); `--match {option}` makes them alike.")
    return said


def _difference(own: Sequence[Outcome], base: Sequence[Outcome]) -> Difference | None:
    pairs = [(_bits(one), _bits(other)) for one, other in zip(own, base, strict=True)]
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    return paired([one for one, _ in both], [other for _, other in both]) if both else None


def _estimate(outcomes: Sequence[Outcome]) -> Estimate | None:
    bits = [bits for outcome in outcomes if (bits := _bits(outcome)) is not None]
    return estimate(bits) if bits else None


def _bits(outcome: Outcome) -> float | None:
    bits = outcome.bits_per_byte
    return bits if bits is not None and math.isfinite(bits) else None


def _run(outcome: Outcome) -> dict[str, Any]:
    keys = ("bits_per_byte", "validation_loss", "steps", "tokens", "seconds", "flops", "peak_memory", "precision")
    return {
        "run": outcome.trial.name,
        "seed": outcome.trial.config.train.seed,
        "error": outcome.error,
        "tokens_per_second": outcome.run.summary()["tokens_per_second"],
        **{key: outcome.summary.get(key) for key in keys},
    }
