"""Mamba-2 equals that of `transformers` with the same weights: one mixer, gradients too, and a whole stack of layers.

Their group norm, silu and scan are the plain path in torch, which runs without the CUDA kernels.
"""

import pytest
import torch

from firsthand.model.make import build_model
from firsthand.model.mixers.mamba2 import Mamba2
from firsthand.types import Place

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


def config(n_groups, n_layers=1):
    return transformers.Mamba2Config(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=n_layers,
        num_heads=8,
        head_dim=8,
        state_size=16,
        n_groups=n_groups,
        chunk_size=32,
        tie_word_embeddings=True,
    )


def randomize(module):
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if not name.endswith(("A_log", "dt_bias")):
            torch.nn.init.normal_(parameter, std=0.2)
        else:
            torch.nn.init.uniform_(parameter, -1, 1)


@torch.no_grad()
def copy_mixer(theirs, ours):
    channels = ours.gain.numel()
    gate, enter, time = theirs.in_proj.weight.split([channels, len(ours.taps), len(ours.skip)])
    ours.gate.weight.copy_(gate)
    ours.enter.weight.copy_(enter)
    ours.time.weight.copy_(time)
    ours.taps.copy_(theirs.conv1d.weight.squeeze(1))
    ours.taps_bias.copy_(theirs.conv1d.bias)
    ours.time_bias.copy_(theirs.dt_bias)
    ours.log_decay.copy_(theirs.A_log)
    ours.skip.copy_(theirs.D)
    ours.gain.copy_(theirs.norm.weight)
    ours.out.weight.copy_(theirs.out_proj.weight)


@pytest.mark.parametrize("n_groups", [1, 2])
@pytest.mark.parametrize("time", [1, 65, 130])
def test_one_mixer(n_groups, time):
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    theirs, ours = Mamba2Mixer(config(n_groups), 0), Mamba2(32, d_head=8, d_state=16, n_groups=n_groups)
    randomize(theirs)
    copy_mixer(theirs, ours)
    x = torch.randn(2, time, 32, generator=torch.Generator().manual_seed(1))
    found = []
    for call in (lambda x: ours(x, place(time))[0], theirs):
        leaf = x.clone().requires_grad_()
        y = call(leaf)
        y.square().sum().backward()
        found.append((y, leaf.grad))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
    for own, other in [(ours.log_decay, theirs.A_log), (ours.time_bias, theirs.dt_bias), (ours.skip, theirs.D)]:
        torch.testing.assert_close(own.grad, other.grad, atol=1e-4 * float(other.grad.abs().max()), rtol=1e-3)


@torch.no_grad()
def test_a_stack_of_layers():
    theirs = transformers.Mamba2ForCausalLM(config(1, n_layers=3)).eval()
    randomize(theirs)
    fields = {"preset": "mamba2", "d_model": 32, "n_layers": 3, "context_length": 64, "tied": True}
    ours = build_model({**fields, "mixer": {"part": "mamba2", "d_head": 8, "d_state": 16}}, 50).eval()
    ours.embedding.weight.copy_(theirs.backbone.embeddings.weight)
    for block, layer in zip(ours.blocks, theirs.backbone.layers, strict=True):
        copy_mixer(layer.mixer, block.mixer)
        block.mixer_norm.gain.copy_(layer.norm.weight)
    ours.norm.gain.copy_(theirs.backbone.norm_f.weight)
    ids = torch.randint(50, (2, 40), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=1e-4)
