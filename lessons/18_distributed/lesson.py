# Two processes, one model. Run it as it stands: python lesson.py

# %% [markdown]
# # 18 · Two processes, one model
#
# Training on many machines begins with a trick that fits on one page. Every process (a *rank*) holds the whole model.
# Each reads its own share of the batch and computes its own gradients. The gradients are added up over all ranks, and
# every rank takes the same step. That is *data parallel* training. Two processes on one laptop do exactly what 64
# machines do, so everything in it can be learnt here.
#
# It rests on one fact: a gradient of a sum is the sum of the gradients. Let rank r have the targets $B_r$, with $n_r$
# of them, and let ℓ be the loss of one target. Then for the weights w of the whole batch
#
# $$\nabla L(w) = \frac{1}{\sum_r n_r} \sum_r g_r, \qquad g_r = \sum_{i \in B_r} \nabla \ell_i(w)$$
#
# Each rank computes $g_r$, which has the shape of w. An *all-reduce* adds them up, so that every rank has the sum. The
# numbers of targets are added up as well, and the division is done once. In exact arithmetic the step is that of one
# big batch; in fp32 it differs by rounding.
#
# The weights themselves are never sent. They begin equal (the same seed) and the same is done to them everywhere.
#
# ## By hand
#
# One weight w, and the loss of a target x is w · x. Rank 0 has the targets 1, 2 and 3, rank 1 has only 6.
#
# | | sum of gradients | targets | mean |
# |---|---|---|---|
# | rank 0 | 1 + 2 + 3 = 6 | 3 | 2 |
# | rank 1 | 6 | 1 | 6 |
# | sums, divided once | 12 | 4 | **3** |
# | mean of the means | | | 4 |
#
# One process with all four targets has (1 + 2 + 3 + 6) / 4 = 3. The mean of the means is 4: the target on rank 1 would
# count three times as much as one on rank 0. Shares with padding, or with answers of unequal lengths (lesson 13), are
# like that all the time.

# %%
from types import SimpleNamespace

import numpy as np
import torch

from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.learn.page import is_long, mine, show
from firsthand.learn.ranks import run_ranks

GradientSum = mine("gradient_sum").GradientSum

weight = torch.nn.Linear(1, 1, bias=False)
targets = {0: [1.0, 2.0, 3.0], 1: [6.0]}


def all_reduce(flat, async_op=False):
    """No network yet: what rank 1 would send is known, and has arrived when rank 0 waits for it."""
    return SimpleNamespace(wait=lambda: flat.add_(sum(targets[1])))


with GradientSum(weight, 2, all_reduce=all_reduce):
    sum(weight(torch.tensor([x])) for x in targets[0]).sum().backward()
total = sum(map(len, targets.values()))
print("rank 0 has, after the exchange,", weight.weight.grad.item(), "and divides it by", total)

# %% [markdown]
# ## Who reads what
#
# Ranks must not read the same rows, and together they must read each row once. The loader's batch is a function of the
# step alone, so nobody has to be asked: of the rows of step k rank r takes the r-th block.

# %%
alphabet = Tokens.of(np.arange(33, dtype=np.uint16), vocab_size=64)
for step in range(2):
    for name, rank, world in (("one process", 0, 1), ("rank 0 of 2", 0, 2), ("rank 1 of 2", 1, 2)):
        batches = Loader(alphabet, 4, 16, 1, None, 2, rank, world).batch(step)
        print(f"step {step}  {name}: {[row.tolist() for batch in batches for row in batch.inputs]}")

# %% [markdown]
# ## Buckets: send while you still compute
#
# A backward pass goes from the last layer to the first. The last layer's gradients are there early, and can travel
# while those of the first are still being computed. Sending each by itself would be many short messages, and every
# message costs time however short it is. Sending all at once could begin only at the end. So gradients are packed into
# *buckets*, in reverse order of the layers, and a bucket leaves when its last gradient arrives:
#
# ```text
# compute  ▓▓ layer 4 ▓▓ layer 3 ▓▓ layer 2 ▓▓ layer 1 ▓▓│
# network                ─ bucket 4+3 ─────   ─ bucket 2+1 ─│ step
# ```
#
# torch calls `hook(parameter)` when a parameter's gradient is complete: `register_post_accumulate_grad_hook`.
#
# Two things go wrong here that never go wrong in one process. First, `all_reduce(flat, async_op=True)` comes back at
# once; who reads `flat` before `wait()` reads anything. Second, an all-reduce has no name. Ranks add up what comes
# first, second, third; a bucket that leaves before its turn is added to something else. And if one rank sends a bucket
# less than the others, because its batch did not use some layer, then they wait: no error, no progress, two idle
# processes until somebody looks. A rank without a gradient has to send zeros, and in its turn.

