"""Distillation: a student learns what a teacher finds likely, not only what came next (arXiv 1503.02531)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from firsthand.types import IGNORE, Loss


def distill_loss(
    student: Float[Tensor, "*rows vocab"],
    teacher: Float[Tensor, "*rows vocab"],
    targets: Int[Tensor, "*rows"],
    temperature: float = 2.0,
    alpha: float = 0.5,
) -> Loss:
    """alpha · T² · KL(teacher ‖ student), both heated to T, + (1 - alpha) · -ln p(target), summed over the targets.

    Nats, from logits; the second part is not heated. T² keeps the size of the first one's gradients whatever T is
    (section 2). The teacher gets no gradient, and targets that are IGNORE count nowhere. Metrics: the two sums, `soft`
    and `nats`.
    """
    counted = targets != IGNORE
    student, teacher, targets = student[counted], teacher[counted].detach(), targets[counted]
    heated = F.log_softmax(student / temperature, -1)
    aim = F.log_softmax(teacher / temperature, -1)
    soft = temperature**2 * torch.sum(aim.exp() * (aim - heated))
    hard = F.cross_entropy(student, targets, reduction="sum")
    metrics = {"soft": soft.detach(), "nats": hard.detach()}
    return Loss(alpha * soft + (1 - alpha) * hard, counted.sum(), metrics)
