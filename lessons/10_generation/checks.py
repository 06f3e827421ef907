"""What must hold: a file for each exercise."""

from pathlib import Path

from firsthand.learn.grader.checks import module

HERE = Path(__file__)
CHECKS = {
    "sampling": module(HERE.with_name("sampling_checks.py")).SAMPLING,
    "generate": module(HERE.with_name("generate_checks.py")).GENERATE,
    "kv_cache": module(HERE.with_name("cache_checks.py")).CACHE,
}
