"""What is special to latent attention: one vector a token is remembered, and the absorbed form is the same."""

import pytest
import torch

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.errors import UserError
from firsthand.model.mixers.kv_cache import Readable
from firsthand.model.mixers.latent_attention import LatentAttention
from firsthand.model.positions import ALiBi, Rope
from firsthand.ops.attention.mask import causal_mask
from firsthand.ops.attention.reference import attention
from firsthand.types import Place

SIZES = {"d_head": 4, "d_latent": 10, "d_content": 6, "d_value": 5}
VARIANTS = [
    {"part": "latent_attention", "d_query_latent": 10, "d_latent": 7, "d_content": 5, "d_value": 3, "bias": True},
    {"part": "latent_attention", "d_latent": 40, "d_content": 1, "scale": 0.3},
]


def inputs(batch=2, time=9, d_model=12):
    return torch.randn(batch, time, d_model, generator=torch.Generator().manual_seed(1))


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


@pytest.mark.parametrize("d_query_latent", [None, 7])
def test_by_the_equations_of_the_paper(d_query_latent):
    """One head at a time, from W^DKV h on; the numbers are those of arXiv 2405.04434."""
    torch.manual_seed(0)
    position = Rope(4)
    mixer = LatentAttention(12, 3, position=position, d_query_latent=d_query_latent, **SIZES)
    x, at = inputs(), place(9)

    def norm(c, gain):
        return c * (c.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * gain

    c = norm(x @ mixer.compress.weight.T, mixer.latent_norm.gain)  # 9
    source = x
    if d_query_latent is not None:
        source = norm(x @ mixer.compress_query.weight.T, mixer.query_norm.gain)  # 12
    turned_key = position.rotate((x @ mixer.turned_key.weight.T)[:, None], at.index)[:, 0]  # 15
    outs = []
    for head in range(3):
        weight = {
            name: getattr(mixer, name).weight.unflatten(0, (3, -1))[head]
            for name in ("key", "value", "query", "turned_query")
        }
        turned_query = position.rotate((source @ weight["turned_query"].T)[:, None], at.index)  # 14
        query = torch.cat(((source @ weight["query"].T)[:, None], turned_query), -1)  # 13, 16
        key = torch.cat((c @ weight["key"].T, turned_key), -1)[:, None]  # 10, 17
        value = (c @ weight["value"].T)[:, None]  # 11
        outs.append(attention(query, key, value, causal_mask(9, 9), 10**-0.5)[:, 0])  # 18
    torch.testing.assert_close(mixer(x, at)[0], torch.cat(outs, -1) @ mixer.out.weight.T, atol=1e-5, rtol=1e-5)  # 19


@pytest.mark.parametrize("spec", VARIANTS, ids=["narrow", "wide"])
@pytest.mark.parametrize("check", [check for check in BATTERIES["mixer"] if check != "compile"])  # sizes do not matter
def test_with_every_size_it_keeps_the_promises_of_mixers(spec, check):
    """The one decodes in the expanded form, the other in the absorbed one, unless the other takes less arithmetic."""
    broken = broken_by(Part("mixer", spec, beside=tuple(VARIANTS)), check)
    assert broken is None, str(broken)


@pytest.mark.parametrize("position", [Rope(4), ALiBi(3)], ids=["rope", "alibi"])
@pytest.mark.parametrize("time", [1, 2, 9])
def test_the_absorbed_form_equals_the_expanded_one(position, time):
    """Outputs and gradients, also of the matrices that are absorbed."""
    torch.manual_seed(0)
    mixer = LatentAttention(12, 3, position=position, d_query_latent=7, **SIZES).double()
    x, at = inputs().double(), place(9)
    late = Place(at.index[:, -time:])
    memory = mixer.memories(x, at)
    reads = Readable(memory, memory[..., :0], at.index, {"causal": True})
    query = mixer.queries(x[:, -time:], late)
    bias = position.bias(late.index, at.index)
    found = []
    for form in (mixer.expanded, mixer.absorbed):
        out = form(query, reads, bias)
        wanted = [mixer.key.weight, mixer.value.weight, mixer.compress.weight, mixer.turned_query.weight]
        found.append((out, *torch.autograd.grad(out.square().sum(), wanted, retain_graph=True)))
    torch.testing.assert_close(*found, atol=1e-12, rtol=0)


@torch.no_grad()
def test_decoding_is_absorbed_and_reading_a_prompt_is_not(monkeypatch):
    mixer = LatentAttention(24, 4, d_head=6)
    used = []
    for form in ("absorbed", "expanded"):
        plain = getattr(mixer, form)
        monkeypatch.setattr(mixer, form, lambda *given, plain=plain, form=form: used.append(form) or plain(*given))
    state = mixer.initial_state(1, 60)
    for time, start in ((50, 0), (1, 50), (7, 51)):
        _, state = mixer(inputs(1, time, 24), place(time, start), state)
    assert used == ["expanded", "absorbed", "absorbed"]
    assert [mixer.few(time) for time in (1, 7, 8, 50)] == [True, True, False, False]


def test_the_memory_is_one_vector_for_all_heads():
    mixer = LatentAttention(24, 4, d_head=6)
    assert mixer.state_size(100) == 100 * (4 * 6 + 6)
    state = mixer.initial_state(3, 100)
    assert (state.keys.shape, state.values.numel()) == ((3, 1, 100, 30), 0)
    v2 = LatentAttention(128, 16, d_head=64, d_content=128, d_value=128, d_latent=512)
    assert v2.state_size(1) == 576 < 2 * 128 * 16 / 7


def test_impossible_sizes():
    with pytest.raises(UserError, match="d_model = 10 cannot be shared by n_heads = 3"):
        LatentAttention(10, 3)
