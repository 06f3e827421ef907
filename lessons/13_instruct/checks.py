"""What must hold: a file for each exercise."""

from pathlib import Path

from firsthand.learn.grader.checks import module

HERE = Path(__file__)
CHECKS = {
    "chat_format": module(HERE.with_name("chat_format_checks.py")).CHAT,
    "labels": module(HERE.with_name("labels_checks.py")).LABELS,
    "lora": module(HERE.with_name("lora_checks.py")).LORA,
}
