"""firsthand bench: which benchmarks there are, what it says of the machine, and slips. No figure is judged here."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from firsthand.cli import main

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def quick(monkeypatch):
    """A benchmark that is done at once, and roofs that nobody measures."""
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    from benchmarks import report

    found = [{"what": "a", "figure": 1.5}, {"what": "b", "other": 2}]
    monkeypatch.setitem(sys.modules, "benchmarks.quick", types.SimpleNamespace(rows=lambda: found))
    monkeypatch.setattr(report, "NAMES", [*report.NAMES, "quick"])
    monkeypatch.setattr(report, "roofs", lambda: {"copy": 10.0})
    return report


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["bench", *words])
    return ended.value.code, capsys.readouterr()


def test_a_table_and_one_json_value(quick, capsys, tmp_path):
    code, said = run(capsys, "quick", "--json", "--out", str(tmp_path / "figures.json"))
    assert code == 0
    figures = json.loads(said.out)
    assert figures["quick"] == [{"what": "a", "figure": 1.5}, {"what": "b", "other": 2}]
    assert figures["moved"] == []
    assert figures["machine"]["nanoGPT"].startswith("left out")
    assert json.loads((tmp_path / "figures.json").read_text()) == figures
    code, said = run(capsys, "quick")
    assert code == 0
    assert "1.5" in said.out
    assert "not quiet" not in said.out.lower()


def test_a_machine_that_is_not_quiet_is_told(quick, capsys, monkeypatch):
    rates = iter([10.0, 10.6])
    monkeypatch.setattr(quick, "roofs", lambda: {"copy": next(rates)})
    _, said = run(capsys, "quick")
    assert "Not a quiet machine: copy moved by more than 5%" in " ".join(said.out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [(["stpe"], "no benchmark called 'stpe'.*step"), (["--nanogpt", "/no/such"], "no model.py in it")],
)
def test_slips(capsys, words, message):
    code, said = run(capsys, *words)
    assert code == 1
    assert re.search(message, said.err)


def test_every_benchmark_is_listed(quick):
    """Each file with rows() has a name that can be asked for, and the other way round."""
    files = {path.stem for path in FOLDER.glob("*.py") if "\ndef rows(" in path.read_text(encoding="utf-8")}
    assert files == set(quick.NAMES) - {"quick"}


def test_the_gpus_benchmark_says_that_there_is_none(monkeypatch):
    from benchmarks import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.rows() == [{"what": "GPT-2 124M on a GPU", "figure": "not measured: no GPU (torch sees no CUDA device)"}]


def test_the_gpus_benchmark_runs_on_a_small_shape():
    """On the CPU, eager: every side steps, and its figures hang together."""
    from benchmarks import gpu
    from benchmarks.peers import Shape

    before = torch.get_float32_matmul_precision()
    try:
        found = gpu.rows(Shape(1, 16, 2, rows=2, time=8, vocab_size=64), {"eager": False})
    finally:
        torch.set_float32_matmul_precision(before)
    ours = next(row for row in found if row["who"].startswith("firsthand"))
    assert ours["our best over it"] == 1
    assert all(row["device"] == "cpu" and row["tokens/s"] > 0 for row in found)
    for row in found:
        assert row["share of peak"] / ours["share of peak"] == pytest.approx(row["tokens/s"] / ours["tokens/s"])


def test_the_corpus_benchmark_runs_on_small_corpora():
    from benchmarks import corpus

    small, large = corpus.rows((1, 2), windows=2)
    assert (small["corpus (MB)"], large["corpus (MB)"]) == (1, 2)
    assert small["over the first"] == 1
    assert large["tokens/s"] == pytest.approx(small["tokens/s"] * large["over the first"])


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says it")
def test_a_process_is_weighed_without_its_parent():
    large = bytearray(300_000_000)
    large[::4096] = b"x" * len(large[::4096])  # so that it is really there
    call = [sys.executable, "-c", "from benchmarks.process import peak_kilobytes; print(peak_kilobytes())"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=FOLDER.parent)
    assert 1_000 < int(done.stdout) < 150_000
