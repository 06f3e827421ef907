"""Figures of classifiers against scikit-learn's, and against their definitions where it has none."""

import math

import pytest
import torch

from firsthand.evaluate.report import accuracy, calibration, confusion, f1, macro_f1, per_class
from firsthand.types import IGNORE

metrics = pytest.importorskip("sklearn.metrics", reason="the extra eval is not installed")


def drawn(seed, rows=200, classes=4):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=generator)
    logits = torch.randn(rows, classes, generator=generator)
    logits[torch.arange(rows), labels] += 1  # better than chance, and far from perfect
    return logits, labels


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed):
    logits, labels = drawn(seed)
    said = logits.argmax(-1)
    assert accuracy(logits, labels) == pytest.approx(metrics.accuracy_score(labels, said))
    assert confusion(logits, labels).tolist() == metrics.confusion_matrix(labels, said).tolist()
    assert macro_f1(logits, labels) == pytest.approx(metrics.f1_score(labels, said, average="macro"))
    theirs = metrics.precision_recall_fscore_support(labels, said)
    for number, score in enumerate(per_class(logits, labels)):
        expected = [column[number] for column in theirs]
        assert [score.precision, score.recall, score.f1, score.support] == pytest.approx(expected)
        assert f1(logits, labels, number) == score.f1


def test_a_class_that_nobody_names_has_zero_f1_and_no_division_by_zero():
    logits = torch.tensor([[2.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
    labels = torch.tensor([0, 1])
    assert f1(logits, labels, 0) == pytest.approx(2 / 3)
    assert f1(logits, labels, 1) == 0.0
    assert f1(logits, labels, 2) == 0.0
    assert macro_f1(logits, labels) == pytest.approx(1 / 3), "the third class is not there at all"


def test_rows_without_a_label_count_nowhere():
    logits, labels = drawn(5)
    ignored = labels.clone()
    ignored[::2] = IGNORE
    assert accuracy(logits, ignored) == accuracy(logits[1::2], labels[1::2])
    assert confusion(logits, ignored).sum() == 100
    assert calibration(logits, ignored) == calibration(logits[1::2], labels[1::2])
    assert math.isnan(accuracy(logits[:0], labels[:0]))


def test_calibration_is_the_distance_of_confidence_from_accuracy():
    probability = torch.tensor([[0.95, 0.05], [0.91, 0.09], [0.62, 0.38], [0.25, 0.75]])
    labels = torch.tensor([0, 1, 0, 1])
    found = calibration(probability.log(), labels)
    assert found.count == [0, 0, 0, 0, 0, 0, 1, 1, 0, 2]
    assert [found.confidence[6], found.confidence[7], found.confidence[9]] == pytest.approx([0.62, 0.75, 0.93])
    assert [found.accuracy[6], found.accuracy[7], found.accuracy[9]] == [1.0, 1.0, 0.5]
    assert found.confidence[0] is None
    assert found.error == pytest.approx((0.38 + 0.25 + 2 * 0.43) / 4)


def test_a_classifier_that_says_what_is_so_is_calibrated():
    generator = torch.Generator().manual_seed(1)
    probability = torch.rand(20_000, generator=generator)
    labels = (torch.rand(20_000, generator=generator) < probability).long()
    assert calibration(torch.stack([1 - probability, probability], -1).log(), labels).error < 0.02
