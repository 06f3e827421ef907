import pytest
import torch

from firsthand.errors import UserError
from firsthand.train import precision
from firsthand.train.precision import LossScale

CPU = torch.device("cpu")


@pytest.mark.parametrize(("gain", "chosen"), [(4.0, "bf16"), (1.2, "fp32"), (0.01, "fp32")])
def test_the_probe_decides_on_a_cpu(monkeypatch, gain, chosen):
    monkeypatch.setattr(precision, "bf16_gain", lambda: gain)
    assert precision.choose("auto", CPU) == chosen


def test_a_forced_precision_is_kept():
    assert precision.choose("bf16", CPU) == "bf16"


def test_fp16_needs_cuda():
    with pytest.raises(UserError, match="CUDA"):
        precision.choose("fp16", CPU)


def test_autocast_computes_in_bf16():
    with precision.compute_in("bf16", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with precision.compute_in("fp32", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_the_loss_scale_halves_on_overflow_and_doubles_when_all_is_well():
    scale = LossScale(1024.0, patience=3)
    scale.update(False)
    assert scale.scale == 512
    for _ in range(3):
        scale.update(True)
    assert scale.scale == 1024


def test_without_fp16_the_scale_stays_one():
    scale = LossScale.of("bf16")
    scale.update(False)
    assert scale.scale == 1.0
