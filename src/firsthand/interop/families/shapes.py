"""The shapes of a model's parameters, before any memory is taken for it."""

from typing import Any

import torch
from torch import Tensor

from firsthand.errors import DamagedError, UserError
from firsthand.model.make import build_model


def sketch_of(fields: dict[str, Any], vocab_size: int, where: str) -> dict[str, Tensor]:
    """The parameters by name, without numbers. UserError or DamagedError if there can be no such model.

    The caller has bounded the number of layers: of each there is a Python object.
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return {name: p.detach() for name, p in build_model(fields, vocab_size, files=False).named_parameters()}
    except UserError:
        raise
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise DamagedError(f"{where} describes a model that cannot be ({str(error)[:120]}).") from None
