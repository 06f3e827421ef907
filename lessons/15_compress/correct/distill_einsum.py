"""As a cross-entropy with the teacher's probabilities, less the teacher's own entropy."""

import torch
from torch import Tensor

from firsthand.types import IGNORE, Loss


def distill_loss(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float) -> Loss:
    there = (targets != IGNORE).to(student.dtype)
    p = torch.softmax(teacher.detach() / temperature, -1)
    heated = student / temperature - torch.logsumexp(student / temperature, -1, keepdim=True)
    entropy = torch.special.entr(p).sum(-1)
    soft = torch.einsum("...v,...v->...", p, -heated) - entropy
    plain = torch.logsumexp(student, -1) - student.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    each = alpha * temperature**2 * soft + (1 - alpha) * plain
    return Loss(torch.sum(each * there), there.sum().long(), {})
