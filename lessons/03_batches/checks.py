"""What must hold: a file for each exercise."""

from pathlib import Path

from firsthand.learn.grader.checks import module

HERE = Path(__file__)
CHECKS = {
    "batches": module(HERE.with_name("batches_checks.py")).BATCHES,
    "bigram": module(HERE.with_name("bigram_checks.py")).BIGRAM,
}
