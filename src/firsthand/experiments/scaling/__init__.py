"""A small family of models, a law through their losses, and a bet: what will the next size reach?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firsthand import config as config_module
from firsthand.config import Config
from firsthand.errors import UserError
from firsthand.experiments.compare.match import size_of
from firsthand.experiments.scaling.law import Fit, Point, fit
from firsthand.experiments.series import Outcome, Series, SeriesShow, Trial
from firsthand.experiments.statistics import need_scipy
from firsthand.experiments.words import slug
from firsthand.ops.roof import measure_peak


@dataclass(frozen=True)
class Study:
    """`key`: the setting that decides the size, with its values from small to large; the last is the one that is
    predicted. `tokens`: how long the others are trained, each with a schedule of that length; the last model is
    trained on the most of them."""

    recipe: Path
    settings: Sequence[str]
    key: str
    values: Sequence[str]
    tokens: Sequence[float]
    command: str = ""


@dataclass(frozen=True)
class Member:
    """One run of the family: which size, its point, how many parameters."""

    value: str
    point: Point
    parameters: int


@dataclass(frozen=True)
class Answer:
    """The family, the law, and the bet: `predicted` and its band against what `target` reached."""

    family: list[Member]
    target: Member
    fit: Fit
    predicted: float
    band: tuple[float, float]
    machine: str
    started: str

    @property
    def error(self) -> float:
        """Of the prediction, as a share of the loss that was reached."""
        return self.predicted / self.target.point.loss - 1


def study(question: Study, folder: Path, resume: bool, show: SeriesShow) -> Answer:
    """Train the family, fit the law, predict, and only then train the target.

    Every model is built once without memory first. Stopped, after saving, if a signal asked for it; UserError for
    what the user can put right, and if a run fails.
    """
    need_scipy()
    if len(question.values) < 3 or len(question.tokens) < 1 or (len(question.values) - 1) * len(question.tokens) < 6:
        raise UserError(
            f"{len(question.values)} sizes and {len(question.tokens)} amounts of data are too few: the law needs six "
            "runs or more, and one size beyond them. Try --sizes with four values and --tokens with two or three."
        )
    series = Series(folder, "scaling", resume, show)
    most = max(question.tokens)
    pairs = [(value, tokens) for tokens in sorted(question.tokens) for value in question.values[:-1]]
    configs = {pair: series.pinned(_config(question, *pair)) for pair in [*pairs, (question.values[-1], most)]}
    corpora = {pair: series.corpus(config) for pair, config in configs.items()}
    for pair, config in configs.items():
        size_of(config, corpora[pair].tokenizer.vocab_size)
    measure_peak()
    family, outcomes = [], []
    for number, pair in enumerate(pairs, 1):
        outcomes.append(_run(series, configs[pair], pair, number, len(configs)))
        family.append(_member(outcomes[-1], pair, corpora[pair].tokenizer.vocab_size))
    found = fit([member.point for member in family])
    last = (question.values[-1], most)
    vocabulary = corpora[last].tokenizer.vocab_size
    weights = size_of(configs[last], vocabulary).flops_per_token / 6
    predicted, band = found.law.loss(weights, most), found.band(weights, most)
    outcome = _run(series, configs[last], last, len(configs), len(configs))
    target = _member(outcome, last, vocabulary)
    return Answer(family, target, found, predicted, band, series.machine(outcomes[0]), series.notes["started"])


def _config(question: Study, value: str, tokens: float) -> Config:
    size = [f"{question.key}={value}", f"train.tokens={tokens!r}", "train.steps=null", "train.seconds=null"]
    return config_module.load(question.recipe, [*question.settings, *size, "train.flops=null"])


def _run(series: Series, config: Config, pair: tuple[str, float], number: int, total: int) -> Outcome:
    value, tokens = pair
    trial = Trial(f"{slug(value)}-{tokens:.0f}-tokens", f"{value}, {tokens:.3g} tokens", config)
    outcome = series.run(trial, number, total)
    if outcome.error is not None:
        raise UserError(f"The run {trial.label!r} failed, and without it there is no law: {outcome.error}")
    return outcome


def _member(outcome: Outcome, pair: tuple[str, float], vocab_size: int) -> Member:
    """Weights as the arithmetic of a token sees them: FLOPs / 6, the head and the mixing included."""
    size = size_of(outcome.trial.config, vocab_size)
    summary = outcome.summary
    point = Point(size.flops_per_token / 6, float(summary["tokens"]), float(summary["validation_loss"]))
    return Member(pair[0], point, size.parameters)
