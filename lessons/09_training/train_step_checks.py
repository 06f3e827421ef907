"""What must hold of train_step, in teaching order."""

import weakref

import torch
from torch import nn
from torch.nn import functional as F

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.train.optimizers.sgd import sgd
from firsthand.types import IGNORE, Batch, Loss, Place


class Toy(nn.Module):
    """Logits from the last token alone; says in which mode it was asked."""

    def __init__(self, table: torch.Tensor, head: torch.Tensor) -> None:
        super().__init__()
        self.table, self.head = nn.Parameter(table.clone()), nn.Parameter(head.clone())
        self.modes: list[bool] = []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training)
        return F.embedding(ids, self.table) @ self.head.T


class Nats:
    """The summed loss of a batch. `blow`: the number of the call whose loss is infinite, or with `way` "loss" the loss
    and not its gradient, or with "gradient" its gradient alone. `kept`: graphs of earlier batches that were there when
    the next one began."""

    def __init__(self, blow: int | None, way: str = "both") -> None:
        self.blow, self.way, self.calls, self.kept = blow, way, 0, 0
        self.alive: weakref.WeakSet[Held] = weakref.WeakSet()

    def __call__(self, model: nn.Module, batch: Batch) -> Loss:
        self.kept = max(self.kept, len(self.alive))
        with torch.autograd.graph.saved_tensors_hooks(self.hold, lambda held: held.tensor):
            logits = model(batch.inputs).flatten(0, 1)
            value = F.cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORE, reduction="sum")
            if self.calls == self.blow and self.way == "gradient":
                value.register_hook(lambda slope: slope * torch.inf)
            elif self.calls == self.blow:
                value = value * torch.inf if self.way == "both" else value + torch.inf
        self.calls += 1
        return Loss(value, (batch.targets != IGNORE).sum(), {})

    def hold(self, tensor: torch.Tensor) -> "Held":
        held = Held(tensor)
        self.alive.add(held)
        return held


class Held:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def step_inputs(draw: Draw, counts: tuple[int, ...] = (9, 4, 2), max_norm: float | None = 0.05, scale: float = 1.0):
    rows = [(draw.integers(11, 2, 5), draw.integers(11, 10)) for _ in range(2 * len(counts))]
    for (_, targets), count in zip(rows, counts * 2, strict=True):
        targets[count:] = IGNORE
    return {
        "table": draw.normal(11, 3),
        "head": draw.normal(11, 3),
        "ids": torch.stack([ids for ids, _ in rows]),
        "targets": torch.stack([targets.view(2, 5) for _, targets in rows]),
        "max_norm": max_norm,
        "scale": scale,
    }


