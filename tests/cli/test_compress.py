"""`firsthand compress`: for people, for programs, and what follows with the models that it wrote."""

import json
from pathlib import Path

import pytest
import yaml

from firsthand.cli import main

from ..experiments.small_compression import ROUNDED, write_model, write_text


def said(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code, capsys.readouterr()


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path)


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path)


@pytest.fixture
def plans(tmp_path):
    path = tmp_path / "plans.yaml"
    tree = {"calibration": {"windows": 2, "length": 32}, "plans": {"int8": [ROUNDED], "other": ["nothing"]}}
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.slow
def test_programs_get_a_list_and_the_models_can_be_used(model, text, plans, tmp_path, capsys):
    words = ("compress", model, "--plan", plans, "--only", "int8", "--text", text, "--out", tmp_path / "out")
    code, printed = said(capsys, *words, "--tokens", "512", "--rounds", "2", "--json")
    assert code == 0, printed.err
    rows = json.loads(printed.out)
    assert [row["plan"] for row in rows] == ["original", "original-bf16", "int8"]
    for row in rows:
        assert row["bits_per_byte"] > 0
        assert row["bytes"] > 0
        assert row["prefill_tokens_per_second"] > 0
        assert row["decode_tokens_per_second"] > 0
    assert rows[2]["speed_beside"]["original"]["decode"] > 0
    assert rows[1]["computes_in"] == "bfloat16"
    made = tmp_path / "out" / "int8"
    code, printed = said(capsys, "generate", made, "--prompt", "the ", "--max-tokens", "3", "--json")
    assert code == 0, printed.err
    code, printed = said(capsys, "eval", made, "--data", text, "--json")
    assert code == 0, printed.err
    code, printed = said(capsys, "export", made, "--out", tmp_path / "hf")
    assert code == 0, printed.err
    code, printed = said(capsys, *words, "--tokens", "512", "--rounds", "0")
    assert code == 0
    assert "int8: was there already" in printed.err
    assert Path(tmp_path / "out" / "report.md").is_file()
    assert "bits/byte" in printed.out


@pytest.mark.slow
def test_a_plan_that_does_not_suit_the_model_is_no_failure(text, plans, tmp_path, capsys):
    model = write_model(tmp_path, mixer="retention")
    tree = yaml.safe_load(plans.read_text())
    tree["plans"] = {"int8": ["round_to_nearest"], "kv8": ["kv_cache"]}
    plans.write_text(yaml.safe_dump(tree))
    given = ("compress", model, "--plan", plans, "--text", text, "--out", tmp_path / "out", "--rounds", "0")
    code, printed = said(capsys, *given, "--json")
    assert code == 0, printed.err
    rows = {row["plan"]: row for row in json.loads(printed.out)}
    assert rows["int8"]["error"] is None
    assert "no layer of this model has a cache" in rows["kv8"]["error"]
    assert rows["kv8"]["unsuited"]
    code, printed = said(capsys, *given, "--only", "kv8")
    assert code == 1  # nothing else was asked for


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "int9"), "There is no plan 'int9'. Did you mean 'int8'?"),
        (("--only", "other"), "plans.other: there is no part called 'nothing'."),
        (("--target", "large"), "is no size"),
        (("--precision", "fp8"), "There is no precision 'fp8'"),
    ],
)
def test_slips_are_told(model, text, plans, tmp_path, capsys, words, told):
    given = ("compress", model, "--plan", plans, "--text", text, "--out", tmp_path / "out")
    code, printed = said(capsys, *given, *words)
    assert code == 1
    assert told in printed.err
    assert not (tmp_path / "out").exists()
