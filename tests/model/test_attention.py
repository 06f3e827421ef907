"""What is special to the attention mixer and its cache."""

import pytest
import torch

from firsthand.contracts.battery import BATTERIES, broken_by
from firsthand.contracts.part import Part
from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.heads import merge_heads, split_heads
from firsthand.model.positions import Rope
from firsthand.ops.attention.mask import causal_mask
from firsthand.ops.attention.reference import attention
from firsthand.types import Place


def inputs(batch=2, time=9, d_model=12):
    return torch.randn(batch, time, d_model, generator=torch.Generator().manual_seed(1))


def place(time, start=0):
    return Place(torch.arange(start, start + time).unsqueeze(0))


def by_hand(mixer, x, bias=None):
    """One head at a time, from the definition."""
    group, size, time = mixer.n_heads // mixer.n_kv_heads, mixer.d_head, x.shape[1]
    query, key, value = mixer.query(x), mixer.key(x), mixer.value(x)
    outs = []
    for head in range(mixer.n_heads):
        own, shared = slice(head * size, (head + 1) * size), slice(head // group * size, (head // group + 1) * size)
        heads = (part[:, None, :, channels] for part, channels in ((query, own), (key, shared), (value, shared)))
        added = None if bias is None else bias[:, head : head + 1]
        outs.append(attention(*heads, causal_mask(time, time), size**-0.5, added)[:, 0])
    return mixer.out(torch.cat(outs, dim=-1))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_heads_and_groups_by_hand(n_kv_heads, bias):
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 4, n_kv_heads, bias=bias)
    y, _ = mixer(inputs(), place(9))
    torch.testing.assert_close(y, by_hand(mixer, inputs()), atol=1e-5, rtol=0)
    assert {name.partition(".")[0] for name, _ in mixer.named_parameters()} == {"query", "key", "value", "out"}


def test_heads_may_be_wider_than_their_share():
    mixer = CausalSelfAttention(12, 4, d_head=10)
    assert mixer.query.weight.shape == (40, 12)
    assert mixer(inputs(), place(9))[0].shape == (2, 9, 12)


class Slope(Position):
    """A bias that falls with distance, another slope for each head, as in ALiBi."""

    def bias(self, query_index, key_index):
        distance = query_index[:, None, :, None] - key_index[:, None, None, :]
        return -distance * torch.tensor([0.3, 0.1, 0.03, 0.01]).view(1, 4, 1, 1)


@pytest.mark.parametrize("n_kv_heads", [2, 4])
@pytest.mark.parametrize("time", [9, 140])
def test_the_bias_of_a_position_scheme_is_added(n_kv_heads, time):
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 4, n_kv_heads, position=Slope())
    x, at = inputs(time=time), place(time)
    y, _ = mixer(x, at)
    torch.testing.assert_close(y, by_hand(mixer, x, mixer.position.bias(at.index, at.index)), atol=1e-5, rtol=0)
    rows, _ = mixer(x, Place(at.index.expand(2, -1) + torch.tensor([[0], [5]])))
    torch.testing.assert_close(rows, y, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_bias_counts_in_decoding_and_beside_documents():
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 4, position=Slope())
    x = inputs(time=7)
    whole, _ = mixer(x, place(7))
    state = mixer.initial_state(2, 7)
    for t in range(7):
        y, state = mixer(x[:, t : t + 1], place(1, t), state)
        torch.testing.assert_close(y, whole[:, t : t + 1], atol=1e-5, rtol=0)
    packed, _ = mixer(x, Place(torch.tensor([[0, 1, 2, 0, 1, 2, 3]]), torch.tensor([[0] * 3 + [1] * 4] * 2)))
    torch.testing.assert_close(packed[:, :3], whole[:, :3], atol=1e-5, rtol=0)
    torch.testing.assert_close(packed[:, 3:], mixer(x[:, 3:], place(4))[0], atol=1e-5, rtol=0)


def test_qk_norm_makes_the_scale_of_queries_and_keys_irrelevant():
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 2, qk_norm=True, position=Rope(6))
    before, _ = mixer(inputs(), place(9))
    with torch.no_grad():
        mixer.query.weight.mul_(7)
        mixer.key.weight.mul_(30)
    torch.testing.assert_close(mixer(inputs(), place(9))[0], before, atol=1e-4, rtol=0)
    query, key, _ = mixer.project(inputs(), place(9))
    for heads in (query, key):
        torch.testing.assert_close(heads.square().mean(-1), torch.ones(2, 2, 9), atol=1e-3, rtol=0)


