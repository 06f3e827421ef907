"""One step: the mean over all targets, however they are cut into microbatches, and nothing from bad numbers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from firsthand.train.optimizers.sgd import sgd
from firsthand.train.step import train_step
from firsthand.types import IGNORE, Batch, Loss, Place

IDS = torch.randint(11, (6, 5), generator=torch.Generator().manual_seed(1))
TARGETS = torch.randint(11, (6, 5), generator=torch.Generator().manual_seed(2))
TARGETS[3:, 1:] = IGNORE


class Bigram(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(11, 11, dtype=torch.float64))


def nats(model, batch):
    logits = model.table[batch.inputs].flatten(0, 1)
    value = F.cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORE, reduction="sum")
    return Loss(value, (batch.targets != IGNORE).sum(), {})


def step(microbatches, objective=nats, **settings):
    model = Bigram().eval()
    parts = zip(IDS.chunk(microbatches), TARGETS.chunk(microbatches), strict=True)
    batches = [Batch(ids, targets, Place.of(ids)) for ids, targets in parts]
    optimizer = sgd(list(model.named_parameters()), lr=1.0, momentum=0.0)
    loss, norm = train_step(model, batches, objective, optimizer, **settings)
    return model, loss, norm


@pytest.mark.parametrize("settings", [{}, {"scale": 64.0}, {"max_norm": None}, {"max_norm": 0.01}])
def test_a_batch_may_be_cut_though_its_parts_have_unequal_numbers_of_targets(settings):
    one, loss, norm = step(1, **settings)
    cut, cut_loss, cut_norm = step(3, **settings)
    torch.testing.assert_close(cut.table, one.table)
    assert (cut_loss, cut_norm) == pytest.approx((loss, norm))
    assert loss == pytest.approx(F.cross_entropy(Bigram().table[IDS].flatten(0, 1), TARGETS.flatten()).item())
    assert cut.training
    assert cut.table.grad is None


def test_the_step_is_as_long_as_the_clipped_gradient():
    model, _, norm = step(2, max_norm=0.01)
    assert norm > 0.01
    assert (model.table - Bigram().table).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_an_infinite_loss_moves_nothing():
    def blown(model, batch):
        loss = nats(model, batch)
        return Loss(loss.value * torch.inf, loss.count, {})

    model, loss, _ = step(2, blown)
    assert loss == torch.inf
    assert torch.equal(model.table, Bigram().table)


def test_ranks_add_what_each_of_them_saw():
    _, alone, _ = step(2)
    _, among_two, _ = step(2, add_up=lambda total, count: (total + 3.0, 2 * count))
    count = int((TARGETS != IGNORE).sum())
    assert among_two == pytest.approx((alone * count + 3.0) / (2 * count))
