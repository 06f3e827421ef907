"""A step a line. The slips of `distill` are edits of this file, as the shipped function may go another way."""

import torch
from torch import Tensor
from torch.nn import functional as F

from firsthand.types import IGNORE, Loss


def distill_loss(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float) -> Loss:
    counted = targets != IGNORE
    teacher = teacher.detach()
    soft_student = torch.log_softmax(student / temperature, dim=-1)
    soft_teacher = torch.log_softmax(teacher / temperature, dim=-1)
    divergence = (soft_teacher.exp() * (soft_teacher - soft_student)).sum(-1)
    soft = (temperature**2 * divergence)[counted].sum()
    hard = F.cross_entropy(student[counted], targets[counted], reduction="sum")
    value = alpha * soft + (1 - alpha) * hard
    return Loss(value, counted.sum(), {})
