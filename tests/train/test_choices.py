"""What a run leaves open: who decides, what is kept, what is said. The probe's figures are made up here, not timed."""

import json
import os
import subprocess
import sys

import pytest
import torch

from firsthand.errors import UserError
from firsthand.ops import choice
from firsthand.ops.attention import VERSIONS, attention
from firsthand.ops.choice import preferring
from firsthand.train import choices, compiling, host, precision
from firsthand.train.choices import Choices, choose
from firsthand.train.parallel import Ranks

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """One where bf16 is fast, one thread is best by far, and flash attention too."""
    before = torch.get_num_threads()
    rates = {2: 1.0, 1: 1.6}
    monkeypatch.setattr(host, "thread_rates", lambda: rates)
    for module in (precision, choices):
        monkeypatch.setattr(module, "bf16_gain", lambda: 4.0)
    monkeypatch.setattr(choices, "training_seconds", lambda *_: {"product": 2.0, "sdpa": 1.0})
    yield
    torch.set_num_threads(before)


def test_the_probe_decides_what_is_open():
    found = choose(CPU, attends=(256, 64))
    assert found == Choices("bf16", "sdpa", 1, False)
    assert torch.get_num_threads() == 1
    said = "; ".join(found.why)
    assert "1 thread (1.6 times as fast as 2)" in said
    assert "bf16 (products in bf16 are 4 times as fast as in fp32)" in said
    assert "attention by sdpa (product takes 2 times as long)" in said


def test_settings_are_kept():
    found = choose(CPU, "fp32", "product", 2, True, (256, 64))
    assert found == Choices("fp32", "product", 2, True)


def test_a_resumed_run_computes_as_before():
    earlier = Choices("fp32", "product", 2, False).record()
    assert choose(CPU, attends=(256, 64), earlier=json.loads(json.dumps(earlier))) == Choices(
        "fp32", "product", 2, False
    )
    assert choose(CPU, "bf16", attends=(256, 64), earlier=earlier).precision == "bf16"  # unless it is told otherwise


@pytest.mark.parametrize(("seconds", "version"), [(1.0, "product"), (0.9, "product"), (0.5, "sdpa")])
def test_a_near_tie_falls_to_the_rule(monkeypatch, seconds, version):
    monkeypatch.setattr(choices, "rule", lambda *_: "product")
    monkeypatch.setattr(choices, "training_seconds", lambda *_: {"product": 1.0, "sdpa": seconds})
    assert choose(CPU, "bf16", attends=(256, 64)).attention == version


def test_fewer_threads_must_be_clearly_faster():
    assert host.best_threads({8: 1.0, 1: 1.4, 2: 1.3}) == 8
    assert host.best_threads({8: 1.0, 1: 1.4, 2: 1.6}) == 2


def test_rows_too_short_or_long_are_left_to_the_rule():
    assert choose(CPU, attends=(16, 64)).attention == "auto"
    assert choose(CPU, attends=(4096, 64)).attention == "auto"
    assert choose(CPU).attention == "auto"


def test_all_ranks_compute_as_the_first():
    class Second(Ranks):
        def gather(self, values):
            return [[0.0, 1.0, 1.0, 0.0], values]

    assert Choices("bf16", "sdpa", 2, False).agreed(Second(1, 2)) == Choices("fp32", "product", 1, False)


class TestCompiling:
    """On a CPU only runs that are long enough; here every matrix product runs at 1 TFLOP/s."""

    @pytest.fixture(autouse=True)
    def compiler(self, monkeypatch):
        monkeypatch.setattr(compiling, "matmul_rate", lambda *_: 1e12)
        monkeypatch.setattr(compiling, "_trouble", lambda: None)
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "untouched")

    @pytest.mark.parametrize(
        ("bounds", "compiled"),
        [
            ({}, False),
            ({"seconds": 1700.0}, False),
            ({"seconds": 1900.0}, True),
            ({"flops": 0.4e12 * 1700}, False),
            ({"flops": 0.4e12 * 1900}, True),
            ({"seconds": 1900.0, "flops": 0.4e12 * 1700}, False),
        ],
    )
    def test_it_must_be_repaid(self, bounds, compiled):
        found = choose(CPU, "fp32", **bounds)
        assert found.compiled is compiled
        assert ("not compiled" in found.why[-1]) is not compiled

    def test_it_can_be_forced_and_is_kept_when_a_run_is_resumed(self):
        assert not choose(CPU, "fp32", compiled=False, seconds=9999.0).compiled
        assert choose(CPU, "fp32", compiled=True).compiled
        assert choose(CPU, "fp32", earlier={"compiled": True}).compiled
        assert not choose(CPU, "fp32", seconds=9999.0, earlier={"compiled": False}).compiled

    def test_without_a_compiler_the_run_goes_on_without(self, monkeypatch):
        monkeypatch.undo()

        def broken(*_):
            raise RuntimeError("no g++\nat all")

        monkeypatch.setattr(torch, "compile", broken)
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "untouched")
        found = choose(CPU, "fp32", threads=1, seconds=9999.0)
        assert not found.compiled
        assert "2.8 h repays it: the compiler fails (RuntimeError: no g++)" in found.why[-1]

    def test_what_is_compiled_is_kept_in_the_users_cache(self, monkeypatch, tmp_path):
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
        monkeypatch.setenv("FIRSTHAND_CACHE", str(tmp_path))
        compiling.keep_cache()
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "torchinductor")


def versions_used(monkeypatch, **call):
    """Which versions attention runs."""
    used = []
    for name, version in list(VERSIONS.items()):

        def note(*arguments, name=name, version=version):
            used.append(name)
            return version(*arguments)

        monkeypatch.setitem(VERSIONS, name, note)
    heads = [torch.randn(1, 1, 4, 8, requires_grad=True) for _ in range(3)]
    attention(*heads, causal=True, **call)
    return used


def test_training_steps_use_the_preferred_version(monkeypatch):
    with preferring("attention", "product"):
        assert versions_used(monkeypatch) == ["product"]
        with torch.no_grad():
            assert versions_used(monkeypatch) == ["sdpa"]
    assert not choice.PREFERRED
    assert versions_used(monkeypatch) == ["sdpa"]


def test_what_the_preferred_version_cannot_do_is_done_by_another_unless_it_is_forced(monkeypatch):
    with preferring("attention", "sdpa"):
        assert versions_used(monkeypatch, softcap=1.0) == ["product"]
    with preferring("attention", "sdpa", forced=True), pytest.raises(UserError, match="softcap"):
        versions_used(monkeypatch, softcap=1.0)


PROBE = """
import sys, torch
from firsthand.ops.attention.trial import training_seconds
from firsthand.train.choices import choose
found = choose(torch.device("cpu"), attends=(64, 16))
print(found.precision, found.attention in ("product", "sdpa"), "sympy" in sys.modules)
print(all(seconds > 0 for seconds in training_seconds(torch.float32, 64, 16).values()))
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_without_bf16_instructions_it_is_fp32():
    """oneDNN told to use AVX2 has no bf16 kernels: torch then multiplies without them, 70 times as slowly."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fp32", "True", "False", "True"]


def test_it_survives_a_torch_told_to_use_avx2():
    """On a CPU with AMX torch's bf16 flash attention then raises an error: the trial must not."""
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == ["True", "False", "True"]
