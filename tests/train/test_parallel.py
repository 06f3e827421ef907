"""Two ranks against one: the same batches, the same losses."""

import json
import socket
import subprocess
import sys

import pytest
import torch

from firsthand.train.parallel import GradientSum

SCRIPT = """
import json, sys
import numpy as np
import torch
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.model.make import build_model
from firsthand.train.budget import Budget
from firsthand.train.loop import Loop
from firsthand.train.objectives import OBJECTIVES
from firsthand.train.optimizers import OPTIMIZERS
from firsthand.train.parallel import ranks
from firsthand.train.schedules import warmup_cosine

torch.set_num_threads(1)
text = np.frombuffer(b"what is the city but the people? " * 60, dtype=np.uint8).astype(np.uint16)
with ranks("cpu") as group:
    torch.manual_seed(5)
    model = build_model({"n_layers": 2, "d_model": 32, "n_heads": 2, "context_length": 16, "dropout": 0.1}, 256)
    corpus = Tokens.of(text, vocab_size=256)
    loader = Loader(corpus, 16, 128, seed=3, microbatches=4, rank=group.rank, world=group.world)
    loop = Loop(
        model, OBJECTIVES["next_token"](), OPTIMIZERS["muon"](list(model.named_parameters())), warmup_cosine(), loader,
        Budget(steps=12), 1.0, torch.device("cpu"), "fp32", ranks=group,
        stop=lambda: group.rank == group.world - 1 and loop.progress.steps == 11,
    )
    steps = [(step.loss, step.grad_norm, step.stop, step.progress.tokens) for step in loop]
    seen = [batch.inputs.tolist() for step in range(4) for batch in loader.batch(step)]
    weights = {name: value.detach().sum().item() for name, value in model.named_parameters()}
    with open(f"{sys.argv[1]}-{group.rank}.json", "w") as file:
        json.dump({"steps": steps, "seen": seen, "weights": weights}, file)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """{number of ranks: what each rank reports}."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "job.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    commands = {
        1: [sys.executable, "job.py", "one"],
        2: [*launch, f"--master-port={port}", "job.py", "two"],
    }
    for command in commands.values():
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    return {
        1: [json.loads((folder / "one-0.json").read_text())],
        2: [json.loads((folder / f"two-{rank}.json").read_text()) for rank in range(2)],
    }


def test_losses_and_norms_agree(outcomes):
    (one,), (first, second) = outcomes[1], outcomes[2]
    assert first["steps"] == second["steps"]
    for (loss, norm, _, tokens), (loss2, norm2, _, tokens2) in zip(one["steps"], first["steps"], strict=True):
        assert loss2 == pytest.approx(loss, rel=1e-6)
        assert norm2 == pytest.approx(norm, rel=1e-4)
        assert tokens == tokens2


def test_the_ranks_share_the_batch_of_one(outcomes):
    (one,), (first, second) = outcomes[1], outcomes[2]
    for step in range(4):
        shared = first["seen"][2 * step : 2 * step + 2] + second["seen"][2 * step : 2 * step + 2]
        assert shared == one["seen"][4 * step : 4 * step + 4]


def test_the_weights_stay_equal_on_both_ranks(outcomes):
    (one,), (first, second) = outcomes[1], outcomes[2]
    assert first["weights"] == second["weights"]
    assert first["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-4)


def test_all_ranks_see_that_one_was_asked_to_stop(outcomes):
    for rank in outcomes[2]:
        assert [stop for _, _, stop, _ in rank["steps"]] == [False] * 11 + [True]


class Done:
    def wait(self):
        pass


@pytest.mark.parametrize("used", ["abc", "ac", "c", ""])
def test_buckets_leave_in_one_order_whatever_a_batch_uses(used):
    """Ranks add up what comes first, second, third: an unused parameter must not let another bucket pass its own."""
    model = torch.nn.ParameterDict({name: torch.ones(size) for name, size in (("a", 2), ("b", 3), ("c", 5))})
    sent = []

    def all_reduce(flat, async_op):
        sent.append(flat.numel())
        return Done()

    with GradientSum(model, 2, 0, all_reduce):
        if used:
            sum(model[name].sum() for name in used).backward()
    assert sent == [5, 3, 2]
    assert [one.grad.sum().item() > 0 for one in model.values()] == [name in used for name in "abc"]
