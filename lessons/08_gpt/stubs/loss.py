"""What a language model minimises."""

from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> tuple[Tensor, Tensor]:
    """The summed surprise -ln softmax(logits)[target], in nats, and the number of targets that it was summed over.

    logits (..., vocab), targets (...) of ids. Targets that are ignore_index are left out of both; 0 and 0 if all are.
    Logits may be in the thousands. A sum and not a mean, because batches with unequal counts have to add up right:
    who wants the mean divides once, at the end.
    """
    raise NotImplementedError