def test_softcap_reaches_the_scores():
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 2)
    with torch.no_grad():
        mixer.query.weight.mul_(30)
    plain, _ = mixer(inputs(), place(9))
    mixer.lookup.softcap = 1e-6
    flat, _ = mixer(inputs(), place(9))
    mean = mixer.value(inputs()).cumsum(1) / torch.arange(1, 10).view(1, 9, 1)
    assert (plain - flat).abs().max() > 0.01
    torch.testing.assert_close(flat, mixer.out(mean), atol=1e-5, rtol=0)


def test_dropout_on_the_output_and_on_the_weights():
    """On the output alone, unless the mixer is asked; the weights' dropout leaves no zeros in the output."""
    x = inputs(1, 50)
    mixer = CausalSelfAttention(12, 2, dropout=0.5)
    assert mixer.lookup.dropout == 0
    assert (mixer(x, place(50))[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    mixer = CausalSelfAttention(12, 2, dropout=0.5, attention_dropout=True)
    mixer.dropout.p = 0.0
    first, second = (mixer(x, place(50))[0] for _ in range(2))
    assert not torch.equal(first, second)
    mixer.eval()
    assert torch.equal(mixer(x, place(50))[0], mixer(x, place(50))[0])


def test_heads_split_and_merge():
    x = inputs()
    heads = split_heads(x, 3)
    assert torch.equal(heads[1, 2, 5], x[1, 5, 8:12])
    assert torch.equal(merge_heads(heads), x)


def test_impossible_sizes():
    with pytest.raises(UserError, match="d_model = 10 cannot be shared by n_heads = 3"):
        CausalSelfAttention(10, 3)
    with pytest.raises(UserError, match="n_heads = 4 is not a multiple of n_kv_heads = 3"):
        CausalSelfAttention(12, 4, 3)


@torch.no_grad()
def test_the_cache_takes_the_precision_of_autocast():
    mixer = CausalSelfAttention(12, 2)
    state = mixer.initial_state(2, 4)
    assert state.keys.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        _, state = mixer(inputs(time=3), place(3), state)
    assert (state.keys.dtype, state.values.dtype) == (torch.bfloat16, torch.bfloat16)


def test_qk_norm_with_a_gain_that_all_heads_share():
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 4, 2, qk_norm="gain", qk_norm_eps=0.25)
    assert mixer.query_norm.gain.shape == mixer.key_norm.gain.shape == (3,)
    with torch.no_grad():
        mixer.query_norm.gain.copy_(torch.tensor([1.0, 2.0, -3.0]))
    query, _, _ = mixer.project(inputs(), place(9))
    plain = split_heads(mixer.query(inputs()), 4)
    expected = plain / (plain.square().mean(-1, keepdim=True) + 0.25).sqrt() * torch.tensor([1.0, 2.0, -3.0])
    torch.testing.assert_close(query, expected, atol=1e-6, rtol=1e-5)
    with pytest.raises(UserError, match=r"no qk_norm 'layer'\. Write true, false, or gain"):
        CausalSelfAttention(12, 4, qk_norm="layer")


VARIANTS = [
    {"part": "attention", "window": 5},
    {"part": "attention", "window": 40, "sinks": True, "softcap": 2.0, "scale": 0.3, "qk_norm": "gain"},
    {"part": "attention", "window": 5, "sink_tokens": 2},
    {"part": "attention", "window": 64, "sink_tokens": 3, "sinks": True, "bias": True},
]


@pytest.mark.parametrize("spec", VARIANTS, ids=lambda spec: "-".join(list(spec)[1:]))
@pytest.mark.parametrize("check", BATTERIES["mixer"])
def test_with_every_setting_it_keeps_the_promises_of_mixers(spec, check):
    """Packed documents, padding on the left, prefill and decoding by pieces, state sizes, compiling …"""
    broken = broken_by(Part("mixer", spec, beside=tuple(VARIANTS)), check)
    assert broken is None, str(broken)


def who_reads_whom(mixer, at):
    """Which inputs move each output."""
    x = inputs(1, at.index.shape[1])
    before, _ = mixer(x, at)
    reads = []
    for token in range(x.shape[1]):
        changed = x.clone()
        changed[:, token] += 1
        reads.append((mixer(changed, at)[0] - before)[0].abs().amax(-1) > 1e-6)
    return [row.nonzero().flatten().tolist() for row in torch.stack(reads).T]


@torch.no_grad()
def test_windows_sink_tokens_and_documents_together():
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 2, window=2, sink_tokens=1, position=Rope(6))
    packed = Place(torch.tensor([[0, 0, 1, 2, 3, 0, 1, 2]]), torch.tensor([[-1, 0, 0, 0, 0, 9, 9, 9]]))
    reads = who_reads_whom(mixer, packed)
    assert reads[1:] == [[1], [1, 2], [1, 2, 3], [1, 3, 4], [5], [5, 6], [5, 6, 7]]
    assert mixer.window is None
    plain = CausalSelfAttention(12, 2, window=2)
    assert who_reads_whom(plain, place(5)) == [[0], [0, 1], [1, 2], [2, 3], [3, 4]]
    assert plain.window == 2


