"""The delta rule: the definition by hand, every version against it, and what a hard chunk does to the solver."""

import itertools
import logging

import pytest
import torch

from firsthand.errors import UserError
from firsthand.ops import choice
from firsthand.ops.delta_rule import VERSIONS, delta_rule
from firsthand.ops.delta_rule import chunked as chunked_version
from firsthand.ops.delta_rule.reference import delta_rule as definition

LENGTHS = [1, 2, 63, 64, 65, 200]
FAST = [name for name in VERSIONS if name != "reference"]


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(batch, heads, time, d_key, d_value, shared=1):
    """Query, key, value, beta and decay. `shared`: so many heads have one query and key."""
    query, key = random(batch, heads // shared, time, d_key), random(batch, heads // shared, time, d_key, seed=1)
    key = torch.nn.functional.normalize(key, dim=-1)
    beta, decay = 2 * random(batch, heads, time, seed=3).sigmoid(), -random(batch, heads, time, seed=4).square() / 3
    return [query, key, random(batch, heads, time, d_value, seed=2), beta, decay]


def borders(batch, time, seed=5):
    """The first row is one document that continues the state; the others have a border about every 20 tokens."""
    found = torch.rand(batch, time, generator=torch.Generator().manual_seed(seed)) < 0.05
    found[0] = False
    return found.cumsum(1)


def test_the_definition_by_hand():
    """Two tokens of one number each: the second corrects what the first has written."""
    query, key, value = (torch.tensor(x).view(1, 1, 2, 1) for x in ([1.0, 1.0], [1.0, 2.0], [4.0, 10.0]))
    beta, decay = torch.tensor([[[0.5, 0.25]]]), torch.log(torch.tensor([[[1.0, 0.5]]]))
    out, state = definition(query, key, value, beta, decay, torch.ones(1, 1, 1, 1), torch.zeros(1, 2, dtype=torch.long))
    first = 1 + 0.5 * (4 - 1)
    second = 0.5 * first + 0.25 * 2 * (10 - 2 * 0.5 * first)
    torch.testing.assert_close(out.flatten(), torch.tensor([first, second]))
    torch.testing.assert_close(state.flatten(), torch.tensor([second]))


def test_the_definition_is_the_matrix_of_the_paper():
    query, key, value, beta, decay = (x[0, 0, 0] for x in inputs(1, 1, 1, 5, 3))
    before = random(5, 3, seed=9)
    held = decay.exp() * (torch.eye(5, dtype=torch.float64) - beta * torch.outer(key, key)) @ before
    expected = held + beta * torch.outer(key, value)
    whole = [x.view(1, 1, 1, *x.shape) for x in (query, key, value, beta, decay)]
    out, state = definition(*whole, before[None, None], torch.zeros(1, 1, dtype=torch.long))
    torch.testing.assert_close(state[0, 0], expected)
    torch.testing.assert_close(out[0, 0, 0], expected.t() @ query)


def test_the_definition_has_the_gradients_that_differences_say():
    given = [x.requires_grad_() for x in (*inputs(2, 1, 4, 3, 2), random(2, 1, 3, 2, seed=6))]
    segment = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 2]])
    assert torch.autograd.gradcheck(lambda *tensors: definition(*tensors, segment), given)


