import pytest
import torch
from torch import nn

from firsthand.compress.prune.masks import Masks, apply_masks
from firsthand.compress.prune.schedule import Gradual
from firsthand.errors import DamagedError, UserError
from firsthand.train.optimizers import OPTIMIZERS

from .small import VOCAB, maps, subject_of


def learn(model, optimizer, steps):
    for step in range(steps):
        ids = torch.randint(VOCAB, (4, 16), generator=torch.Generator().manual_seed(step))
        nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


def half(model):
    """A mask of every linear map of the layers, at random."""
    generator = torch.Generator().manual_seed(3)
    return {
        f"{name}.weight": torch.rand(part.weight.shape, generator=generator) < 0.5 for name, part in maps(model).items()
    }


def test_masked_weights_are_zero_and_get_no_gradient():
    model = subject_of().model
    masks = half(model)
    handles = apply_masks(model, masks)
    model(torch.arange(16).unsqueeze(0)).square().sum().backward()
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert (weight[~mask] == 0).all()
        assert (weight.grad[~mask] == 0).all()
        assert weight.grad[mask].abs().max() > 0
    for handle in handles:
        handle.remove()
    model.zero_grad()
    model(torch.arange(16).unsqueeze(0)).square().sum().backward()
    name, mask = next(iter(masks.items()))
    assert model.get_parameter(name).grad[~mask].abs().max() > 0


@pytest.mark.parametrize("cautious", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zeros_stay_through_every_optimizer_and_the_rest_learns(name, cautious):
    """The optimizer has momenta from before the masks, which alone would move the zeros."""
    model = subject_of().model
    optimizer = OPTIMIZERS[name](list(model.named_parameters()), cautious=cautious)
    learn(model, optimizer, 2)
    masks = half(model)
    Masks(model, optimizer, masks)
    before = {key: model.get_parameter(key).detach().clone() for key in masks}
    for _ in range(3):
        learn(model, optimizer, 1)
        for key, mask in masks.items():
            assert (model.get_parameter(key)[~mask] == 0).all(), key
    for key, mask in masks.items():
        assert (model.get_parameter(key)[mask] != before[key][mask]).float().mean() > 0.9, key


def test_without_the_hook_muon_would_revive_them():
    model = subject_of().model
    optimizer = OPTIMIZERS["muon"](list(model.named_parameters()))
    masks = half(model)
    apply_masks(model, masks)
    learn(model, optimizer, 1)
    assert any((model.get_parameter(key)[~mask] != 0).any() for key, mask in masks.items())


def test_masks_are_loaded_from_what_was_kept_and_nothing_else():
    model = subject_of().model
    optimizer = OPTIMIZERS["sgd"](list(model.named_parameters()))
    masks = Masks(model, optimizer, half(model))
    kept = {name: mask.clone() for name, mask in masks.tensors().items()}
    again = Masks(model, optimizer, {name: torch.ones_like(mask) for name, mask in masks.masks.items()})
    assert again.share == 0
    assert again.load(kept | {"blocks.0.ffn.up.weight.momentum": torch.ones(1)}).keys() == {
        "blocks.0.ffn.up.weight.momentum"
    }
    assert again.share == masks.share == pytest.approx(0.5, abs=0.05)
    with pytest.raises(DamagedError, match="has no mask for"):
        again.load({})
    name = next(iter(kept))
    with pytest.raises(DamagedError, match="has no mask for"):
        again.load(kept | {name: kept[name][:1]})


class TestGradual:
    def test_it_is_the_papers_cubic(self):
        gradual = Gradual(sparsity=0.8, begin=0.2, end=0.7, initial=0.1)
        for fraction in (0.2, 0.3, 0.45, 0.7):
            wanted = 0.8 + (0.1 - 0.8) * (1 - (fraction - 0.2) / 0.5) ** 3
            assert gradual.share(fraction) == pytest.approx(wanted, abs=1e-12)
        assert gradual.share(0.1) == 0.0
        assert gradual.share(0.2) == pytest.approx(0.1)
        assert gradual.share(1.0) == 0.8

    def masks(self, gradual):
        model = subject_of().model
        optimizer = OPTIMIZERS["adamw"](list(model.named_parameters()))
        every = {f"{name}.weight": torch.ones_like(part.weight).bool() for name, part in maps(model).items()}
        return Masks(model, optimizer, every, gradual), optimizer

    def test_the_smallest_go_at_its_pace_and_never_return(self):
        gradual = Gradual(sparsity=0.75, begin=0.1, end=0.6, every=3)
        masks, optimizer = self.masks(gradual)
        shares = []
        for step in range(1, 21):
            learn(masks.model, optimizer, 1)
            before = {name: mask.clone() for name, mask in masks.masks.items()}
            sizes = {name: masks.model.get_parameter(name).abs().detach() for name in before}
            masks.grow(masks, step, step / 20)
            for name, mask in masks.masks.items():
                assert not (mask & ~before[name]).any()
                went = before[name] & ~mask
                assert not went.any() or sizes[name][went].max() <= sizes[name][mask].min()
                assert (masks.model.get_parameter(name)[~mask] == 0).all()
            shares.append(masks.share)
        changed = [step for step in range(2, 21) if shares[step - 1] != shares[step - 2]]
        assert changed == [3, 6, 9, 12]
        assert shares[2] == pytest.approx(gradual.share(3 / 20), abs=0.01)
        assert shares[-1] == pytest.approx(0.75, abs=0.01)

    def test_the_last_share_is_reached_whatever_the_pace(self):
        gradual = Gradual(sparsity=0.5, every=1000)
        masks, _ = self.masks(gradual)
        masks.grow(masks, 7, 0.61)
        assert masks.share == pytest.approx(0.5, abs=0.01)

    def test_a_weight_that_is_zero_by_chance_does_not_free_another(self):
        gradual = Gradual(sparsity=0.5, every=1)
        masks, _ = self.masks(gradual)
        name = next(iter(masks.masks))
        masks.put({name: torch.arange(masks.masks[name].numel()).view_as(masks.masks[name]) >= 30})
        with torch.no_grad():
            masks.model.get_parameter(name).flatten()[30:40] = 0.0
        held = ~masks.masks[name]
        masks.grow(masks, 1, 0.11)
        assert not masks.masks[name][held].any()

    @pytest.mark.parametrize(
        "settings",
        [{"begin": 0.6}, {"end": 1.1}, {"begin": -0.1}, {"every": 0}, {"initial": 0.6}, {"sparsity": 1.0}],
    )
    def test_settings_that_cannot_be_are_refused(self, settings):
        with pytest.raises(UserError, match=r"gradual|nothing of the model"):
            Gradual(**settings)
