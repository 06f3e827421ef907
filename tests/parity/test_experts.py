"""Experts equal those of `transformers` with the same weights: Mixtral's, and DeepSeek-V3's with one group of experts.

DeepSeek-V3 limits a token to the experts of a few groups (machines); we have no such limit, so n_group is 1 here.
"""

import pytest
import torch

from firsthand.model.ffns.experts import Experts

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")


@torch.no_grad()
def copy_experts(theirs, ours):
    gate, up = theirs.experts.gate_up_proj.chunk(2, dim=1)
    for own, other in [(ours.gate, gate), (ours.up, up), (ours.down, theirs.experts.down_proj)]:
        own.weight.copy_(other)
    ours.router.weight.copy_(theirs.gate.weight)


def outputs_and_gradients(ours, theirs):
    x = torch.randn(2, 65, 24, generator=torch.Generator().manual_seed(1))
    found = []
    for call in (lambda x: ours(x)[0], theirs):
        leaf = x.clone().requires_grad_()
        y = call(leaf)
        y.square().sum().backward()
        found.append((y, leaf.grad))
    return found


def randomize(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


def test_mixtral():
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    config = transformers.MixtralConfig(hidden_size=24, intermediate_size=40, num_local_experts=6)
    config._experts_implementation = "eager"
    theirs, ours = MixtralSparseMoeBlock(config).eval(), Experts(24, 40, n_experts=6, top_k=2).eval()
    randomize(theirs)
    copy_experts(theirs, ours)
    torch.testing.assert_close(*outputs_and_gradients(ours, theirs), atol=1e-5, rtol=1e-4)


def test_deepseek_v3():
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE

    config = transformers.DeepseekV3Config(
        hidden_size=24,
        moe_intermediate_size=16,
        n_routed_experts=8,
        num_experts_per_tok=3,
        n_shared_experts=2,
        n_group=1,
        topk_group=1,
        routed_scaling_factor=2.5,
    )
    config._experts_implementation = "eager"
    theirs = DeepseekV3MoE(config).eval()
    ours = Experts(
        24, 16, n_experts=8, top_k=3, n_shared=2, score="sigmoid", scale=2.5, balance="bias", balance_weight=1e-3
    ).eval()
    randomize(theirs)
    copy_experts(theirs, ours)
    with torch.no_grad():
        theirs.gate.e_score_correction_bias.normal_(std=0.3)
        ours.balance.bias.copy_(theirs.gate.e_score_correction_bias)
        for own, other in [("gate", "gate_proj"), ("up", "up_proj"), ("down", "down_proj")]:
            getattr(ours.shared, own).weight.copy_(getattr(theirs.shared_experts, other).weight)
    torch.testing.assert_close(*outputs_and_gradients(ours, theirs), atol=1e-5, rtol=1e-4)


def test_the_balance_loss_of_mixtral():
    """Theirs is not divided by the number of choices; ours is 1 at balance for any top_k."""
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    ours = Experts(24, 8, n_experts=6, top_k=2, balance_weight=1.0)
    tokens = torch.randn(50, 24, generator=torch.Generator().manual_seed(2))
    _, experts, scores = ours.route(tokens)
    theirs = load_balancing_loss_func((tokens @ ours.router.weight.t(),), 6, 2)
    torch.testing.assert_close(ours.balance.loss(scores, ours.counts(experts)), theirs / 2)
