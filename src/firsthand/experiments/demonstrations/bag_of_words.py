"""The rival of a classifier: weighted words and pairs of words, and logistic regression (scikit-learn)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.data.records.schema import Labelled
from firsthand.errors import UserError

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse strengths of the penalty, of which the validation texts choose."""


def available() -> bool:
    try:
        import sklearn  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        return False
    return True


def bag_of_words(
    train: Sequence[Labelled], validation: Sequence[Labelled], test: Sequence[Labelled]
) -> Float[Tensor, "texts classes"]:
    """The log-probabilities of the classes, in alphabetical order, for each text of `test`.

    TF-IDF of words and pairs with 1 + ln(count), seen in at least two texts. UserError without scikit-learn.
    """
    if not available():
        raise UserError("The bag of words needs scikit-learn: pip install 'firsthand[eval]'.")
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    table = words.fit_transform([record.text for record in train])
    names = [record.label for record in train]
    held_out = words.transform([record.text for record in validation])
    best, found = -math.inf, None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
        model.fit(table, names)
        accuracy = model.score(held_out, [record.label for record in validation])
        if accuracy > best:
            best, found = accuracy, model
    assert found is not None
    return torch.from_numpy(found.predict_log_proba(words.transform([record.text for record in test]))).float()
