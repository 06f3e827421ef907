"""Recovery: what has been pruned goes on learning for a while, from the text or from the model that it was."""

from typing import Any

from firsthand.compress.subject import Given, Subject, is_quantized
from firsthand.errors import UserError, suggest
from firsthand.parts import PartSpec

TEACHERS = ("original",)


class Recover:
    """Continue the training of what is left (LLM-Pruner, arXiv 2305.11627, section 3.4).

    It ends after `seconds`, `steps` or `tokens`, whichever is first. `lr`: of the optimizer; absent: the dial's. With
    `adapter`, an adapter of adapt/ such as {part: lora, rank: 16, targets: all}, only that learns, and `given.train`
    folds it into the weights in the end. `teacher: original` adds distillation from the model that the plan began with,
    with `temperature` and `alpha` (compress/distill.py); null learns from the text alone. `settings`: any others of a
    recipe, by dotted key, such as {compress.keep_zeros: true} for a model that must keep its zeros.
    """

    def __init__(
        self,
        seconds: float | None = None,
        steps: int | None = None,
        tokens: float | None = None,
        lr: float | None = None,
        adapter: PartSpec | None = None,
        teacher: str | None = None,
        temperature: float = 1.0,
        alpha: float = 0.5,
        settings: dict[str, Any] | None = None,
    ) -> None:
        if not (seconds or steps or tokens):
            raise UserError("recover: say when it ends, with seconds, steps or tokens, such as seconds: 900.0.")
        if teacher is not None and teacher not in TEACHERS:
            raise UserError(f"recover: there is no teacher {teacher!r}. {suggest(teacher, TEACHERS)}")
        bounds = {"train.seconds": seconds, "train.steps": steps, "train.tokens": tokens}
        self.settings: dict[str, Any] = {key: bound for key, bound in bounds.items() if bound is not None}
        if lr is not None:
            self.settings["train.optimizer.lr"] = lr
        if adapter is not None:
            self.settings["adapt.adapter"] = adapter
        if teacher is not None:
            self.settings["train.objective"] = {"part": "distill", "temperature": temperature, "alpha": alpha}
        self.settings |= settings or {}

    def __call__(self, subject: Subject, given: Given) -> None:
        if is_quantized(subject.model):
            raise UserError("recover: weights in few bits cannot learn. Let it stand before what quantizes.")
        if given.train is None:
            raise UserError("recover: there is nothing to train on here. Run the plan with `firsthand compress`.")
        given.train(subject, dict(self.settings))
