"""What must hold: a file for each exercise."""

from pathlib import Path

from firsthand.learn.grader.checks import module

HERE = Path(__file__)
CHECKS = {
    "absolute": module(HERE.with_name("absolute_checks.py")).ABSOLUTE,
    "rope": module(HERE.with_name("rope_checks.py")).ROPE,
}
