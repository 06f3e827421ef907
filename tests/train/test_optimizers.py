import pytest
import torch
from torch import nn

from firsthand.train.optimizers import OPTIMIZERS
from firsthand.train.optimizers.adamw import rule as adam
from firsthand.train.optimizers.descent import Descent
from firsthand.train.optimizers.groups import load_state_tensors, parameter_groups, set_rate, state_tensors
from firsthand.train.optimizers.muon import Muon, orthogonalize


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6, bias=False)

    def forward(self, ids):
        return self.embedding(ids) + self.down(torch.relu(self.up(self.embedding(ids))))


def toy():
    torch.manual_seed(0)
    model = Toy()
    return model, list(model.named_parameters())


def train(model, optimizer, steps, start=0):
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        loss = model(torch.randint(7, (5,), generator=generator)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name):
    model, named = toy()
    optimizer = OPTIMIZERS[name](named, lr=0.01)
    first = train(model, optimizer, 1)
    assert train(model, optimizer, 60, 1) < first / 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_by_name_resumes_exactly(name):
    model, named = toy()
    optimizer = OPTIMIZERS[name](named)
    train(model, optimizer, 3)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    state = {key: value.clone() for key, value in state_tensors(optimizer, named).items()}
    train(model, optimizer, 3, 3)

    again, named_again = toy()
    again.load_state_dict(weights)
    optimizer_again = OPTIMIZERS[name](named_again)
    load_state_tensors(optimizer_again, named_again, state)
    train(again, optimizer_again, 3, 3)
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_adamw_is_torch_adamw_with_decay_on_matrices_only():
    model, named = toy()
    oracle_model, _ = toy()
    optimizer = OPTIMIZERS["adamw"](named, lr=0.01, weight_decay=0.3)
    decayed = [oracle_model.embedding.weight, oracle_model.up.weight, oracle_model.down.weight]
    oracle = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.3}, {"params": [oracle_model.up.bias], "weight_decay": 0.0}],
        lr=0.01,
        betas=(0.9, 0.95),
        fused=True,
    )
    train(model, optimizer, 5)
    train(oracle_model, oracle, 5)
    for key, value in model.state_dict().items():
        assert torch.equal(value, oracle_model.state_dict()[key]), key


def test_muon_takes_the_hidden_matrices_alone():
    _, named = toy()
    optimizer = OPTIMIZERS["muon"](named)
    assert isinstance(optimizer, Muon)
    assert [tuple(p.shape) for p in optimizer.param_groups[0]["params"]] == [(10, 6), (6, 10)]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(named)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 12), (2, 12, 5)])
def test_orthogonalize_flattens_the_singular_values(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(x, 8))
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_muon_agrees_with_torch_muon(precision):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(12, 8))
    other = nn.Parameter(weight.detach().clone())
    named = [("blocks.0.up.weight", weight), ("embedding.weight", nn.Parameter(torch.zeros(2, 2)))]
    ours = OPTIMIZERS["muon"](named, precision=precision)
    oracle = torch.optim.Muon([other], lr=0.02, momentum=0.95, weight_decay=0.0, nesterov=True, ns_steps=5)
    for step in range(4):
        gradient = torch.randn(12, 8, generator=torch.Generator().manual_seed(step))
        weight.grad, other.grad = gradient.clone(), gradient.clone()
        ours.step()
        oracle.step()
    torch.testing.assert_close(weight, other, atol=2e-3, rtol=0)  # torch's iteration runs in bfloat16


def test_rates_follow_the_multiplier():
    _, named = toy()
    optimizer = OPTIMIZERS["muon"](named, lr=0.02, adamw_lr=0.004)
    assert set_rate(optimizer, 0.5) == pytest.approx(0.01)
    assert set_rate(optimizer, 0.25) == pytest.approx(0.005)
    assert [group["lr"] for group in optimizer.param_groups[1:]] == pytest.approx([0.001] * 2)


def follow(optimizer, parameter, steps=5):
    """The parameter after so many steps along gradients that depend on the step alone."""
    for step in range(steps):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step))
        optimizer.step()
    return parameter.detach()


def hidden(seed=100):
    return nn.Parameter(torch.randn(12, 8, generator=torch.Generator().manual_seed(seed)))


def run(name, steps=5, **arguments):
    parameter = hidden()
    return follow(OPTIMIZERS[name]([("blocks.0.ffn.up.weight", parameter)], **arguments), parameter, steps)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_that_of_torch(momentum, nesterov):
    parameter = hidden()
    nesterov_there = nesterov and momentum > 0  # torch refuses the pair
    oracle = torch.optim.SGD([parameter], lr=0.1, momentum=momentum, nesterov=nesterov_there)
    ours = run("sgd", lr=0.1, momentum=momentum, nesterov=nesterov)
    torch.testing.assert_close(ours, follow(oracle, parameter))


