"""What training needs: gradients that arrive, inputs that stay as they are, no chance where none belongs."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.contracts.finding import Broken
from firsthand.learn.grader.checks import Checks, Inputs, Parts, Property
from firsthand.learn.grader.leaves import equal, leaves, same
from firsthand.learn.grader.properties.words import number
from firsthand.learn.grader.subject import Sign, Subject

STEP = 1e-5


def gradients(*names: str, case: str = "") -> Property:
    """A gradient reaches each of these inputs, and is the slope that finite differences measure in fp64."""

    def test(subject: Subject) -> None:
        inputs = subject.inputs(case)
        given = {name: inputs[name].clone().requires_grad_() for name in names}
        loss = _loss(subject.ask(inputs | given, grad=True))
        if not loss.requires_grad:
            raise _cut(names)
        try:
            slopes = torch.autograd.grad(loss, list(given.values()), allow_unused=True)
        except RuntimeError as error:
            raise Sign(
                f"The way back failed: {' '.join(str(error).split())[:200]}",
                "Training goes this way at every step.",
                "Look for tensors changed in place after they were used: functions that end in _, +=, x[...] =.",
                "failed",
            ) from error
        cut = [name for name, one in zip(names, slopes, strict=True) if one is None or not bool((one != 0).any())]
        if cut:
            raise _cut(cut)
        for name, slope in zip(names, slopes, strict=True):
            if not bool(slope.isfinite().all()):
                raise Sign(
                    f"The gradient of {name} holds inf or nan, though the output does not.",
                    "One such number spoils every weight at the next step.",
                    "Look for 0 * inf and inf - inf: torch.where and masks do not stop them on the way back.",
                    "nan",
                )
            _compare(subject, inputs, name, slope)

    return Property("gradients", test, "gradients")


def _cut(names: Sequence[str]) -> Broken:
    return Sign(
        f"No gradient arrives at {' and '.join(names)}.",
        "What gets no gradient learns nothing.",
        "Look for .detach(), .data, .item(), torch.no_grad() and for tensors made anew from numbers.",
        "+".join(names),
    )


def _compare(subject: Subject, inputs: Inputs, name: str, slope: Tensor) -> None:
    """Along one random direction: the gradient's slope and the measured one."""
    direction = torch.randn(slope.shape, generator=torch.Generator().manual_seed(7), dtype=slope.dtype)
    ends = [float(_loss(subject.ask(inputs | {name: inputs[name] + step * direction}))) for step in (STEP, -STEP)]
    measured, claimed = (ends[0] - ends[1]) / (2 * STEP), float((slope * direction).sum())
    if abs(measured - claimed) > 1e-5 * max(1.0, abs(measured)):
        raise Sign(
            f"Along a random direction of {name} the output's slope is {number(measured)}, and your gradient says "
            f"{number(claimed)}.",
            "Part of the way back is cut, so training goes in a wrong direction.",
            "Look for .detach(), .data, torch.no_grad() and writing in place around this input.",
            "slope",
        )


