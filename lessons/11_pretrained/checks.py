"""What must hold: a file for each exercise."""

from pathlib import Path

from firsthand.learn.grader.checks import module

HERE = Path(__file__)
CHECKS = {
    "safetensors": module(HERE.with_name("safetensors_checks.py")).SAFETENSORS,
    "convert_gpt2": module(HERE.with_name("convert_gpt2_checks.py")).GPT2,
}
