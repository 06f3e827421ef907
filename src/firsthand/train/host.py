"""The machine: which device, how many threads."""

import torch

from firsthand.errors import UserError


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The named device, or the best one for "auto": cuda, then mps, then cpu. UserError if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"train.device={name} is no device. Use auto, cpu, cuda, cuda:N or mps.") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise UserError(f"train.device={name}: this machine has no {device.type}. Use train.device=auto.")
    if device.type == "cuda":
        device = torch.device("cuda", local_rank if device.index is None else device.index)
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    return device


def use_threads(threads: int | None) -> int:
    """Compute with `threads` CPU threads (default: torch's choice, the physical cores); returns their number."""
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()
