"""Figures of a classifier, against the library that everybody checks with."""

import pytest
import torch

from firsthand.evaluate.classes import accuracy, calibration, confusion, f1, label_map, report, stratified_split

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(3, (200,), generator=GENERATOR)
LOGITS = torch.randn(200, 3, generator=GENERATOR) + 1.5 * torch.nn.functional.one_hot(LABELS, 3)
NAMES = ["comedy", "history", "tragedy"]


def test_figures_are_those_of_scikit_learn():
    from sklearn import metrics

    predicted = LOGITS.argmax(-1)
    assert accuracy(LOGITS, LABELS) == pytest.approx(metrics.accuracy_score(LABELS, predicted))
    scores = metrics.f1_score(LABELS, predicted, average=None)
    assert [f1(LOGITS, LABELS, number) for number in range(3)] == pytest.approx(list(scores))
    assert confusion(LOGITS, LABELS).tolist() == metrics.confusion_matrix(LABELS, predicted).tolist()
    found = report(LOGITS, LABELS, NAMES, positive="history")
    assert found["macro_f1"] == pytest.approx(scores.mean())
    assert found["positive_f1"] == found["f1"]["history"] == pytest.approx(scores[1])
    assert found["majority"] == pytest.approx(LABELS.bincount().max().item() / 200)


def test_a_class_that_is_neither_there_nor_found_has_an_f1_of_zero():
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    assert f1(logits, torch.tensor([0, 1]), positive=2) == 0.0
    assert f1(logits, torch.tensor([0, 0]), positive=0) == 1.0


def test_calibration_is_the_mean_of_each_bin():
    logits = torch.tensor([[0.95, 0.05], [0.92, 0.08], [0.3, 0.7], [0.35, 0.65]]).log()
    curve = calibration(logits, torch.tensor([0, 1, 1, 1]))
    assert [point["rows"] for point in curve] == [2, 2]
    assert curve[0] == pytest.approx({"confidence": 0.675, "accuracy": 1.0, "rows": 2})
    assert curve[1] == pytest.approx({"confidence": 0.935, "accuracy": 0.5, "rows": 2})
    found = report(logits, torch.tensor([0, 1, 1, 1]), ["a", "b"])
    assert found["expected_calibration_error"] == pytest.approx((0.325 + 0.435) / 2)


def test_labels_have_the_same_numbers_in_any_order():
    assert label_map(["spam", "ham", "spam"]) == label_map(["ham", "spam"]) == {"ham": 0, "spam": 1}


def test_a_stratified_split_shares_out_every_class_and_no_row_twice():
    labels = ["spam"] * 30 + ["ham"] * 70
    sides = stratified_split(labels, (0.8, 0.1, 0.1), torch.Generator().manual_seed(1))
    assert sorted(row for side in sides for row in side) == list(range(100))
    assert [[labels[row] for row in side].count("spam") for side in sides] == [24, 3, 3]
    assert sides == stratified_split(labels, (0.8, 0.1, 0.1), torch.Generator().manual_seed(1))
    assert sides != stratified_split(labels, (0.8, 0.1, 0.1), torch.Generator().manual_seed(2))
