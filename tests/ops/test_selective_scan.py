"""The selective scan: every version against its definition, in outputs, states and gradients."""

import pytest
import torch
from torch.utils import deterministic

from firsthand.errors import UserError
from firsthand.ops.selective_scan import VERSIONS, blocks, selective_scan, tiles
from firsthand.ops.selective_scan import reference as definition

LENGTHS = [1, 2, 63, 64, 65, 200]
CASES = [(version, time) for version in VERSIONS for time in LENGTHS if version != "step" or time == 1]


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(time, batch=2, channels=5, d_state=3):
    """x, dt, A, B, C, skip, state."""
    return [
        random(batch, time, channels),
        random(batch, time, channels, seed=1).exp(),
        -random(channels, d_state, seed=2).exp(),
        random(batch, time, d_state, seed=3),
        random(batch, time, d_state, seed=4),
        random(channels, seed=5),
        random(batch, channels, d_state, seed=6),
    ]


def borders(batch, time, seed=5):
    """Segments of about eight tokens; the first row begins with a border."""
    found = torch.rand(batch, time, generator=torch.Generator().manual_seed(seed)) < 0.12
    found[0, 0] = True
    return found.cumsum(1)


def defined(x, dt, A, B, C, skip, state, segment):
    """The definition, with the skip."""
    segment = torch.zeros(x.shape[:2], dtype=torch.long) if segment is None else segment
    y, state = definition.selective_scan(x, dt, A, B, C, state, segment)
    return y + skip * x, state


def assert_same(found, expected, given, atol=1e-12):
    incoming = [random(*tensor.shape, seed=7 + n) for n, tensor in enumerate(expected)]
    for one, right in zip(found, expected, strict=True):
        torch.testing.assert_close(one, right, atol=atol, rtol=1e-11)
    gradients = (torch.autograd.grad(outputs, given, incoming) for outputs in (found, expected))
    for gradient, right in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, right, atol=100 * atol, rtol=1e-11)


@pytest.mark.parametrize(("version", "time"), CASES)
@pytest.mark.parametrize("stateful", [False, True], ids=["start", "state"])
@pytest.mark.parametrize("segmented", [False, True], ids=["whole", "segments"])
def test_versions_equal_the_definition(version, time, stateful, segmented):
    given = inputs(time)[: 7 if stateful else 6]
    given = [tensor.requires_grad_() for tensor in given]
    segment = borders(2, time) if segmented else None
    state = given[6] if stateful else torch.zeros(2, 5, 3, dtype=torch.float64)
    expected = defined(*given[:6], state, segment)
    found = selective_scan(*given[:6], state if stateful else None, segment, version)
    assert_same(found, expected, given)


@pytest.mark.parametrize("tile", [1, 3, 6, 14, 30, 60])
@pytest.mark.parametrize("chunk", [1, 4, 7, 40])
def test_blocks_of_any_size(tile, chunk, monkeypatch):
    """One number at a time, part of a row, a row, several rows, all; chunks that divide the time and others."""
    monkeypatch.setattr(tiles, "TILE_NUMBERS", tile)
    monkeypatch.setattr(tiles, "CHUNK", chunk)
    given = [tensor.requires_grad_() for tensor in inputs(20, batch=3)]
    segment = borders(3, 20)
    assert_same(selective_scan(*given, segment, "blocks"), defined(*given, segment), given)


@pytest.mark.parametrize("version", ["reference", "blocks"])
def test_by_hand(version):
    """Two numbers a channel: one that halves at each step, one that all but vanishes."""
    x, dt = torch.tensor([[[4.0], [8.0]]]), torch.tensor([[[1.0], [2.0]]])
    rates = torch.tensor([[-torch.log(torch.tensor(2.0)).item(), -100.0]])
    write, read = torch.tensor([[[1.0, 0.5], [1.0, 1.0]]]), torch.tensor([[[1.0, 10.0], [1.0, 0.0]]])
    y, state = selective_scan(x, dt, rates, write, read, torch.tensor([3.0]), version=version)
    # h: (4, 2), then (4/4 + 16, 16)
    torch.testing.assert_close(y.flatten(), torch.tensor([4.0 + 20 + 12, 17.0 + 24]))
    torch.testing.assert_close(state, torch.tensor([[[17.0, 16.0]]]))


