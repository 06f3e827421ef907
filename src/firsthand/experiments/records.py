"""A look at records before anything is trained on them: what they are, how long, and which tokens are learnt."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from firsthand import opened
from firsthand.data.fit import fit
from firsthand.data.records.schema import Labelled, Row, for_tuning
from firsthand.data.records.sources import Reading, read
from firsthand.data.rows import Packing
from firsthand.errors import UserError
from firsthand.experiments.tuning import with_marks
from firsthand.tokens import TOKENIZERS
from firsthand.tokens.chat import CHATML, ChatTemplate, Encoded

LONGEST = 1024
"""Tokens of a row, where the model does not say."""


@dataclass(frozen=True)
class Shown:
    """A record as the template writes it."""

    row: Row
    encoded: Encoded
    cut: str


@dataclass(frozen=True)
class Look:
    shown: list[Shown]
    template: ChatTemplate
    summary: dict[str, Any]


def template_of(model: str | None) -> tuple[ChatTemplate, int]:
    """The template that tuning would use with this model, and the row's length; without a model, ChatML over bytes."""
    if model is None:
        return ChatTemplate(CHATML, with_marks(TOKENIZERS["byte"].train([]))), LONGEST
    found = opened.find(model)
    length = min(LONGEST, found.fields.get("context_length") or LONGEST)
    return found.chat or ChatTemplate(CHATML, with_marks(found.tokenizer)), length


def look(source: str | list[str], model: str | None, limit: int, row_tokens: int | None = None) -> Look:
    """Read all of `source` and keep the first `limit` records to show. Bad rows are listed, never in the way."""
    template, usual = template_of(model)
    longest = (row_tokens or usual) + 1
    reading, kinds, labels, cuts = Reading(), Counter[str](), Counter[str](), Counter[str]()
    shown: list[Shown] = []
    lengths: list[int] = []
    learnt = 0
    for row in read(source, reading, skip_bad=True):
        try:
            messages = for_tuning(row.record.conversation())
        except UserError as error:
            reading.leave_out(row.where, error, skip_bad=True)
            continue
        kinds[type(row.record).__name__.lower()] += 1
        if isinstance(row.record, Labelled):
            labels[row.record.label] += 1
        fitted = fit(template, messages, longest)
        cuts["left out" if fitted is None else fitted.cut] += 1
        if fitted is None:
            continue
        lengths.append(len(fitted.encoded.ids) - 1)
        learnt += sum(fitted.encoded.learn)
        if len(shown) < limit:
            shown.append(Shown(row, fitted.encoded, fitted.cut))
    summary = asdict(reading) | {"kinds": dict(kinds), "labels": dict(labels.most_common(20))}
    summary |= _lengths(lengths, learnt, longest - 1) | {"cut": {key: n for key, n in cuts.items() if key}}
    return Look(shown, template, summary)


def _lengths(lengths: Sequence[int], learnt: int, row_tokens: int) -> dict[str, Any]:
    """How long conversations are, in tokens, and how full rows of `row_tokens` are when they share them."""
    if not lengths:
        return {"tokens": 0}
    rows = len(Packing(np.array(lengths), row_tokens))
    quantiles = np.quantile(lengths, (0.5, 0.95), method="nearest")
    return {
        "tokens": sum(lengths),
        "learnt_tokens": learnt,
        "median_tokens": int(quantiles[0]),
        "p95_tokens": int(quantiles[1]),
        "longest_tokens": max(lengths),
        "row_tokens": row_tokens,
        "packed_rows": rows,
        "padding": 1 - sum(lengths) / (rows * row_tokens),
    }