@torch.no_grad()
@pytest.mark.parametrize("reach", [{"window": 7}, {"window": 7, "sink_tokens": 3}])
def test_long_decoding_in_a_small_ring_equals_the_full_forward(reach):
    """300 tokens, rows that begin in different columns, documents that end, and pieces longer than the window."""
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 4, 2, position=Rope(3 + 1), d_head=4, **reach)
    columns, starts = torch.arange(300), torch.tensor([[0], [5], [11]])
    document = torch.where(columns < starts, -1, (columns - starts) // 120)
    index = torch.where(columns < starts, 0, (columns - starts) % 120)
    x = inputs(3, 300)
    whole, _ = mixer(x, Place(index, document))
    state, start = mixer.initial_state(3, 300), 0
    assert state.keys.shape[2] == 7 + reach.get("sink_tokens", 0)
    for time in [20] + [1] * 90 + [30, 2] + [1] * 158:
        here = slice(start, start + time)
        y, state = mixer(x[:, here], Place(index[:, here], document[:, here]), state)
        seen = (document[:, here] >= 0).unsqueeze(-1)
        torch.testing.assert_close(y * seen, whole[:, here] * seen, atol=1e-5, rtol=0)
        start += time
    assert start == 300


def test_learned_sinks_let_a_head_look_at_nothing():
    torch.manual_seed(0)
    mixer = CausalSelfAttention(12, 2, sinks=True)
    plain = CausalSelfAttention(12, 2)
    plain.load_state_dict(mixer.state_dict(), strict=False)
    with torch.no_grad():
        mixer.lookup.sinks.fill_(-1e4)
    torch.testing.assert_close(mixer(inputs(), place(9))[0], plain(inputs(), place(9))[0])
    with torch.no_grad():
        mixer.lookup.sinks.fill_(1e4)
    assert (mixer(inputs(), place(9))[0] == 0).all()


def test_impossible_windows():
    with pytest.raises(UserError, match="window = 0 is no number of tokens"):
        CausalSelfAttention(12, 2, window=0)
    with pytest.raises(UserError, match="sink_tokens = 4 needs a window"):
        CausalSelfAttention(12, 2, sink_tokens=4)
    with pytest.raises(UserError, match="sink_tokens = -1 is no number"):
        CausalSelfAttention(12, 2, window=2, sink_tokens=-1)


def test_operations_of_a_window():
    """Of 6 tokens with window 2 one reads 1 key, five read 2; half a token is what the square's diagonal rounds to."""
    assert CausalSelfAttention(12, 2).mixing_flops(10) == 4 * 12 * 5
    assert CausalSelfAttention(12, 2, window=2).mixing_flops(6) == 4 * 12 * 2 * (1 - 1 / 6)
    assert CausalSelfAttention(12, 2, window=20).mixing_flops(10) == 4 * 12 * 5


def test_a_pattern_of_windows():
    from firsthand.model.make import build_model

    pattern = [{"part": "attention", "window": 4}, "attention"]
    model = build_model({"n_layers": 4, "d_model": 16, "n_heads": 2, "context_length": 16, "mixer": pattern}, 30)
    assert [block.mixer.window for block in model.blocks] == [4, None, 4, None]
    assert [block.mixer.state_size(16) for block in model.blocks] == [2 * 16 * 4, 2 * 16 * 16] * 2
    assert model(torch.zeros(1, 16, dtype=torch.long)).shape == (1, 16, 30)
