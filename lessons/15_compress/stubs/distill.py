"""Distillation: a student learns what a teacher finds likely, not only what came next."""

from torch import Tensor

from firsthand.types import Loss


def distill_loss(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float) -> Loss:
    """alpha · T² · KL(teacher ‖ student) + (1 - alpha) · -ln p(target), summed over all targets that are not IGNORE.

    `student` and `teacher` are logits (..., vocab), `targets` ids (...). For the first part both are divided by
    T = `temperature` before the softmax; the second part is the loss that you know, of the logits as they are. The
    teacher gets no gradient. Returns Loss(value, count, {}): the sum in nats, and a tensor with the number of targets.
    """
    raise NotImplementedError
