"""Token after token: what a language model is for."""

from collections.abc import Callable, Collection

from torch import Tensor, nn


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    sample: Callable[[Tensor], Tensor],
    stop: Collection[int] = (),
) -> Tensor:
    """`ids` (batch, time) and up to `max_new_tokens` more in each row: (batch, longer).

    `model(ids)` gives logits (batch, time, vocab_size), for at most `model.context_length` tokens: of a longer text it
    reads the last ones. `sample` takes logits (batch, vocab_size) and gives ids (batch,). A row that has drawn an id of
    `stop` repeats it while others go on; when all have, it is over. The model runs in evaluation mode without
    gradients, and is afterwards in the mode that it was in.
    """
    raise NotImplementedError
