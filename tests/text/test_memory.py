"""Long inputs stream: eight times the text needs hardly more memory."""

import gzip
import json
import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
from firsthand.text.pipeline import prepare

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

folder, *kinds = sys.argv[1:]
for kind in kinds:
    prepare(f"{folder}/small.{kind}", f"{folder}/small-{kind}", validation=0.3, workers=1)
before = peak()
for kind in kinds:
    report = prepare(f"{folder}/large.{kind}", f"{folder}/large-{kind}", validation=0.3, workers=1)
    print(report["steps"]["kept"]["bytes"])
print(peak() - before)
"""
KINDS = ("txt", "jsonl.gz")


@pytest.mark.skipif(sys.platform == "win32", reason="has no getrusage")
def test_memory_stays_flat(tmp_path):
    for name, megabytes in (("small", 5), ("large", 40)):
        with (
            (tmp_path / f"{name}.txt").open("w") as text_file,
            gzip.open(tmp_path / f"{name}.jsonl.gz", "wt", compresslevel=1) as lines_file,
        ):
            for i in range(megabytes * 10):
                text = f"Paragraph {i}, which is unlike the others.\n" + "the same words again\n" * 4700 + "\n"
                text_file.write(text)
                lines_file.write(json.dumps({"text": text}) + "\n")
    command = [sys.executable, "-c", MEASURE, str(tmp_path), *KINDS]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    *kept, growth = map(int, result.stdout.split())
    assert min(kept) > 38e6
    assert growth < 20e6
