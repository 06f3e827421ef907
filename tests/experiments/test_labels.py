"""A classifier from records to its command: what the run leaves, and what it says of a text."""

import csv
import json

import pytest
import torch

import firsthand
from firsthand import config
from firsthand.cli import app
from firsthand.data.labelled import Examples
from firsthand.errors import UserError
from firsthand.experiments.run import execute
from firsthand.opened import open_model
from firsthand.train.objectives.classify import Classify

RECIPE = {
    "data": {"kind": "labels", "row_tokens": 24, "batch_tokens": 384},
    "tokenizer": "char",
    "model": {"n_layers": 1, "d_model": 32, "n_heads": 2, "context_length": 32},
    "train": {
        "steps": 40,
        "objective": {"part": "classify", "class_weights": "balanced"},
        "optimizer": {"part": "adamw", "lr": 0.01},
        "sample_every": 20,
        "evaluate_every": 20,
        "threads": 1,
        "compile": False,
        "precision": "fp32",
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that tells messages with a prize from those without, and its summary."""
    folder = tmp_path_factory.mktemp("labels")
    with (folder / "messages.tsv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["label", "text"])
        for number in range(160):
            spam = number % 4 == 0
            rows.writerow(["spam" if spam else "ham", f"{'win a prize' if spam else 'see you'} at {number}"])
    tree = {**RECIPE, "run": {"dir": str(folder / "run")}}
    tree["data"] = RECIPE["data"] | {"source": str(folder / "messages.tsv")}
    return folder / "run", execute(config.parse(tree, "test"))


def test_a_run_leaves_its_figures_and_pictures(trained):
    folder, summary = trained
    report = json.loads((folder / "report.json").read_text())
    assert report.keys() == {"validation", "test"}
    assert report["test"]["confusion"]["classes"] == ["ham", "spam"]
    assert report["test"]["rows"] == sum(map(sum, report["test"]["confusion"]["true_by_predicted"]))
    assert report["test"]["positive"] == "spam"
    assert summary["test_accuracy"] == report["test"]["accuracy"] == 1.0
    assert summary["test_positive_f1"] == 1.0
    assert summary["test_majority"] < 0.9
    drawn = {path.name for path in (folder / "plots").iterdir()}
    assert {"confusion.png", "confusion.svg", "calibration.png", "training.png"} <= drawn
    assert "[ham " in (folder / "samples.md").read_text()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any("accuracy" in line and "validation_loss" in line for line in lines)


def test_the_command_names_the_class(trained, capsys):
    folder, _ = trained
    texts = ["--text", "win a prize at 44", "--text", "see you at 9"]
    app(["classify", str(folder), *texts, "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in found] == ["spam", "ham"]
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-6 for row in found)
    app(["classify", str(folder), *texts], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[0].startswith("spam\t")


def test_a_classifier_writes_no_text_and_a_writer_knows_no_classes(trained):
    folder, _ = trained
    opened = open_model(folder)
    assert (opened.labels, opened.row_tokens) == (("ham", "spam"), 24)
    with pytest.raises(UserError, match=r"names classes \(ham, spam"):
        firsthand.load(folder)
    with pytest.raises(UserError, match="no text to classify"):
        app(["classify", str(folder)], standalone_mode=False)


def test_class_weights_make_rare_classes_count_more():
    objective = Classify("balanced", class_counts=[30, 10])
    assert objective.weights.tolist() == pytest.approx([40 / 60, 40 / 20])
    model = open_like()
    batch = Examples.of([[1, 2, 3], [4, 5]], [0, 1]).batch([0, 1], 8)
    loss = objective(model, batch)
    assert int(loss.count) == 2
    assert float(loss.value.detach()) == pytest.approx((40 / 60 + 2) * torch.log(torch.tensor(2.0)).item())
    assert float(Classify()(model, batch).value.detach()) == pytest.approx(2 * torch.log(torch.tensor(2.0)).item())
    with pytest.raises(UserError, match="class_weights"):
        Classify("even", class_counts=[1, 1])
    with pytest.raises(UserError, match="2 classes"):
        Classify([1.0], class_counts=[1, 1])


def open_like():
    """A model with a new head, to which all classes are alike."""
    from firsthand.adapt.heads import put_head
    from firsthand.model.make import build_model

    model = build_model({"n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 8}, 9)
    put_head(model, 2)
    return model


def test_padding_changes_nothing():
    from firsthand.adapt.classify import class_logits

    model = open_like()
    torch.nn.init.normal_(model.unembedding.weight)
    rows = [[1, 2, 3, 4, 5], [4, 5], [7]]
    together = class_logits(model, Examples.of(rows, [0, 0, 0]), 8)
    alone = torch.cat([class_logits(model, Examples.of([row], [0]), 8) for row in rows])
    torch.testing.assert_close(together, alone)
    assert together.std(0).min() > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\n" + "".join(f"{n}\tone\n" for n in range(50)), "nothing is to be told apart"),
        ("prompt\tcompletion\na\tb\n", "no label"),
    ],
)
def test_records_that_make_no_classifier(tmp_path, content, message):
    (tmp_path / "rows.tsv").write_text(content)
    tree = {**RECIPE, "run": {"dir": str(tmp_path / "run")}}
    tree["data"] = RECIPE["data"] | {"source": str(tmp_path / "rows.tsv")}
    with pytest.raises(UserError, match=message):
        execute(config.parse(tree, "test"))
