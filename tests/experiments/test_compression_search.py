"""A size or a loss is aimed at: what rounding would cost is estimated, and formats are given out within a budget."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from firsthand.compress import METHODS
from firsthand.errors import UserError
from firsthand.experiments import compression
from firsthand.experiments.compression import compress, search
from firsthand.experiments.compression.allocation import HEADER, allocate, rest_bytes
from firsthand.experiments.compression.search import Target, target_of
from firsthand.experiments.compression.sensitivity import LADDER, Cost, sensitivity
from firsthand.model.make import build_model
from firsthand.ops.quantized import Affine, Quantized

from .small_compression import MODEL, question, write_model, write_text
from .small_methods import Rounded


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take most of the time; test_compression_page.py draws them."""
    monkeypatch.setattr(compression.pictures, "draw", lambda page, folder: [])


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path)


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path)


@pytest.fixture
def small():
    torch.manual_seed(0)
    return build_model(MODEL, 300).eval()


def test_a_cost_is_the_fisher_estimate_of_its_definition(small):
    """Token by token, from the gradient for the map's bias, which a token's gradient for its output is."""
    windows = torch.randint(300, (2, 6), generator=torch.Generator().manual_seed(1))
    found = sensitivity(small, windows)["blocks.1.ffn.down"]
    part = small.blocks[1].ffn.down
    for place, form in enumerate(LADDER):
        difference = Quantized.of(part.weight, Affine(**form)).full() - part.weight.detach()
        total = 0.0
        for window in windows:
            read = []
            handle = part.register_forward_hook(lambda _, x, y, read=read: (y.retain_grad(), read.append((x[0], y)))[0])
            F.cross_entropy(small(window[None, :-1])[0], window[1:], reduction="sum").backward()
            handle.remove()
            ((x, y),) = read
            for t in range(5):
                total += float(y.grad[0, t] @ (difference @ x[0, t].detach())) ** 2 / 2
        assert found.nats[place] == pytest.approx(total / 12, rel=1e-4)
    assert found.nats[0] < found.nats[1] < found.nats[2] * 1.5


def test_fewer_bits_cost_more(small):
    windows = torch.randint(300, (4, 32), generator=torch.Generator().manual_seed(1))
    for cost in sensitivity(small, windows).values():
        assert cost.nats[0] < cost.nats[1]
        assert cost.bytes[0] > cost.bytes[1] >= cost.bytes[2]


def test_the_budget_is_spent_where_it_helps_most(small):
    """Beside every way to give the formats out, for two maps."""
    costs = {"a": Cost([0.0, 5.0, 6.0], [100, 50, 45]), "b": Cost([0.0, 1.0, 3.0], [100, 50, 45])}
    rest = rest_bytes(small, costs, {"bits": 8})
    for budget in (200, 150, 100, 95, 90):
        steps = allocate(small, costs, rest + budget)
        given = {name: LADDER.index(_form(step)) for step in steps for name in step["targets"]}
        size = sum(costs[name].bytes[place] for name, place in given.items())
        loss = sum(costs[name].nats[place] for name, place in given.items())
        ways = itertools.product(range(3), repeat=2)
        fitting = [(a, b) for a, b in ways if costs["a"].bytes[a] + costs["b"].bytes[b] <= budget]
        assert size <= budget
        assert loss == min(costs["a"].nats[a] + costs["b"].nats[b] for a, b in fitting)
        assert steps[-1]["embedding"] == {"bits": 8}
    assert allocate(small, costs, rest_bytes(small, costs, {"bits": 4, "group": 32, "symmetric": False})) is None


def _form(step):
    return {key: step[key] for key in ("bits", "group", "symmetric")}


def test_the_size_is_foretold(small):
    """Of all that a file holds beside the maps."""
    rest = rest_bytes(small, {}, {"bits": 8}) - HEADER * (6 + len(list(small.parameters())))
    numbers = {name: weight.numel() for name, weight in small.named_parameters()}
    full = sum(count for name, count in numbers.items() if "embedding" not in name)
    assert 2 * full <= rest - 2 * 300 * (16 + 2) <= 4 * full


@pytest.mark.parametrize(
    ("size", "loss", "found"),
    [
        ("50MB", None, Target(bytes=50_000_000)),
        ("1.5 GB", None, Target(bytes=1_500_000_000)),
        ("800kB", None, Target(bytes=800_000)),
        (None, "+1%", Target(rise=0.01)),
        (None, "0.5 %", Target(rise=0.005)),
        (None, None, None),
    ],
)
def test_targets_are_read(size, loss, found):
    assert target_of(size, loss) == found


@pytest.mark.parametrize(("size", "loss"), [("50", None), ("big", None), ("0MB", None), (None, "1"), ("1MB", "+1%")])
def test_what_is_no_target_is_told(size, loss):
    with pytest.raises(UserError, match=r"Write|not both"):
        target_of(size, loss)


@pytest.fixture
def rounding(monkeypatch):
    for name in list(METHODS):
        monkeypatch.delitem(METHODS, name)
    monkeypatch.setitem(METHODS, "round_to_nearest", Rounded)


def test_a_plan_for_a_size_is_found(rounding, model, text, tmp_path):
    smallest = compress(question(model, text, {"int8": ["round_to_nearest"]}), tmp_path / "a").rows[2].bytes
    budget = round(0.6 * smallest)
    page = compress(question(model, text, {}), tmp_path / "out", target=Target(bytes=budget))
    assert page.best == "found-1"
    (row,) = [row for row in page.rows if row.plan == page.best]
    assert 0.5 * budget < row.bytes <= budget
    assert "Found: found-1" in (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(UserError, match=r"Nothing that was tried has at most 0\.0 MB"):
        compress(question(model, text, {}), tmp_path / "none", target=Target(bytes=100))


def test_a_plan_for_a_loss_is_found(rounding, model, text, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "NAMES", search.NAMES[:3])
    page = compress(question(model, text, {}), tmp_path / "out", target=Target(rise=0.001))
    tried = [row for row in page.rows if row.plan.startswith("found")]
    assert len(tried) == 3
    (best,) = [row for row in tried if row.plan == page.best]
    assert best.rise.value <= 0.001
    assert best.bytes == min(row.bytes for row in tried if row.rise.value <= 0.001)
