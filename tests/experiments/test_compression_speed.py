"""What rounds of timing say, without a clock: runners that answer with what they are told."""

import pytest

from firsthand.errors import UserError
from firsthand.experiments.compression.speed import Runner, in_turns, rates


class Told(Runner):
    def __init__(self, answers):
        self.told, self.answers = {"threads": 1, "precision": "float32"}, list(answers)

    def rate(self, kind):
        return self.answers.pop(0)

    def memory(self):
        return 10


def test_medians_over_rounds_and_quotients_within_them():
    """The machine is half as fast in the second round; the quotients do not notice."""
    runners = {"plan": Told([40.0, 4.0, 20.0, 2.0, 44.0, 6.0]), "original": Told([20.0, 1.0, 10.0, 0.5, 22.0, 1.5])}
    shares = []
    found = in_turns(runners, 3, lambda share, what: shares.append(share))
    assert found["plan"] == {"prefill": [40.0, 20.0, 44.0], "decode": [4.0, 2.0, 6.0]}
    seen = rates("plan", found, runners["plan"])
    assert (seen.prefill, seen.decode, seen.memory) == (40.0, 4.0, 10)
    assert seen.beside == {"original": {"prefill": 2.0, "decode": 4.0}}
    assert shares[-1] == 1.0


def test_a_process_that_ends_says_why(tmp_path):
    with (
        pytest.raises(UserError, match=r"that times .*nothing ended: .*There is no"),
        Runner(str(tmp_path / "nothing"), "fp32"),
    ):
        pass