@pytest.mark.parametrize("version", ["reference", "blocks"])
def test_in_parts_it_is_the_same(version):
    """The state is all that is handed on, also where the next part is a single token."""
    given = inputs(40)
    whole, last = selective_scan(*given, version=version)
    outputs, state = [], given[6]
    for pieces in zip(*(tensor.split([1, 33, 1, 1, 4], dim=1) for tensor in [*given[:2], *given[3:5]]), strict=True):
        x, dt, write, read = pieces
        y, state = selective_scan(x, dt, given[2], write, read, given[5], state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(state, last, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("version", "time"), [("reference", 5), ("blocks", 5), ("step", 1)])
@pytest.mark.parametrize("segmented", [False, True], ids=["whole", "segments"])
def test_gradcheck(version, time, segmented):
    given = [tensor.requires_grad_() for tensor in inputs(time)]
    segment = torch.tensor([[0, 0, 1, 1, 2], [1, 1, 1, 2, 2]])[:, :time] if segmented else None
    assert torch.autograd.gradcheck(lambda *g: selective_scan(*g, segment, version), given)


@pytest.mark.parametrize("version", ["reference", "blocks"])
def test_long_steps_and_huge_padding_are_harmless(version):
    """Steps that forget everything give zeros, never infinities; padding is a segment of its own."""
    x, dt, rates, write, read, skip, _ = (tensor.float() for tensor in inputs(70))
    alone, _ = selective_scan(x[:, 3:], dt[:, 3:], rates, write[:, 3:], read[:, 3:], skip, version=version)
    x[:, :3], dt[:, :3], write[:, :3] = 1e8, 1e8, 1e8
    given = [tensor.requires_grad_() for tensor in (x, dt, rates, write, read, skip)]
    segment = torch.tensor([0] * 3 + [1] * 67).expand(2, -1)
    y, state = selective_scan(*given, None, segment, version)
    torch.testing.assert_close(y[:, 3:], alone)
    assert state.isfinite().all()
    for gradient in torch.autograd.grad(y[:, 3:].sum(), given):
        assert gradient.isfinite().all()


@pytest.mark.parametrize(("version", "time"), [("reference", 70), ("blocks", 70), ("step", 1)])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision(version, time, autocast):
    """bf16 in, bf16 out, fp32 within: only the inputs and the output are rounded, also under autocast."""
    rounded = [tensor.bfloat16().requires_grad_() for tensor in inputs(time)[:6]]
    exact = [tensor.detach().double().requires_grad_() for tensor in rounded]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y, state = selective_scan(*rounded, version=version)
        gradients = torch.autograd.grad(y.float().square().sum(), rounded)
    expected, last = defined(*exact, torch.zeros(2, 5, 3, dtype=torch.float64), None)
    assert y.dtype == torch.bfloat16
    assert state.dtype == torch.float32
    torch.testing.assert_close(state.double(), last, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(y.double(), expected, atol=1e-3, rtol=2**-8)
    for gradient, right in zip(gradients, torch.autograd.grad(expected.square().sum(), exact), strict=True):
        assert (gradient.double() - right).abs().max() <= 0.02 * right.abs().max()


def test_no_tensor_of_all_states_is_kept():
    """The backward pass keeps numbers like the inputs' and a state a chunk, never a state a token."""
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    given = [tensor.float().requires_grad_() for tensor in inputs(256, channels=32, d_state=16)]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        selective_scan(*given, version="blocks")
    tokens = 2 * 256 * 32
    assert tokens < sum(kept.values()) < 6 * tokens
    with torch.no_grad():
        _, _, states = tiles.scan(*_operator_inputs(), keep=False)
    assert states.numel() == 0


def _operator_inputs():
    x, dt, rates, write, read, _, state = inputs(9)
    return x, dt, rates.t().contiguous(), write, read, state.mT.contiguous()


@pytest.mark.parametrize("keep", [True, False])
def test_the_operators_keep_torchs_rules(keep):
    """The schema is true, tracing tells the right shapes, gradients are registered properly."""
    given = [tensor.requires_grad_(keep) for tensor in _operator_inputs()]
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    results = torch.library.opcheck(blocks._scan, (*given, keep), test_utils=tests)
    assert set(results.values()) == {"SUCCESS"}
    outputs = tiles.scan(*(tensor.detach() for tensor in given), True)
    grads = torch.ones_like(outputs[0]), torch.ones_like(outputs[1])
    backward = (*grads, *(tensor.detach() for tensor in given[:5]), outputs[2])
    results = torch.library.opcheck(blocks._scan_backward, backward, test_utils=tests)
    assert set(results.values()) == {"SUCCESS"}


@torch.no_grad()
def test_uninitialised_memory_changes_nothing():
    expected = selective_scan(*inputs(70), version="blocks")
    torch.use_deterministic_algorithms(True)
    try:
        assert deterministic.fill_uninitialized_memory
        found = selective_scan(*inputs(70), version="blocks")
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, right) for one, right in zip(found, expected, strict=True))


def test_the_rule_and_what_it_refuses():
    given = inputs(2)
    assert torch.equal(selective_scan(*given)[0], selective_scan(*given, version="blocks")[0])
    one = inputs(1)
    assert torch.equal(selective_scan(*one)[0], selective_scan(*one, version="step")[0])
    with pytest.raises(UserError, match="takes one token, not 2"):
        selective_scan(*given, version="step")
    with pytest.raises(UserError, match="no version of selective_scan called 'block'"):
        selective_scan(*given, version="block")


@pytest.mark.parametrize("which", [0, 1])
def test_the_output_or_the_state_alone_has_gradients(which):
    given = [tensor.requires_grad_() for tensor in inputs(9)]
    found, expected = selective_scan(*given, version="blocks")[which], defined(*given, None)[which]
    used = given[:5] + given[5:6] * (which == 0) + given[6:]
    ours, theirs = (
        torch.autograd.grad(out.square().sum(), used, allow_unused=True, materialize_grads=True)
        for out in (found, expected)
    )
    for gradient, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, right, atol=1e-10, rtol=1e-11)
