"""What every optimizer promises. A new line in OPTIMIZERS is tested here with no new code."""

import pytest
import torch
from torch import nn

from firsthand.parts import build
from firsthand.train.optimizers import OPTIMIZERS
from firsthand.train.optimizers.groups import load_state_tensors, set_rate, state_tensors

SHAPES = {
    "embedding.weight": (7, 6),
    "blocks.0.ffn.up.weight": (10, 6),
    "blocks.0.ffn.down.weight": (6, 10),
    "blocks.0.ffn.experts.weight": (3, 8, 6),
    "blocks.0.mixer.taps": (6, 4),
    "blocks.0.mixer_norm.gain": (6,),
    "blocks.0.residual.scale": (1,),
    "unembedding.weight": (7, 6),
}
DECAYING = {name for name in SHAPES if name.endswith("weight")}


@pytest.fixture(params=OPTIMIZERS)
def name(request):
    return request.param


def weights():
    generator = torch.Generator().manual_seed(0)
    return [(key, nn.Parameter(0.2 * torch.randn(shape, generator=generator))) for key, shape in SHAPES.items()]


def make(name, named, **arguments):
    return build("optimizer", OPTIMIZERS, {"part": name, **arguments}, named_parameters=named)


def pull(named, step=0, noise=0.0):
    """The gradient of half the squared distance to a goal, with noise that depends on the step."""
    generator = torch.Generator().manual_seed(step)
    for number, (_, parameter) in enumerate(named):
        goal = 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1000 + number))
        parameter.grad = parameter.detach() - goal + noise * torch.randn(parameter.shape, generator=generator)


def distance(named):
    pull(named)
    return {key: parameter.grad.norm().item() for key, parameter in named}


def copies(named):
    return [parameter.detach().clone() for _, parameter in named]


def test_it_finds_the_bottom_of_a_bowl(name):
    named = weights()
    optimizer = make(name, named, lr=0.1, weight_decay=0.0)
    far = distance(named)
    for step in range(600):
        set_rate(optimizer, 1 - step / 600)
        pull(named)
        optimizer.step()
    near = distance(named)
    assert not {key: (far[key], near[key]) for key in SHAPES if near[key] > 0.1 * far[key]}


def test_it_stays_where_nothing_pulls(name):
    named = weights()
    optimizer = make(name, named, weight_decay=0.0)
    before = copies(named)
    for _ in range(3):
        for _, parameter in named:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, copies(named), strict=True))


def test_vectors_do_not_decay(name):
    """Nor taps, rates and scales, whatever their shape; tables may."""
    moved = {}
    for weight_decay in (0.0, 0.5):
        named = weights()
        optimizer = make(name, named, lr=0.01, weight_decay=weight_decay)
        pull(named)
        optimizer.step()
        moved[weight_decay] = dict(zip(SHAPES, copies(named), strict=True))
    decayed = {key for key in SHAPES if not torch.equal(moved[0.0][key], moved[0.5][key])}
    assert decayed <= DECAYING
    assert decayed >= {key for key in SHAPES if ".ffn." in key}


def test_cautious_decay_never_works_against_the_step(name):
    """Coordinates that the step moves away from zero go where they would without decay; the others further."""
    where = {}
    for label, arguments in {"none": {"weight_decay": 0.0}, "some": {"weight_decay": 0.5, "cautious": True}}.items():
        named = weights()
        optimizer = make(name, named, lr=0.01, **arguments)
        pull(named)
        optimizer.step()
        where[label] = dict(zip(SHAPES, copies(named), strict=True))
    for (key, start), free, decayed in zip(weights(), where["none"].values(), where["some"].values(), strict=True):
        agree = (start - free) * start >= 0
        torch.testing.assert_close(decayed[~agree], free[~agree], atol=1e-6, rtol=0)
        if ".ffn." in key:
            assert (decayed.abs() < free.abs() - 1e-4)[agree & (start.abs() > 0.1)].all()


def test_state_by_name_resumes_to_the_bit(name):
    named = weights()
    optimizer = make(name, named)
    for step in range(3):
        pull(named, step, noise=1.0)
        optimizer.step()
    saved = copies(named)
    state = {key: value.clone() for key, value in state_tensors(optimizer, named).items()}

    again = weights()
    for (_, parameter), value in zip(again, saved, strict=True):
        parameter.data.copy_(value)
    other = make(name, again)
    load_state_tensors(other, again, state)
    for run, these in ((optimizer, named), (other, again)):
        for step in range(3, 6):
            pull(these, step, noise=1.0)
            run.step()
    assert all(torch.equal(a, b) for a, b in zip(copies(named), copies(again), strict=True))


@pytest.mark.parametrize("cautious", [False, True])
def test_a_parameter_without_gradient_is_left_alone(name, cautious):
    """An expert that nobody visited, in one step and not in the next."""
    named = weights()
    optimizer = make(name, named, lr=0.01, weight_decay=0.1, cautious=cautious)
    for step in range(4):
        pull(named, step)
        idle = {key for number, key in enumerate(SHAPES) if (number + step) % 3 == 0}
        for key, parameter in named:
            if key in idle:
                parameter.grad = None
        before = copies(named)
        optimizer.step()
        still = {key for key, a, b in zip(SHAPES, before, copies(named), strict=True) if torch.equal(a, b)}
        assert still == idle


def test_each_matrix_of_a_stack_is_one_by_itself(name):
    """Experts in one stack learn as they would as matrices apart."""
    stack = nn.Parameter(weights()[3][1].detach().clone())
    apart = [nn.Parameter(matrix.clone()) for matrix in stack.detach()]
    together = make(name, [("blocks.0.ffn.up.weight", stack), ("norm.gain", nn.Parameter(torch.ones(2)))])
    alone = make(
        name,
        [(f"blocks.{n}.ffn.up.weight", matrix) for n, matrix in enumerate(apart)]
        + [("norm.gain", nn.Parameter(torch.ones(2)))],
    )
    for step in range(3):
        gradient = torch.randn(stack.shape, generator=torch.Generator().manual_seed(step))
        stack.grad = gradient
        for matrix, part in zip(apart, gradient, strict=True):
            matrix.grad = part.clone()
        together.step()
        alone.step()
    torch.testing.assert_close(stack.detach(), torch.stack(list(apart)).detach(), atol=1e-6, rtol=0)


def test_rates_follow_the_schedule(name):
    named = weights()
    optimizer = make(name, named, lr=0.1)
    peaks = [group["lr"] for group in optimizer.param_groups]
    assert set_rate(optimizer, 0.5) == pytest.approx(0.05)
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25 * peak for peak in peaks])


def test_every_parameter_is_moved_once(name):
    named = weights()
    groups = make(name, named).param_groups
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(id(p) for _, p in named)