def steps(parts, table, head, ids, targets, max_norm, scale, blow=None, way="both", look=False):
    """Two steps; what they return, and the weights after each."""
    model, objective = Toy(table, head).eval(), Nats(blow, way)
    optimizer = sgd(list(model.named_parameters()), lr=0.5, momentum=0.5, nesterov=False)
    batches = [Batch(one, other, Place.of(one)) for one, other in zip(ids, targets, strict=True)]
    found: dict[str, list[torch.Tensor]] = {"loss": [], "norm": [], "table": [], "head": []}
    for half in (batches[: len(batches) // 2], batches[len(batches) // 2 :]):
        with torch.enable_grad():
            returned = parts.train_step(model, half, objective, optimizer, max_norm, scale)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise Broken(
                f"train_step returned a {type(returned).__name__}, not two numbers.",
                "Whoever trains looks at both: the loss, and the norm that tells of trouble before the loss does.",
                "End it with: return mean, norm",
            )
        for name, one in zip(found, (*returned, model.table, model.head), strict=True):
            found[name].append(torch.as_tensor(one, dtype=torch.float64).detach().clone())
    if look:
        return {"modes": model.modes, "kept": objective.kept}
    return {name: torch.stack(rows).to(table.dtype) for name, rows in found.items()}


def first_loss(parts, **given):
    return steps(parts, **given)["loss"][:1]


def right_first_loss(parts, table, head, ids, targets, **_):
    half = len(ids) // 2
    nats = F.cross_entropy((F.embedding(ids[:half], table) @ head.T).flatten(0, 2), targets[:half].flatten())
    return nats.reshape(1)


def one_batch(parts, **given):
    """All microbatches of a step as one."""
    given["ids"] = given["ids"].unflatten(0, (2, -1)).flatten(1, 2)
    given["targets"] = given["targets"].unflatten(0, (2, -1)).flatten(1, 2)
    return steps(parts, **given)


def watched(parts, **given):
    return steps(parts, **given, look=True)


def clipped(parts, factor: float, limit: float | None, of=(3.0, 4.0)):
    parameters = [nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in of]
    for parameter, one in zip(parameters, of, strict=True):
        parameter.grad = torch.tensor([one, 0.0], dtype=torch.float64)
    norm = float(parts.clip_by_norm(parameters, factor, limit))
    return [round(norm, 5), *(round(float(one.grad[0]), 5) for one in parameters)]


def twice(parts, **given):
    """Every microbatch of a step comes twice."""
    for name in ("ids", "targets"):
        given[name] = given[name].unflatten(0, (2, -1)).repeat(1, 2, 1, 1).flatten(0, 1)
    return steps(parts, **given)


def tiny(parts):
    """Gradients near the 1e-6 that is added to the norm, in millionths."""
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    parameter.grad = torch.tensor([3e-6, 4e-6], dtype=torch.float64)
    parts.clip_by_norm([parameter], 1.0, 1.2e-6)
    return [round(float(1e6 * one), 4) for one in parameter.grad]


def moved_by(given: Inputs, out) -> float:
    return float(sum(((out[name][0] - given[name]) ** 2).sum() for name in ("table", "head")) ** 0.5)


def empty_second(given: Inputs) -> Inputs:
    half = len(given["targets"]) // 2
    return given | {"targets": torch.cat((given["targets"][:half], torch.full_like(given["targets"][half:], IGNORE)))}


def clips(name: str, factor: float, limit: float | None, expected: list[float], why: str, todo: str) -> Property:
    example = f"clip_by_norm of the gradients (3, 0) and (4, 0), factor {factor}, limit {limit}: norm and new gradients"
    return p.by_hand(name, lambda parts: clipped(parts, factor, limit), expected, example, why, todo)


STEP = Checks(
    call=steps,
    axes={"table": "token channels"},
    cases={
        "usual": step_inputs,
        "nothing to clip": lambda draw: step_inputs(draw, max_norm=1e3),
        "no limit": lambda draw: step_inputs(draw, max_norm=None),
        "a loss scaled by 64": lambda draw: step_inputs(draw, scale=64.0),
        "one microbatch": lambda draw: step_inputs(draw, counts=(7,)),
        "a microbatch without targets": lambda draw: step_inputs(draw, counts=(5, 0, 3)),
        "an infinite loss in the first step": lambda draw: step_inputs(draw) | {"blow": 1},
    },
    edges=("a microbatch without targets", "an infinite loss in the first step"),
    borrowed=("clip_grad_norm_",),
    properties=(
        clips(
            "clip_together",
            1.0,
            1.0,
            [5.0, 0.6, 0.8],
            "The two are one vector of length 5; it keeps its direction.",
            "Squares of all numbers of all gradients, added up, and one root at the end.",
        ),
        clips(
            "clip_small",
            1.0,
            10.0,
            [5.0, 3.0, 4.0],
            "Clipping only ever shortens. Small gradients mean small steps.",
            "If the norm is not above the limit, leave the gradients alone.",
        ),
        clips(
            "clip_factor",
            0.1,
            1.0,
            [0.5, 0.3, 0.4],
            "The factor comes first: the norm is that of what is used.",
            "Multiply by factor, then take the norm, then compare it with the limit.",
        ),
        p.by_hand(
            "clip_epsilon",
            tiny,
            [0.6, 0.8],
            "The gradient (3, 4) millionths, clipped to 1.2 millionths, in millionths,",
            "A millionth is added to the norm, so that nothing is ever divided by 0: 1.2 / (5 + 1) of 3 and 4.",
            "limit / (norm + 1e-6), as torch has it.",
        ),
        p.parity(
            "mean_loss",
            first_loss,
            right_first_loss,
            "The loss that you return and the mean over all targets",
            "Microbatches have unequal numbers of targets; each target counts the same, not each microbatch.",
            "Add up the sums, add up the counts, divide at the end.",
        ),
        p.parity(
            "accumulation",
            steps,
            one_batch,
            "Two steps in three microbatches each, and in one batch each,",
            "Microbatches are there to save memory. What is learnt must not depend on how a batch was cut.",
            "Which number are the gradients divided by, and how often does the optimizer step?",
        ),
        p.parity(
            "repeated",
            lambda parts, **given: steps(parts, **given | {"max_norm": None}),
            lambda parts, **given: twice(parts, **given | {"max_norm": None}),
            "Two steps without clipping, and the same with every microbatch coming twice,",
            "If each target comes twice, the mean is the same, and so must its gradient be. Each step has its own.",
            "Divide the gradients by the number of targets of all microbatches.",
        ),
        p.parity(
            "scale_is_gone",
            steps,
            lambda parts, **given: steps(parts, **given | {"scale": 64.0}),
            "Two steps with scale 1 and with scale 64",
            "The scale is there for the rounding of fp16. Nothing else may notice it.",
            "Divide the gradients by scale, before their norm is taken; and report the loss without it.",
        ),
        p.holds(
            "short_step",
            lambda given, out: abs(moved_by(given, out) - 0.5 * given["max_norm"]) < 1e-6,
            "The first step, at a rate of 0.5 with a clipped gradient, is not 0.5 · max_norm long.",
            "Clipping bounds how far one strange batch can throw the weights.",
            "Clip after all backward passes and before the optimizer's step.",
        ),
        p.holds(
            "forgets",
            lambda given, out: (
                (out["table"][1] - out["table"][0] - (out["table"][0] - given["table"]) / 2).abs() < 1e-9
            ),
            "After a step without any target the weights moved by more than the optimizer's momentum ({where}).",
            "backward() adds to .grad. What one step leaves there, the next one uses again.",
            "optimizer.zero_grad(), once in each step.",
            changed=empty_second,
        ),
        p.parity(
            "training_mode",
            lambda parts, **given: all(watched(parts, **given)["modes"]),
            lambda parts, **given: True,
            "Whether the model is in training mode when it learns, and what should be,",
            "Somebody may have evaluated it before; without training mode dropout is off.",
            "model.train() at the beginning.",
        ),
        p.parity(
            "one_graph",
            lambda parts, **given: watched(parts, **given)["kept"],
            lambda parts, **given: 0,
            "The number of tensors kept from earlier microbatches when the next one begins, and 0,",
            "The graph of a forward pass is most of the memory of training. Freed at once, it never adds up.",
            "backward() for each microbatch, without retain_graph, and float(loss.value.detach()) for what you add up.",
        ),
        p.holds(
            "not_finite",
            lambda given, out: (out["table"][0] - given["table"]).abs() < 1e-12,
            "After a step with an infinite loss the weights are not what they were ({where}).",
            "One bad batch would end the run: inf and nan never leave the weights again.",
            "Step only if loss and norm are finite.",
            case="an infinite loss in the first step",
        ),
        *(
            p.holds(
                f"infinite_{way}",
                lambda given, out: (out["table"][0] - given["table"]).abs() < 1e-12,
                f"After a step of which only the {way} is infinite the weights are not what they were ({{where}}).",
                "Each of the two comes alone: a loss that overflows where its slope does not, and the other way round.",
                "Step only if both are finite, the loss and the norm.",
                changed=lambda given, way=way: given | {"blow": 1, "way": way},
            )
            for way in ("loss", "gradient")
        ),
    ),
)
