"""Claim: characters of a text, 60 seconds of training with everything included, loss over the whole held-out tenth.

Uses the file that FIRSTHAND_BENCH_TEXT names (tiny Shakespeare, say), else the plays of the default corpus.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any


def rows() -> list[dict[str, Any]]:
    text = os.environ.get("FIRSTHAND_BENCH_TEXT")
    source = [f"data.source={text}", "data.validation=tail:0.1"] if text else []
    found = []
    for seed in range(3):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            command = [sys.executable, "-m", "firsthand", "train", "recipes/shakespeare-char.yaml", "--json"]
            settings = [f"run.dir={folder}/run", f"train.seed={seed}", "train.seconds=60", *source]
            done = subprocess.run([*command, *settings], capture_output=True, text=True, check=True)
            summary = json.loads(done.stdout)
            found.append(
                {
                    "text": text or "shakespeare",
                    "seed": seed,
                    "validation loss (nats)": summary["validation_loss"],
                    "bits per byte": summary["bits_per_byte"],
                    "steps": summary["steps"],
                    "tokens/s": summary["tokens"] / summary["seconds"],
                    "seconds of training": summary["seconds"],
                    "seconds in all": time.perf_counter() - start,
                }
            )
    return found
