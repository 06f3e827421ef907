"""One step, and then the rest."""

import torch
from torch import Tensor


def generate(model, ids, max_new_tokens, sample, stop=()) -> Tensor:
    training = model.training
    model.train(False)
    with torch.no_grad():
        longer = _more(model, ids, max_new_tokens, sample, list(stop), torch.full((len(ids),), False))
    model.train(training)
    return longer


def _more(model, ids, count, sample, stop, ended) -> Tensor:
    if count == 0 or bool(ended.all()):
        return ids
    scores = model(ids[..., -model.context_length :]).select(1, -1)
    new = sample(scores)
    new[ended] = ids[ended, -1]
    hit = torch.stack([new == id for id in stop]).any(0) if stop else ended
    return _more(model, torch.hstack((ids, new[:, None])), count - 1, sample, stop, ended | hit)
