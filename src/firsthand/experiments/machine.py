"""The machine in a line, for reports: what timings depend on."""

import json
from pathlib import Path

import torch


def machine(run: Path, processor: str | None) -> str:
    """Processor, threads, device, precision, torch and revision of the run in that folder, as far as it says."""
    path = run / "environment.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    facts = [
        processor or known.get("cpu"),
        f"{known['threads']} CPU thread{'s' * (known['threads'] != 1)}" if "threads" in known else None,
        known.get("device"),
        known.get("precision"),
        f"torch {known['torch']}" if "torch" in known else None,
        f"firsthand {known['revision']}" if known.get("revision") else None,
    ]
    return ", ".join(fact for fact in facts if fact)


def processor() -> str | None:
    """The names of the CUDA device, if there is one, and of the processor, where the system tells them."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")][:1]
    if torch.cuda.is_available():
        names.insert(0, torch.cuda.get_device_name())
    return ", ".join(names) or None
