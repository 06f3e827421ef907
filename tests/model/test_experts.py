"""What is special to experts. What every FFN promises stands in tests/contracts."""

import pytest
import torch

from firsthand.errors import UserError
from firsthand.model.ffns.balance import BALANCES
from firsthand.model.ffns.experts import Experts
from firsthand.train.optimizers.adamw import adamw


def make(**arguments):
    torch.manual_seed(0)
    return Experts(12, 20, **arguments).double()


def inputs(tokens=64):
    return torch.randn(2, tokens // 2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("normalize", [True, False])
def test_it_is_the_weighted_sum_of_the_chosen(score, normalize):
    """Token by token, expert by expert, as the formula says."""
    ffn, x = make(n_experts=5, top_k=3, score=score, normalize=normalize, scale=1.5), inputs(10)
    y, _ = ffn(x)
    for token, found in zip(x.flatten(0, 1), y.flatten(0, 1), strict=True):
        logits = ffn.router.weight @ token
        scores = logits.softmax(0) if score == "softmax" else logits.sigmoid()
        best = scores.topk(3).indices.tolist()
        total = sum(scores[e] for e in best) if normalize else 1.0
        expected = sum(
            1.5
            * scores[e]
            / total
            * (ffn.down.weight[e] @ (torch.nn.functional.silu(ffn.gate.weight[e] @ token) * (ffn.up.weight[e] @ token)))
            for e in best
        )
        torch.testing.assert_close(found, expected)


def test_no_token_is_dropped_when_all_want_one_expert():
    ffn = make(n_experts=4, top_k=1)
    with torch.no_grad():
        ffn.router.weight.zero_()
        ffn.router.weight[2] = 1.0
    x = inputs().abs()
    y, _ = ffn(x)
    assert ffn.counts(ffn.route(x.flatten(0, 1))[1]).tolist() == [0, 0, 64, 0]
    assert (y != 0).all()


def test_shared_experts_see_every_token():
    plain, shared = make(n_experts=4), make(n_experts=4, n_shared=2)
    shared.load_state_dict(plain.state_dict(), strict=False)
    x = inputs()
    torch.testing.assert_close(shared(x)[0] - plain(x)[0], shared.shared(x)[0])
    assert shared.shared.up.out_features == 40


def test_the_balance_loss_is_least_when_all_are_equally_busy():
    balance = BALANCES["loss"](4, weight=1.0)
    even = balance.loss(torch.full((8, 4), 0.25), torch.tensor([4, 4, 4, 4]))
    assert even.item() == pytest.approx(1.0)
    skewed = balance.loss(torch.tensor([[0.7, 0.1, 0.1, 0.1]]).expand(8, -1), torch.tensor([13, 1, 1, 1]))
    assert skewed.item() == pytest.approx(4 * (0.7 * 13 + 0.1 * 3) / 16)


def test_the_balance_is_no_part_of_an_evaluation():
    ffn = make(balance="loss").eval()
    assert ffn(inputs())[1].item() == 0.0
    assert ffn.train()(inputs())[1].item() > 0.0


def test_only_the_bias_has_parameters():
    assert {name for name, kind in BALANCES.items() if list(kind(4).parameters())} == {"bias"}


def test_the_bias_moves_the_choice_and_nothing_else():
    ffn = make(n_experts=4, top_k=2, balance="bias")
    tokens = inputs().flatten(0, 1)
    experts = ffn.route(tokens)[1]
    with torch.no_grad():
        ffn.balance.bias[:] = torch.tensor([100.0, 100.0, 0.0, 0.0])
    pushed, chosen, scores = ffn.route(tokens)
    assert not torch.equal(chosen.sort(-1).values, experts.sort(-1).values)
    assert set(chosen.flatten().tolist()) == {0, 1}
    torch.testing.assert_close(pushed, scores.gather(1, chosen) / scores.gather(1, chosen).sum(-1, keepdim=True))


@pytest.mark.parametrize("balance", ["loss", "bias"])
def test_training_evens_the_load(balance):
    """A router that begins with a favourite, and no task but the balance itself."""
    ffn = make(n_experts=4, top_k=1, balance=balance).float()
    with torch.no_grad():
        ffn.router.weight[0] += 0.5
    x = inputs(512).float() + 0.3

    def busiest():
        return ffn.counts(ffn.route(x.flatten(0, 1))[1]).max().item() / 512

    assert busiest() > 0.7
    optimizer = adamw(list(ffn.named_parameters()), lr=1e-2, weight_decay=0.0)
    for _ in range(120):
        optimizer.zero_grad()
        ffn(x)[1].backward()
        optimizer.step()
    assert busiest() < 0.4


def test_active_parameters_are_those_a_token_meets():
    ffn = make(n_experts=8, top_k=2, n_shared=1)
    one = 3 * 12 * 20
    assert sum(p.numel() for p in ffn.parameters()) == 9 * one + 8 * 12
    assert ffn.active_parameters() == 3 * one + 8 * 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 9}, "top_k = 9 must lie between 1 and n_experts = 8"),
        ({"score": "max"}, "no score 'max'.*softmax"),
        ({"balance": "los"}, "no balance 'los'.*loss"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        make(**arguments)
