"""Expert counts, and their way into a run's folder."""

import json

import pytest
import torch

from firsthand.evaluate.experts import expert_visits, shares
from firsthand.experiments.expert_load import expert_load, last_load
from firsthand.model.make import build_model

FIELDS = {
    "n_layers": 3,
    "d_model": 16,
    "n_heads": 2,
    "context_length": 8,
    "ffn": ["mlp", {"part": "experts", "n_experts": 4, "top_k": 2}],
}


def test_every_visit_is_counted_while_it_lasts():
    model = build_model(FIELDS, 11)
    ids = torch.randint(11, (3, 8), generator=torch.Generator().manual_seed(0))
    with expert_visits(model) as visits:
        model(ids)
        model(ids)
    assert set(visits) == {"blocks.1.ffn"}
    assert visits["blocks.1.ffn"].sum().item() == 2 * 3 * 8 * 2
    before = visits["blocks.1.ffn"].clone()
    model(ids)
    assert torch.equal(visits["blocks.1.ffn"], before)
    assert sum(shares(visits)["blocks.1.ffn"]) == pytest.approx(1.0)


def test_a_model_without_experts_counts_nothing():
    model = build_model(FIELDS | {"ffn": "mlp"}, 11)
    with expert_visits(model) as visits:
        model(torch.zeros(1, 8, dtype=torch.long))
    assert visits == {}


def test_the_last_evaluation_counts_and_damage_is_passed_over(tmp_path):
    lines = [{"step": 1, "expert_load": {"blocks.0.ffn": [0.9, 0.1]}}, {"step": 2, "loss": 1.0}]
    lines.append({"step": 3, "expert_load": {"blocks.0.ffn": [0.4, 0.6], "blocks.2.ffn": [0.5, 0.25, 0.25]}})
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text + '\n{"step": 4, "expert_lo')
    load = last_load(tmp_path)
    assert load == lines[2]["expert_load"]
    axes = expert_load(load).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "2"]
    assert sorted(text.get_text() for text in axes.texts) == sorted(["0.8", "1.2", "1.5", "0.8", "0.8"])


def test_no_file_no_load(tmp_path):
    assert last_load(tmp_path) == {}