# %% [markdown] tags=["exercise:gradient_sum"]
# ## Write it
#
# `GradientSum` in `parallel.py`: a context around the last backward pass of a step. The checks run two and three ranks
# as threads and say who is stuck. Write it without hooks first, with all the sending in `__exit__`: that passes, and a
# note tells you that nothing overlaps. Then move the sending into a hook.
#
# Before you begin: with two microbatches a rank, how often should gradients travel in a step?

# %% [markdown]
# ## Two real processes
#
# Now with processes and a network (gloo, over the loopback). What `torchrun` does is small: it starts the same program
# several times, with four variables set: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. `run_ranks` does the same.
# The job is a small GPT on Shakespeare's plays (2 layers, d_model 64), in steps of 2048 tokens. One process computes
# them in two microbatches; two processes compute one each.
#
# The job writes down when each step computes and when its buckets leave and arrive.


# %%
def timed(events: list):
    """torch's all-reduce, noting when a bucket leaves and when its sum has arrived."""
    import time

    import torch.distributed as dist

    class Timed:
        def __init__(self, work) -> None:
            work.get_future().then(lambda _: events.append(("arrived", time.perf_counter())))
            self.wait = work.wait

    def all_reduce(flat, async_op=False):
        events.append(("left", time.perf_counter()))
        work = Timed(dist.all_reduce(flat, async_op=True))
        return work if async_op else work.wait()

    return all_reduce


def prepared(rank: int, world: int):
    """A small model, its optimizer, and this rank's batches of Hamlet."""
    import numpy as np
    import torch

    from firsthand.data.loader import Loader
    from firsthand.data.shards import Tokens
    from firsthand.model.make import build_model
    from firsthand.text.corpora import shakespeare
    from firsthand.text.plays import printed_play
    from firsthand.train.optimizers.adamw import adamw

    torch.set_num_threads(1)
    torch.manual_seed(18)
    text = next(document.text for document in shakespeare() if document.name == "hamlet")
    ids = np.frombuffer(printed_play(text).encode(), dtype=np.uint8).astype(np.uint16)
    fields = {"n_layers": 2, "d_model": 64, "n_heads": 2, "context_length": 64, "dropout": 0.0}
    model = build_model(fields, 256)
    batches = Loader(Tokens.of(ids, vocab_size=256), 64, 2048, seed=18, microbatches=2, rank=rank, world=world)
    return model, adamw(list(model.named_parameters()), lr=0.005), batches


def job(steps: int, talks: bool) -> dict:
    """One rank of a run. `talks`: whether gradients are exchanged at all."""
    import time

    from firsthand.learn.page import mine
    from firsthand.train.objectives.next_token import NextToken
    from firsthand.train.parallel import ranks
    from firsthand.train.step import train_step

    GradientSum = mine("gradient_sum").GradientSum
    events: list[tuple[str, float]] = []
    losses, seconds = [], []
    with ranks("cpu") as group:
        model, optimizer, batches = prepared(group.rank, group.world)
        sums = GradientSum(model, group.world if talks else 1, 100_000, timed(events))

        def add_up(total: float, count: float) -> tuple[float, float]:
            everyone = group.gather([total, count])
            return sum(row[0] for row in everyone), sum(row[1] for row in everyone)

        for step in range(steps):
            group.wait()
            events[:] = [("begin", time.perf_counter())]
            loss, _ = train_step(model, batches.batch(step), NextToken(), optimizer, last_backward=sums, add_up=add_up)
            events.append(("end", time.perf_counter()))
            losses.append(loss)
            seconds.append(events[-1][1] - events[0][1])
    weights = [float(one.detach().double().sum()) for one in model.parameters()]
    count = sum(one.numel() for one in model.parameters())
    return {"losses": losses, "seconds": seconds, "events": events, "weights": weights, "count": count}


