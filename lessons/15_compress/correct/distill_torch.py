"""With torch's own divergence."""

import torch
from torch.nn import functional as F

from firsthand.types import IGNORE, Loss


def distill_loss(student, teacher, targets, temperature, alpha):
    student, teacher, targets = student.flatten(0, -2), teacher.flatten(0, -2), targets.flatten()
    with torch.no_grad():
        aim = torch.log_softmax(teacher / temperature, -1)
    each = F.kl_div(torch.log_softmax(student / temperature, -1), aim, reduction="none", log_target=True).sum(-1)
    soft = temperature * temperature * each.masked_fill(targets == IGNORE, 0).sum()
    hard = F.cross_entropy(student, targets, ignore_index=IGNORE, reduction="sum")
    return Loss(alpha * soft + (1 - alpha) * hard, (targets != IGNORE).sum(), {"soft": soft.detach()})
