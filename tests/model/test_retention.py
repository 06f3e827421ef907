"""What is special to retention: the paper's parallel formula, and the speeds at which heads forget."""

import pytest
import torch

from firsthand.model.mixers.retention import Retention, log_decay
from firsthand.model.positions import Rope
from firsthand.types import Place


def inputs(batch=2, time=70, d_model=16):
    return torch.randn(batch, time, d_model, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_speeds_of_the_paper():
    torch.testing.assert_close(log_decay(4).exp(), 1 - torch.tensor([1 / 32, 1 / 64, 1 / 128, 1 / 256]))


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_it_is_the_papers_parallel_formula(n_kv_heads):
    """(Q Θ)(K Θ̄)ᵀ ∘ D, eq. 5, with Θ as complex turns; then the norm of each head and the gate, eq. 8."""
    torch.manual_seed(0)
    mixer = Retention(16, 4, n_kv_heads, position=Rope(4)).double()
    x, time = inputs(), 70
    query = torch.view_as_complex(mixer.query(x).unflatten(2, (4, 2, 2)))
    key = torch.view_as_complex(mixer.key(x).unflatten(2, (n_kv_heads, 2, 2))).repeat_interleave(4 // n_kv_heads, 2)
    value = mixer.value(x).unflatten(2, (n_kv_heads, 8)).repeat_interleave(4 // n_kv_heads, 2)
    angles = torch.arange(time)[:, None] * 10000.0 ** (-torch.arange(2, dtype=torch.float64) / 2)
    turns = torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    scores = torch.einsum("bihc,bjhc->bhij", query * turns, (key * turns).conj()).real / 4**0.5
    distance = torch.arange(time)[:, None] - torch.arange(time)
    gamma = 1 - 2.0 ** (-5 - torch.arange(4, dtype=torch.float64))
    fades = torch.where(distance >= 0, gamma[:, None, None] ** distance.clamp(min=0), 0)
    read = torch.einsum("bhij,bjhd->bihd", scores * fades, value)
    normed = (read - read.mean(-1, keepdim=True)) / (read.var(-1, correction=0, keepdim=True) + mixer.eps).sqrt()
    gate = mixer.gate(x)
    expected = mixer.out(normed.flatten(2) * gate * torch.sigmoid(gate))
    found, _ = mixer(x, Place(torch.arange(time).unsqueeze(0)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)  # turns and speeds are kept in fp32
    assert mixer.state_size(1) == mixer.state_size(10**6) == 4 * 4 * 8
