"""Long inputs stream: sixteen times the text needs hardly more memory."""

import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
from firsthand.text.pipeline import prepare

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

small, large, out = sys.argv[1:]
prepare(small, out + "/small", validation=0.3, workers=1)
before = peak()
report = prepare(large, out + "/large", validation=0.3, workers=1)
print(peak() - before, report["steps"]["kept"]["bytes"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no getrusage")
@pytest.mark.parametrize("kind", ["txt", "jsonl.gz"])
def test_memory_stays_flat(kind, tmp_path):
    import gzip
    import json

    for name, megabytes in (("small", 5), ("large", 80)):
        path = tmp_path / f"{name}.{kind}"
        with gzip.open(path, "wt", compresslevel=1) if kind.endswith("gz") else path.open("w") as file:
            for i in range(megabytes * 10):
                text = f"Paragraph {i}, which is unlike the others.\n" + "the same words again\n" * 4700 + "\n"
                file.write(json.dumps({"text": text}) + "\n" if kind.endswith("gz") else text)
    arguments = [str(tmp_path / f"small.{kind}"), str(tmp_path / f"large.{kind}"), str(tmp_path)]
    result = subprocess.run([sys.executable, "-c", MEASURE, *arguments], check=True, capture_output=True, text=True)
    growth, kept = map(int, result.stdout.split())
    assert kept > 75e6
    assert growth < 20e6
