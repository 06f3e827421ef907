"""Generation as its definition: read everything again for each token. `decode.py` gives the same tokens, faster."""

from collections.abc import Callable, Collection

import torch
from jaxtyping import Int
from torch import Tensor

from firsthand.generate.decode import evaluating
from firsthand.model.language_model import LanguageModel


@torch.no_grad()
def generate(
    model: LanguageModel,
    ids: Int[Tensor, "batch time"],
    max_new_tokens: int,
    sample: Callable[[Tensor], Tensor],
    stop: Collection[int] = (),
) -> Int[Tensor, "batch longer"]:
    """`ids` and up to `max_new_tokens` more for each row, drawn by `sample` from (batch, vocab_size) logits.

    A row that has drawn an id of `stop` repeats it while others go on. Beyond the context the model reads the last
    `context_length` tokens.
    """
    ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    with evaluating(model):
        for _ in range(max_new_tokens):
            logits = model(ids[:, -model.context_length :])[:, -1]
            drawn = torch.where(ended, ids[:, -1], sample(logits))
            ids = torch.cat([ids, drawn.unsqueeze(1)], dim=1)
            ended |= torch.isin(drawn, torch.tensor([*stop], device=ids.device, dtype=ids.dtype))
            if bool(ended.all()):
                break
    return ids