@pytest.mark.parametrize("version", FAST)
@pytest.mark.parametrize(("with_state", "with_segments"), list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("time", LENGTHS)
def test_versions_equal_the_definition(version, time, with_state, with_segments):
    """Outputs, the last state, and the gradients of all inputs, with decay and without."""
    given = [x.requires_grad_() for x in (*inputs(2, 2, time, 5, 3), random(2, 2, 5, 3, seed=6))]
    segment = borders(2, time) if with_segments else None
    for decays in (True, False):
        used = [x for x in given if (with_state or x is not given[5]) and (decays or x is not given[4])]
        results = []
        for name in ("reference", version):
            decay, state = given[4] if decays else None, given[5] if with_state else None
            out, last = delta_rule(*given[:4], decay, state, segment, version=name)
            total = (out * random(*out.shape, seed=7)).sum() + (last * random(*last.shape, seed=8)).sum()
            results.append([out, last, *torch.autograd.grad(total, used)])
        for found, right in zip(*reversed(results), strict=True):
            torch.testing.assert_close(found, right, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("version", VERSIONS)
def test_heads_may_share_queries_and_keys(version):
    given = [x.requires_grad_() for x in inputs(2, 6, 40, 5, 3, shared=3)]
    apart = [x.repeat_interleave(6 // x.shape[1], 1) for x in given]
    results = []
    for tensors in (given, apart):
        out, last = delta_rule(*tensors, version=version)
        results.append([out, last, *torch.autograd.grad(out.square().sum() + last.sum(), given)])
    for found, right in zip(*results, strict=True):
        torch.testing.assert_close(found, right, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("version", VERSIONS)
def test_pieces_make_the_whole(version):
    given = inputs(2, 2, 90, 5, 3)
    whole, last = delta_rule(*given, version=version)
    state, outputs = None, []
    for piece in zip(*(x.split([1, 33, 56], dim=2) for x in given), strict=True):
        out, state = delta_rule(*piece, state, version=version)
        outputs.append(out)
    torch.testing.assert_close(torch.cat(outputs, dim=2), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(state, last, atol=1e-12, rtol=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_garbage_in_another_segment_is_not_felt(version):
    """Padding may hold anything finite: huge values, and decays whose sum would blur all that follow."""
    query, key, value, beta, decay = (x.float() for x in inputs(1, 1, 30, 4, 4))
    value[:, :, :9], decay[:, :, :9] = 1e20, -1e9
    segment = torch.tensor([[1] * 9 + [2] * 21])
    out, last = delta_rule(query, key, value, beta, decay, None, segment, version)
    alone, alone_last = delta_rule(*(x[:, :, 9:] for x in (query, key, value, beta, decay)), version=version)
    assert out.isfinite().all()
    torch.testing.assert_close(out[:, :, 9:], alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(last, alone_last, atol=1e-6, rtol=0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_a_thousand_equal_keys_stay_exact(version, beta):
    """The hardest chunk: A is full. With beta = 2 the eigenvalue is -1, so what a step gets wrong stays for ever."""
    torch.manual_seed(0)
    key = torch.nn.functional.normalize(torch.randn(16), dim=0).expand(1, 1, 1000, 16)
    value, betas = torch.randn(1, 1, 1000, 4), torch.full((1, 1, 1000), beta)
    out, _ = delta_rule(key, key, value, betas, version=version)
    exact, _ = delta_rule(key.double(), key.double(), value.double(), betas.double(), version="reference")
    rounding = torch.finfo(torch.float32).eps * (1000 if beta == 2 else 1)
    assert (out - exact).abs().max() < 16 * rounding * exact.abs().max()
    if beta == 1:  # the last value under this key and nothing else
        torch.testing.assert_close(out, value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("version", FAST)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_lower_precision_stays_near(version, dtype):
    """The state is fp32 at least, and autocast does not reach into the recurrence."""
    given = inputs(2, 2, 150, 8, 8)
    expected, last = delta_rule(*given, version="reference")
    with torch.autocast("cpu", torch.bfloat16):
        out, state = delta_rule(*(x.to(dtype) for x in given), version=version)
    assert (out.dtype, state.dtype) == (dtype, torch.float32)
    bound = 0.03 if dtype == torch.bfloat16 else 1e-5
    assert (out.double() - expected).abs().max() < bound * expected.abs().max()
    assert (state.double() - last).abs().max() < bound * last.abs().max()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_given_state_is_left_alone(version):
    state = random(2, 2, 5, 3)
    kept = state.clone()
    delta_rule(*inputs(2, 2, 3, 5, 3), state, version=version)
    assert torch.equal(state, kept)


def test_memory_grows_with_the_states_only():
    """Between the passes the chunked version keeps its inputs and one state a chunk, nothing of chunk × chunk."""
    given = [x.requires_grad_() for x in inputs(1, 1, 256, 4, 4)]
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        delta_rule(*given, version="chunked")
    own = {x.data_ptr() for x in given}
    beside = sum(t.numel() for pointer, t in kept.items() if pointer not in own)
    assert beside == (256 // chunked_version.CHUNK + 1) * 4 * 4


def test_the_choice(caplog):
    choice._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="firsthand.ops"):
        for time in (1, 1, 2, 70):
            delta_rule(*inputs(1, 1, time, 4, 4))
    said = [f"delta_rule on cpu in torch.float64: version {name}" for name in ("recurrent", "chunked")]
    assert [record.getMessage() for record in caplog.records] == said


def test_a_version_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"no version of delta_rule called 'fla'.*: chunked, recurrent, reference"):
        delta_rule(*inputs(1, 1, 2, 4, 4), version="fla")


@pytest.mark.parametrize("decays", [True, False])
def test_torch_knows_the_operators(decays):
    """What a compiler relies on (shapes without numbers, traced gradients), by torch's own check of operators."""
    query, key, value, beta, decay = (x.requires_grad_() for x in inputs(1, 2, 40, 4, 3))
    given = (query, key, value, beta, decay if decays else None, random(1, 2, 4, 3), borders(1, 40), True)
    checked = torch.library.opcheck(torch.ops.firsthand.delta_rule.default, given)
    assert set(checked.values()) == {"SUCCESS"}, checked
