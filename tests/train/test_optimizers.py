import pytest
import torch
from torch import nn

from firsthand.train.optimizers import OPTIMIZERS
from firsthand.train.optimizers.groups import load_state_tensors, set_rate, state_tensors
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
    )
    train(model, optimizer, 5)
    train(oracle_model, oracle, 5)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, oracle_model.state_dict()[key])


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


def test_muon_agrees_with_torch_muon():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(12, 8))
    other = nn.Parameter(weight.detach().clone())
    ours = OPTIMIZERS["muon"]([("blocks.0.up.weight", weight), ("embedding.weight", nn.Parameter(torch.zeros(2, 2)))])
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