def test_sgd_decays_apart_from_the_gradient():
    weight = hidden().detach()
    gradient = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    found = run("sgd", steps=1, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.2)
    torch.testing.assert_close(found, weight - 0.1 * (gradient + 0.2 * weight))


@pytest.mark.parametrize("cautious", [False, True])
def test_lion_by_its_formula(cautious):
    weight, momentum = hidden().detach(), torch.zeros(12, 8)
    for step in range(5):
        gradient = torch.randn(12, 8, generator=torch.Generator().manual_seed(step))
        update = torch.sign(0.9 * momentum + 0.1 * gradient)
        decays = (update * weight >= 0) if cautious else torch.ones_like(weight)
        weight = weight - 0.01 * (update + 0.3 * decays * weight)
        momentum = 0.99 * momentum + 0.01 * gradient
    torch.testing.assert_close(run("lion", lr=0.01, weight_decay=0.3, cautious=cautious), weight)


def test_our_adamw_is_that_of_torch_but_for_caution():
    parameter, settings = hidden(), {"betas": (0.9, 0.95), "eps": 1e-8}
    groups = parameter_groups([("blocks.0.ffn.up.weight", parameter)], 0.3)
    ours = follow(Descent(groups, adam, lr=0.01, **settings), parameter)
    other = hidden()
    oracle = torch.optim.AdamW([other], lr=0.01, weight_decay=0.3, **settings)
    torch.testing.assert_close(ours, follow(oracle, other))
    without_decay = run("adamw", lr=0.01, weight_decay=0.0, cautious=True)
    torch.testing.assert_close(without_decay, run("adamw", lr=0.01, weight_decay=0.0))


def test_a_run_may_change_to_cautious_decay_and_back():
    states = []
    for cautious in (False, True):
        parameter = hidden()
        named = [("blocks.0.ffn.up.weight", parameter)]
        optimizer = OPTIMIZERS["adamw"](named, weight_decay=0.0, cautious=cautious)
        follow(optimizer, parameter)
        states.append(state_tensors(optimizer, named))
    assert states[0].keys() == states[1].keys()
    for slot, tensor in states[0].items():
        torch.testing.assert_close(states[1][slot], tensor)


@pytest.mark.parametrize("name", ["adamw", "muon", "lion", "sgd"])
def test_cautious_decay_by_its_formula(name):
    """After one step: where step and weight have one sign, decay adds lr · weight_decay · weight."""
    weight = hidden().detach()
    free, decayed = (run(name, steps=1, lr=0.01, weight_decay=d, cautious=True) for d in (0.0, 0.4))
    mask = (weight - free) * weight >= 0
    assert 0 < mask.sum() < mask.numel()
    torch.testing.assert_close(decayed, free - 0.01 * 0.4 * mask * weight)


def test_muon_takes_every_expert_of_a_stack_by_itself():
    stack = nn.Parameter(torch.randn(4, 12, 8, generator=torch.Generator().manual_seed(0)))
    optimizer = OPTIMIZERS["muon"]([("blocks.0.ffn.up.weight", stack), ("norm.gain", nn.Parameter(torch.ones(2)))])
    before = stack.detach().clone()
    follow(optimizer, stack, 1)
    values = torch.linalg.svdvals((before - stack.detach()) / (0.02 * 1.5**0.5))
    assert values.min() > 0.5
    assert values.max() < 1.3


@pytest.mark.parametrize(
    ("name", "hidden_rate", "other_rate"), [("adamw", 0.25, 1), ("lion", 0.25, 1), ("sgd", 1, 4), ("muon", 1, 1)]
)
def test_rates_by_width(name, hidden_rate, other_rate):
    """arXiv 2203.03466, table 8; what decay takes in a step depends on no width."""
    _, named = toy()
    rates = []
    for ratio in (1.0, 4.0):
        optimizer = OPTIMIZERS[name](named, weight_decay=0.1, width_ratio=ratio)
        rates.append({})
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rates[-1][id(parameter)] = (group["lr"], group["lr"] * group["weight_decay"])
    for key, parameter in named:
        (narrow, narrow_decay), (wide, wide_decay) = (rate[id(parameter)] for rate in rates)
        assert wide / narrow == pytest.approx(hidden_rate if key.startswith(("up.w", "down.w")) else other_rate), key
        assert wide_decay == pytest.approx(narrow_decay)
