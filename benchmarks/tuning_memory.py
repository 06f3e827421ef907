"""Claim: fine-tuning all of a model of SmolLM2-135M's shape fits into 8 GB, LoRA into 3 GB (4 texts of 512 tokens).

Each way in a process of its own, with random weights and tokens: two steps, then the most that the process ever held.
"""

import json
import subprocess
import sys
from typing import Any

WAYS: dict[str, list[str]] = {
    "all": [],
    "all, recompute": ["train.recompute=true"],
    "LoRA": ["adapt.adapter.part=lora", "adapt.adapter.targets=[query, value]"],
    "LoRA, recompute": ["adapt.adapter.part=lora", "adapt.adapter.targets=[query, value]", "train.recompute=true"],
    "LoRA on all maps": ["adapt.adapter.part=lora", "adapt.adapter.targets=all"],
    "LoRA over NF4": ["adapt.adapter.part=lora", "adapt.adapter.targets=[query, value]", "adapt.quantize=nf4"],
    "last block": ["adapt.train=last_block"],
}
SHAPE = ["model.preset=llama", "model.size=smollm2-135m", "model.context_length=512"]


def rows() -> list[dict[str, Any]]:
    return [{"what learns": name, **measured(settings)} for name, settings in WAYS.items()]


def measured(settings: list[str], texts: int = 4, shape: list[str] = SHAPE) -> dict[str, Any]:
    """Peak memory of a child that takes two steps in fp32, and the seconds of the second."""
    call = [sys.executable, "-m", "benchmarks.tuning_memory", str(texts), *shape, *settings]
    found: dict[str, Any] = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    return found


def child(texts: int, settings: list[str]) -> dict[str, Any]:
    import time

    import torch

    from benchmarks.lora import loop_of
    from benchmarks.process import peak_kilobytes
    from firsthand import config

    length = config.load(None, settings).model.context_length or 512
    steps = iter(loop_of([*settings, f"data.batch_tokens={texts * length}"]))
    next(steps)
    begun = time.perf_counter()
    next(steps)
    learning = sum(p.numel() for p in steps.gi_frame.f_locals["self"].model.parameters() if p.requires_grad)
    return {
        "learn (millions)": learning / 1e6,
        "peak GB": peak_kilobytes() / 1e6,
        "seconds a step": time.perf_counter() - begun,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    print(json.dumps(child(int(sys.argv[1]), sys.argv[2:])))
