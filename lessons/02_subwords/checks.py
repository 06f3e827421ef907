"""What must hold: a file for each exercise."""

from pathlib import Path

from firsthand.learn.grader.checks import module

HERE = Path(__file__)
CHECKS = {
    "bpe_train": module(HERE.with_name("bpe_train_checks.py")).TRAIN,
    "bpe_encode": module(HERE.with_name("bpe_encode_checks.py")).ENCODE,
    "wordpiece": module(HERE.with_name("wordpiece_checks.py")).WORDPIECE,
}
