"""What models of different mixers can hold in mind: each is trained on a made-up task and examined at every size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from firsthand.data.tasks import TASKS, Task
from firsthand.data.tasks.loader import TaskLoader, examination
from firsthand.errors import UserError
from firsthand.model.count import flops_per_token
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model
from firsthand.parts import PartSpec, build
from firsthand.train.budget import Budget
from firsthand.train.loop import Loop
from firsthand.train.objectives.next_token import NextToken
from firsthand.train.optimizers import OPTIMIZERS
from firsthand.train.schedules import SCHEDULES
from firsthand.types import IGNORE

MODEL: dict[str, Any] = {
    "preset": "modern",
    "n_layers": 2,
    "d_model": 64,
    "n_heads": 2,
    "mixer": "attention",
    "initialize": "gpt2",
    "softcap": 0.0,
}
"""Two layers, the fewest with which attention can find what followed an earlier token (arXiv 2209.11895).

Outputs do not begin at zero, and queries and keys have no norm: attention must find by chance that looking up helps,
and where the first gradients hardly reach it, that takes longer (LOG.md).
"""


@dataclass(frozen=True)
class Plan:
    """`sizes`: trained on all of them at once, examined at each."""

    task: str = "recall"
    sizes: tuple[int, ...] = (4, 8, 16, 32, 64)
    steps: int = 500
    batch_tokens: int = 4096
    optimizer: PartSpec = field(default_factory=lambda: {"part": "muon", "lr": 0.02, "adamw_lr": 3e-3})
    seeds: int = 1
    examined: int = 256
    model: dict[str, Any] = field(default_factory=lambda: dict(MODEL))


@dataclass(frozen=True)
class Result:
    """Of one model: the share of right answers by size, and what it had to answer with.

    `state_numbers`: what one layer remembers at the largest size.
    """

    mixer: str
    seed: int
    accuracy: dict[int, float]
    parameters: int
    state_numbers: int
    losses: list[float]


def probe(
    mixers: dict[str, PartSpec], plan: Plan, report: Callable[[str, int, int, float], None] = lambda *_: None
) -> list[Result]:
    """Train and examine a model for each mixer (a label and what a recipe would say) and seed, seeds outermost.

    `report(label, seed, step, loss)` is called after every step. UserError for what is unknown or impossible.
    """
    if not plan.sizes or min(plan.sizes) < 1:
        raise UserError(f"Sizes must be positive, not {list(plan.sizes)}.")
    task: Task = build("task", TASKS, plan.task)
    models = {label: _model(task, spec, plan, 0) for label, spec in mixers.items()}  # errors before any training
    del models
    found = []
    for seed in range(plan.seeds):
        for label, spec in mixers.items():
            model = _model(task, spec, plan, seed)
            losses = [
                _note(report, label, seed, step.progress.steps, step.loss) for step in _loop(model, task, plan, seed)
            ]
            found.append(
                Result(
                    label,
                    seed,
                    {size: accuracy(model, task, size, plan.examined) for size in plan.sizes},
                    sum(parameter.numel() for parameter in model.parameters()),
                    model.blocks[0].mixer.state_size(task.length(max(plan.sizes))),  # type: ignore[union-attr, operator]
                    losses,
                )
            )
    return found


@torch.inference_mode()
def accuracy(model: LanguageModel, task: Task, size: int, rows: int) -> float:
    """The share of the targets of `rows` new rows that the model's best guess hits."""
    batch = examination(task, size, rows)
    model.eval()
    guess = torch.cat([model(part).argmax(-1) for part in torch.split(batch.inputs, 32)])
    asked = batch.targets != IGNORE
    return float((guess == batch.targets)[asked].float().mean())


def _model(task: Task, mixer: PartSpec, plan: Plan, seed: int) -> LanguageModel:
    torch.manual_seed(seed)
    context = task.length(max(plan.sizes))
    return build_model(plan.model | {"mixer": mixer, "context_length": context}, task.vocab_size)


def _loop(model: LanguageModel, task: Task, plan: Plan, seed: int) -> Loop:
    named = list(model.named_parameters())
    return Loop(
        model,
        NextToken(),
        build("optimizer", OPTIMIZERS, plan.optimizer, named_parameters=named),
        build("schedule", SCHEDULES, {"part": "warmup_cosine", "warmup": 0.1, "final": 0.0}),
        TaskLoader(task, list(plan.sizes), plan.batch_tokens, seed),
        Budget(steps=plan.steps),
        flops_per_token(model),
        torch.device("cpu"),
        "fp32",
        seed=seed,
    )


def _note(report: Callable[[str, int, int, float], None], label: str, seed: int, step: int, loss: float) -> float:
    report(label, seed, step, loss)
    return loss


def means(results: Sequence[Result]) -> dict[str, dict[int, float]]:
    """The mean accuracy over the seeds, by mixer and size."""
    found: dict[str, dict[int, float]] = {}
    for label in dict.fromkeys(result.mixer for result in results):
        own = [result.accuracy for result in results if result.mixer == label]
        found[label] = {size: sum(one[size] for one in own) / len(own) for size in own[0]}
    return found
