"""A look at the machine: facts, and advice only where it helps."""

from firsthand.learn.machine import HOUSE_GFLOPS, advice, look


def test_it_finds_what_is_there() -> None:
    found = look(seconds=0.01)
    assert found["cores"] >= 1
    assert found["gflops"] > 0
    assert found["attention_ms"] > 0
    assert found["advice"] == advice(found)


def test_advice() -> None:
    fast = {"gflops": HOUSE_GFLOPS, "memory_gb": 8.0}
    assert advice(fast) == ["Fast enough for every lesson."]
    assert "2.0 times as long" in advice(fast | {"gflops": HOUSE_GFLOPS / 2})[0]
    assert "1.0 GB of memory is little" in advice(fast | {"memory_gb": 1.0})[0]
    assert advice(fast | {"memory_gb": None}) == ["Fast enough for every lesson."]