def _loss(output: Any) -> Tensor:
    """All floating-point numbers of an output, weighted by fixed random numbers and added up."""
    total = torch.zeros((), dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    for leaf in _tensors(output):
        if leaf.is_floating_point():
            total = total + (leaf.double() * torch.randn(leaf.shape, generator=generator, dtype=torch.float64)).sum()
    return total


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    fields = vars(value).values() if hasattr(value, "__dataclass_fields__") else ()
    return [tensor for one in (*inner, *fields) for tensor in _tensors(one)]


def parameter_gradients(
    build: Callable[[Parts, Inputs], nn.Module], use: Callable[[nn.Module, Inputs], Any]
) -> Property:
    """Every parameter of what `build` makes gets a gradient when what `use` returns is trained on."""

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        module: nn.Module = subject.within(lambda parts: build(parts, inputs))
        loss = _loss(subject.within(lambda _: use(module, inputs), grad=True))
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        deaf = [name for name, one in module.named_parameters() if one.grad is None or not bool((one.grad != 0).any())]
        if deaf:
            raise _cut(deaf)

    return Property("parameter_gradients", test, "gradients")


def purity() -> Property:
    """The inputs are afterwards what they were."""

    def test(subject: Subject) -> None:
        for case in subject.checks.cases:
            inputs, before = subject.inputs(case), subject.inputs(case)
            try:
                subject.within(partial(_call, subject.checks, inputs))
            except Broken:
                continue  # what raises is judged elsewhere
            edited = [name for name, one in before.items() if not same(leaves(inputs[name]), leaves(one), 0.0)]
            if edited:
                raise Sign(
                    f"After the call, {' and '.join(edited)} {_is(edited)} no longer what went in.",
                    "The caller still needs it: for the residual, the backward pass, or the next layer.",
                    "Look for functions that end in _ (add_, masked_fill_), for += and x[...] = on an input; on lists "
                    "also for append, pop, sort and clear.",
                    "+".join(edited),
                )

    return Property("purity", test, "purity")


def _call(checks: Checks, inputs: Inputs, parts: Parts) -> Any:
    return checks.call(parts, **inputs)


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def eval_deterministic(
    build: Callable[[Parts, Inputs], nn.Module], use: Callable[[nn.Module, Inputs], Any], training: bool = True
) -> Property:
    """In evaluation mode two calls are equal; with `training`, in training mode they differ (dropout is at work)."""

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        module: nn.Module = subject.within(lambda parts: build(parts, inputs))
        for mode, alike in ((False, True), (True, False)):
            if mode and not training:
                return
            module.train(mode)
            first, second = (leaves(subject.within(partial(_seeded, use, module, inputs, seed))) for seed in (1, 2))
            if all(equal(first[path], second.get(path)) for path in first) is not alike:
                raise Sign(
                    "In evaluation mode two calls with the same input differ."
                    if alike
                    else "In training mode two calls with the same input are equal, though dropout is 0.5.",
                    "Dropout makes training harder on purpose; a finished model answers alike what is asked alike.",
                    "Use nn.Dropout, which looks at self.training, and call it once on the output.",
                    "eval" if alike else "train",
                )

    return Property("dropout_mode", test, "purity")


def dropout_on_output(
    build: Callable[[Parts, Inputs], nn.Module], use: Callable[[nn.Module, Inputs], Any], rate: float = 0.5
) -> Property:
    """Dropout acts on what `use` returns and on nothing before it: in training each of its numbers is 0, or that of
    evaluation divided by 1 - rate. `build` makes the module with that rate."""

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        module: nn.Module = subject.within(lambda parts: build(parts, inputs))
        calm, noisy = (
            leaves(subject.within(partial(_seeded, use, module.train(mode), inputs, 1)))["out"]
            for mode in (False, True)
        )
        assert isinstance(calm, Tensor), "a layer gives a tensor"
        assert isinstance(noisy, Tensor), "a layer gives a tensor"
        scaled = calm / (1 - rate)
        kept = (noisy - scaled).abs() <= 1e-6 * scaled.abs().max()
        if not bool((kept | (noisy == 0)).all()):
            raise Broken(
                f"In training mode with dropout {number(rate)}, the output holds numbers that are neither 0 nor "
                f"{number(1 / (1 - rate))} times those of evaluation.",
                "Dropout somewhere before the output, such as on the weights of attention, is another regulariser.",
                "Call dropout once, on the output, after the last map.",
            )

    return Property("dropout_output", test, "purity")


def _seeded(use: Callable[[nn.Module, Inputs], Any], module: nn.Module, inputs: Inputs, seed: int, _: Parts) -> Any:
    torch.manual_seed(seed)
    return use(module, copy.copy(inputs))


def parameters(build: Callable[[Parts, Inputs], nn.Module]) -> Property:
    """What `build` makes, by `weights`, has the parameters that it names. Told before anything else."""

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        subject.within(lambda parts: build(parts, inputs))

    return Property("parameters", test, "shapes")


def weights(module: nn.Module, shapes: Mapping[str, Sequence[int]], seed: int = 0) -> nn.Module:
    """The module with parameters drawn by their names, so that two modules of the same names get the same numbers.

    Gains and biases (one axis) are drawn around 1, so that forgetting one shows. Broken unless the parameters are
    exactly those of `shapes`. The dtype is that of the module's own; call .to(dtype) before.
    """
    there = {name: tuple(one.shape) for name, one in module.named_parameters()}
    wanted = {name: tuple(shape) for name, shape in shapes.items()}
    if there != wanted:
        raise _misnamed(there, wanted)
    with torch.no_grad():
        for name, one in module.named_parameters():
            generator = torch.Generator().manual_seed(seed * 1000 + sum(map(ord, name)))
            drawn = torch.randn(one.shape, generator=generator, dtype=torch.float64)
            one.copy_(1 + 0.3 * drawn if one.dim() == 1 else drawn / one.shape[-1] ** 0.5)
    return module


def _misnamed(there: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> Broken:
    lacking = [f"{name} {shape} is missing" for name, shape in wanted.items() if name not in there]
    besides = [f"{name} {shape} is too much" for name, shape in there.items() if name not in wanted]
    other = [
        f"{name} is {shape}, and should be {wanted[name]}"
        for name, shape in there.items()
        if name in wanted and wanted[name] != shape
    ]
    todo = "Name the layers as the stub's docstring does, without a bias where none is asked for."
    if lacking and not besides and not other:
        todo = (
            "A tensor becomes a parameter by nn.Parameter(...), as an attribute; layers in a list need nn.ModuleList."
        )
    elif other and not besides and not lacking:
        todo = "Which size comes first? nn.Linear(n, m), from n to m, has a weight (m, n)."
    return Broken(
        f"Of its parameters {'; '.join((*lacking, *besides, *other))}.",
        "Checkpoints, optimizers and the shipped model find weights by these names and shapes.",
        todo,
    )


def cost(
    name: str, run: Callable[[Parts, int], Any], sizes: Sequence[int], at_most: float, why: str, todo: str
) -> Property:
    """Warns if the time of `run(parts, n)` grows faster than n to the power `at_most`, over `sizes`, best of three."""

    def test(subject: Subject) -> None:
        times = []
        for n in sizes:
            best = min(_seconds(subject, run, n) for _ in range(3))
            times.append(max(best, 1e-6))
        xs = torch.tensor(sizes, dtype=torch.float64).log()
        ys = torch.tensor(times, dtype=torch.float64).log()
        power = float(((xs - xs.mean()) * (ys - ys.mean())).sum() / ((xs - xs.mean()) ** 2).sum())
        if power > at_most:
            raise Broken(f"The time grows like n^{power:.1f} with the size; n^{at_most:.1f} would do.", why, todo)

    return Property(name, test, warns=True)


def _seconds(subject: Subject, run: Callable[[Parts, int], Any], n: int) -> float:
    before = time.process_time()
    subject.within(lambda parts: run(parts, n))
    return time.process_time() - before