functions = (timed, prepared, job)
steps = 100 if is_long() else 20
(one,), two = run_ranks(functions, 1, steps, True), run_ranks(functions, 2, steps, True)
print("step   one process   two processes   difference")
for step in sorted({0, 1, steps // 2, steps - 1}):
    loss, other = one["losses"][step], two[0]["losses"][step]
    print(f"{step + 1:4}   {loss:11.6f}   {other:13.6f}   {abs(loss - other):.1e}")
apart = max(abs(a - b) for a, b in zip(two[0]["weights"], two[1]["weights"], strict=True))
print(f"sums of the weights on rank 0 and rank 1 differ by at most {apart}")

# %% [markdown]
# The losses are those of one process. With two ranks they are even equal to the last digit, since a + b = b + a; from
# three ranks on the order of adding differs, and so do the last digits. The weights on the two ranks are equal, though
# no weight was ever sent.
#
# Was it faster? Two numbers decide: how long a rank computes, and how long it waits. One line a rank, from left to
# right one step: ▓ computing, ▲ a bucket leaves, ▼ its sum has arrived.


# %%
def timeline(found: dict, width: int = 64) -> str:
    """The last step of a rank."""
    begin, end = found["events"][0][1], max(when for _, when in found["events"])
    cells = ["▓"] * width
    for what, when in sorted(found["events"], key=lambda event: event[0] == "left"):
        if what in ("left", "arrived"):
            cells[min(width - 1, int((when - begin) / (end - begin) * width))] = "▲" if what == "left" else "▼"
    return f"{''.join(cells)} {1000 * (end - begin):.0f} ms"


for rank, found in enumerate(two):
    print(f"rank {rank}  {timeline(found)}")


def median(numbers: list[float]) -> float:
    return sorted(numbers)[len(numbers) // 2]


alone, together = 1000 * median(one["seconds"]), 1000 * median(two[0]["seconds"])
print(f"a step: one process {alone:.0f} ms, two {together:.0f} ms; gradients: {4 * two[0]['count'] / 1e6:.1f} MB")

# %% [markdown]
# On a laptop two processes share the same cores and the same memory, so do not expect a factor of two: threads of one
# process would do about as well. The gain comes with a second machine, and then the network decides. In a *ring*
# all-reduce among N ranks each sends and receives 2 (N − 1) / N times the size of the gradients, whatever N is: hardly
# more for 64 ranks than for 8. With 100 million weights in fp32 that is about 0.8 GB a step: 6.4 seconds over 1 Gbit/s,
# a few milliseconds over the links inside a GPU server. Whoever has a slow network takes larger batches, so that there
# are fewer steps.

# %% [markdown]
# ## Break it: do not exchange
#
# The two ranks train as before, each on its share, and no gradient is ever sent. Predict: is the loss at the end that
# of two ranks, somewhat higher, or much higher? And which weights would you save?

# %%
strangers = run_ranks(functions, 2, steps, False)
loss, other = two[0]["losses"][-1], strangers[0]["losses"][-1]
print(f"mean loss of the last step: exchanging {loss:.3f}, every rank for itself {other:.3f}")
apart = max(abs(a - b) for a, b in zip(strangers[0]["weights"], strangers[1]["weights"], strict=True))
print(f"sums of the weights on rank 0 and rank 1 differ by up to {apart:.2f}")

# %% [markdown]
# The loss is a little higher, and the curve falls as ever: each rank learns from its half of the data. Nobody who
# looks at that curve alone would stop the run. Only the weights show that there are two models, of which one will be
# saved and the other thrown away. So compare a sum of the weights over all ranks now and then: it costs one number.
#
# The same goes for files: every rank runs the same program, and if all of them write `checkpoint`, they write over one
# another. One rank writes and speaks (`Ranks.first`), and it must not be the only one to enter an all-reduce.

# %% [markdown]
# ## A worksheet: what fits
#
# With data parallelism every rank keeps everything. In fp32 with AdamW a weight takes 4 bytes, its gradient 4, and its
# two averages 8. *Sharding* (ZeRO, FSDP) lets each rank keep a share, and fetch the rest when it is needed: first the
# averages, then the gradients, then the weights too. Activations come on top, and depend on the batch.

# %%
gigabyte = 1e9
print("GB a rank   all kept   averages shared   and gradients   and weights")
for weights in (124e6, 1.5e9, 7e9):
    for world in (2, 8):
        kept = [16, 8 + 8 / world, 4 + 12 / world, 16 / world]
        numbers = "".join(f"{weights * bytes / gigabyte:14.1f}" for bytes in kept)
        print(f"{weights / 1e9:4.2f} B, {world} ranks {numbers}")

# %% [markdown]
# Before you go on: a graphics card has 24 GB. How many of them does the model with 7 billion weights need at least, if
# all is shared and 4 GB on each are kept for activations?
#
# ## What the field does today
#
# - Read: Li et al. 2020, *PyTorch Distributed* (arXiv 2006.15704), section 3: buckets, hooks and their order, as you
#   have just written them. torch has them as `DistributedDataParallel`, which takes means over the ranks.
# - ZeRO (Rajbhandari et al. 2019, arXiv 1910.02054) shares averages, gradients and weights; torch's `fully_shard` does
#   that, one layer at a time, overlapping as the buckets do.
# - The largest models are cut in more ways at once: within a matrix (tensor parallel), between layers (pipeline), along
#   the text (context), over experts. Each way is one more place where an exchange can be forgotten.
# - Where the network is very slow, ranks train for many steps by themselves and exchange the *change* of their weights
#   (DiLoCo, arXiv 2311.08105): the break experiment above, with a cure.
#
# A real run on two processes:
#
#     OMP_NUM_THREADS=1 torchrun --nproc-per-node=2 -m firsthand train recipes/learn.yaml train.microbatches=2
#
# The shipped class is what that run uses:

# %%
show("train/parallel.py:GradientSum")
