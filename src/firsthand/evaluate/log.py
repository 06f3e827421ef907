"""What an evaluation leaves on the disk: results.json, and every sample in a file of JSON lines."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from firsthand.text.files import naming


def write_results(folder: Path, results: Mapping[str, Any]) -> Path:
    """folder/results.json, whole or not at all."""
    return _write(folder / "results.json", [json.dumps(_finite(results), ensure_ascii=False, indent=1)])


def write_samples(folder: Path, name: str, samples: Iterable[Mapping[str, Any]]) -> Path:
    """folder/samples-NAME.jsonl, one line a sample, whole or not at all."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100]
    lines = (json.dumps(_finite(sample), ensure_ascii=False) for sample in samples)
    return _write(folder / f"samples-{safe}.jsonl", lines)


def _write(path: Path, lines: Iterable[str]) -> Path:
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        # what is no character (a half of a pair) becomes "?"
        with partial.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(line + "\n" for line in lines)
        partial.replace(path)
    return path


def _finite(value: Any) -> Any:
    """`value` as JSON can say it: None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
