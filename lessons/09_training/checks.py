"""What must hold: a file for each exercise."""

from pathlib import Path

from firsthand.learn.grader.checks import module

HERE = Path(__file__)
CHECKS = {
    "schedule": module(HERE.with_name("schedule_checks.py")).SCHEDULE,
    "adamw": module(HERE.with_name("adamw_checks.py")).ADAMW,
    "train_step": module(HERE.with_name("train_step_checks.py")).STEP,
}
