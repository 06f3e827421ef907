"""What is special to each arrangement of a layer."""

import torch

from firsthand.model.make import build_model

SMALL = {"n_layers": 3, "d_model": 32, "n_heads": 2, "context_length": 16}


def test_a_layer_without_ffn_has_no_second_norm_and_costs_nothing():
    model = build_model({**SMALL, "ffn": ["mlp", "none"]}, 10)
    halves = [{name.partition(".")[0] for name, _ in block.named_parameters()} for block in model.blocks]
    assert halves == [{"mixer_norm", "mixer", "ffn_norm", "ffn"}, {"mixer_norm", "mixer"}, *halves[:1]]
    assert model(torch.zeros(1, 5, dtype=torch.long)).isfinite().all()
