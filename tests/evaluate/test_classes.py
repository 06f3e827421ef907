"""Classes by their names, and all figures of a classifier at once."""

import pytest
import torch

from firsthand.evaluate.classes import label_map, report

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(3, (200,), generator=GENERATOR)
LOGITS = torch.randn(200, 3, generator=GENERATOR) + 1.5 * torch.nn.functional.one_hot(LABELS, 3)
NAMES = ["comedy", "history", "tragedy"]


def test_figures_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="the extra eval is not installed")
    predicted = LOGITS.argmax(-1)
    found = report(LOGITS, LABELS, NAMES, positive="history")
    scores = metrics.f1_score(LABELS, predicted, average=None)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(LABELS, predicted))
    assert found["f1"] == pytest.approx(dict(zip(NAMES, scores, strict=True)))
    assert found["macro_f1"] == pytest.approx(scores.mean())
    assert found["positive_f1"] == found["f1"]["history"]
    assert found["majority"] == pytest.approx(LABELS.bincount().max().item() / 200)
    table = metrics.confusion_matrix(LABELS, predicted).tolist()
    assert found["confusion"] == {"classes": NAMES, "true_by_predicted": table}
    assert found["nats"] == pytest.approx(metrics.log_loss(LABELS, LOGITS.double().softmax(-1)), rel=1e-5)


def test_the_curve_of_calibration_has_the_bins_with_rows():
    logits = torch.tensor([[0.95, 0.05], [0.92, 0.08], [0.3, 0.7], [0.35, 0.65]]).log()
    found = report(logits, torch.tensor([0, 1, 1, 1]), ["a", "b"])
    assert [point["rows"] for point in found["calibration"]] == [2, 2]
    assert found["calibration"][0] == pytest.approx({"confidence": 0.675, "accuracy": 1.0, "rows": 2})
    assert found["calibration"][1] == pytest.approx({"confidence": 0.935, "accuracy": 0.5, "rows": 2})
    assert found["expected_calibration_error"] == pytest.approx((0.325 + 0.435) / 2)


def test_labels_have_the_same_numbers_in_any_order():
    assert label_map(["spam", "ham", "spam"]) == label_map(["ham", "spam"]) == {"ham": 0, "spam": 1}
