from collections.abc import Callable
from pathlib import Path

import pytest

from firsthand.experiments.metrics import Metrics


def read(tmp_path: Path, content: str | bytes) -> Metrics:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Metrics.read(path)


def test_no_file_is_no_metrics(tmp_path: Path) -> None:
    assert Metrics.read(tmp_path / "metrics.jsonl") == Metrics([])


def test_a_run_is_read_whole(make_run: Callable[..., Path], tmp_path: Path) -> None:
    metrics = Metrics.read(make_run(tmp_path / "a") / "metrics.jsonl")
    steps, losses = metrics.series("loss")
    assert steps.tolist() == list(range(0, 401, 2))
    assert len(losses) == 201
    assert metrics.series("validation_loss", "tokens")[0].tolist() == [n * 100 * 8192 for n in (1, 2, 3, 4)]
    assert metrics.last("step") == 400
    assert metrics.bits_per_nat() == pytest.approx(0.6)
    assert metrics.damaged == 0


@pytest.mark.parametrize(
    "tail", ['{"step": 4, "lo', "nonsense", "[1, 2]", '{"loss": 1.0}', '{"step": null}', "\x00" * 64, '{"step": 1e999}']
)
def test_a_damaged_line_costs_only_itself(tmp_path: Path, tail: str) -> None:
    metrics = read(tmp_path, '{"step": 1, "loss": 2.0}\n\n{"step": 2, "loss": 1.5}\n' + tail)
    assert metrics.series("loss")[1].tolist() == [2.0, 1.5]
    assert metrics.damaged == 1


def test_bytes_that_are_no_text_cost_only_their_line(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"step": 1, "loss": 2.0}\n\xff\xfe{"step"\n').damaged == 1


def test_a_resumed_run_counts_its_steps_once(tmp_path: Path) -> None:
    """It was killed after step 3, resumed from the checkpoint of step 1, and went another way."""
    lines = [(1, 5.0), (2, 4.0), (3, 3.0), (2, 4.5), (3, 3.5), (4, 2.5)]
    text = "".join(f'{{"step": {step}, "loss": {loss}}}\n' for step, loss in lines)
    assert read(tmp_path, text).series("loss")[1].tolist() == [5.0, 4.5, 3.5, 2.5]


def test_what_is_not_finite_is_left_out_of_series(tmp_path: Path) -> None:
    metrics = read(
        tmp_path, '{"step": 1, "loss": NaN}\n{"step": 2, "loss": 2.0}\n{"step": 3, "loss": null, "lr": true}\n'
    )
    assert metrics.series("loss")[0].tolist() == [2.0]
    assert metrics.last("lr") is None
    assert metrics.bits_per_nat() is None
