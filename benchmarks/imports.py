"""Claim: `import firsthand` costs next to nothing beside `import torch`."""

import statistics
import subprocess
import sys
import time
from typing import Any

STATEMENTS = {
    "python": "pass",
    "torch": "import torch",
    "firsthand": "import firsthand",
    "both": "import torch, firsthand",
}


def rows() -> list[dict[str, Any]]:
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(7):
        for name, statement in STATEMENTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return [{"statement": STATEMENTS[name], "seconds (median of 7)": seconds} for name, seconds in medians.items()]
