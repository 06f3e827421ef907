# The loop. Run it as it stands: python lesson.py

# %% [markdown]
# # 9 · The loop
#
# A model with its first, random weights says nothing. Training is one small step, repeated: look at some text, ask in
# which direction each weight would have to move for the loss to fall, and move all of them a little. Four questions
# make the difference between a run that learns and one that doesn't:
#
# 1. How large is a step, and when? (the schedule)
# 2. How far does each *single* weight move? (AdamW)
# 3. What if a batch is too large for memory? (accumulation)
# 4. What if one batch is strange? (clipping)
#
# In numbers: a weight w, the gradient g of the mean loss with respect to it, and a rate η. Plain gradient descent is
# w ← w − η g. Everything below refines η and g.

# %% [markdown]
# ## The schedule
#
# At the beginning nothing is known, so the steps should be small: a *warm-up* raises the rate in a straight line from
# 0 to its peak. Late in a run the weights jump to and fro around a good place; smaller steps let them settle, so the
# rate falls again, here along half a cosine. A schedule is a function from the fraction f of the run that is over to a
# multiplier m of the peak rate. With a warm-up of w and a last value of $m_1$:
#
# $$m(f) = f / w \;\text{ if } f < w, \qquad
#   m(f) = m_1 + (1 - m_1) \, \tfrac{1}{2} \left(1 + \cos \pi \tfrac{f - w}{1 - w}\right) \;\text{ else}$$
#
# By hand, w = 0.2 and m₁ = 0.1. At f = 0.1: 0.1 / 0.2 = 0.5. At f = 0.6, half of the rest is over; cos(π/2) = 0, so
# 0.1 + 0.9 · 0.5 = 0.55. At f = 1: cos π = −1, so 0.1.

# %%
import math

import numpy as np
import torch

from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.learn.page import is_long, mine, show
from firsthand.model.make import build_model
from firsthand.text.corpora import shakespeare
from firsthand.text.plays import printed_play
from firsthand.train.objectives.next_token import NextToken
from firsthand.train.optimizers.groups import set_rate

warmup_cosine = mine("schedule").warmup_cosine
optimizers = mine("adamw")
steps = mine("train_step")

BARS = " ▁▂▃▄▅▆▇█"


def bars(numbers: list[float], low: float, high: float, width: int = 60) -> str:
    """A row of numbers as a row of bars, each the mean of its neighbours, between `low` and `high`."""
    size = -(-len(numbers) // width)
    means = [sum(numbers[i : i + size]) / size for i in range(0, len(numbers) - size + 1, size)]
    heights = [8 * (one - low) / (high - low) if math.isfinite(one) else 8 for one in means]
    return "".join(BARS[max(0, min(8, round(height)))] for height in heights)


multiplier = warmup_cosine(0.2, 0.1)
print("m(0.1), m(0.6), m(1):", *(f"{multiplier(fraction):.2f}" for fraction in (0.1, 0.6, 1.0)))
print("over a run:", bars([multiplier(i / 60) for i in range(61)], 0, 1))

# %% [markdown] tags=["exercise:schedule"]
# ## Write the schedule
#
# `warmup_cosine(warmup, final)` in `schedule.py`. It returns a function. Before you begin: what should come out right
# where the warm-up ends, seen from both sides?

# %% [markdown]
# ## AdamW: every weight at its own pace
#
# Gradients differ in size from weight to weight by factors of thousands, so no single η suits all of them. Adam keeps
# two running means for each weight: m of its gradient, and v of its gradient squared. It moves by their ratio:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
#   w \leftarrow w - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon}$$
#
# If g always has the same sign, $\hat m / \sqrt{\hat v}$ is about ±1, whatever its size. If it changes sign all the
# time, m is near 0 and the weight hardly moves. Both means begin at 0, so at first they are too small, by the factor
# 1 − β^t after t steps; $\hat m = m / (1 - \beta_1^t)$ and $\hat v = v / (1 - \beta_2^t)$ put that right.
#
# By hand, the first step, g = 2, β = (0.7, 0.92): m = 0.6, v = 0.32; corrected 2 and 4; the step is η · 2 / 2 = η.
#
# The W: weights that nothing pulls at should fade, so each step also takes off the share η λ of every weight. This
# *decay* is done to the weights themselves. If it were added to g, the division by √v would undo its size. Gains of
# norms and biases (parameters with one axis) do not decay: a norm with a fading gain would shut its door.

# %%
weight = torch.nn.Parameter(torch.tensor([[1.0, 1.0, 1.0]]))
optimizer = optimizers.adamw([("blocks.0.weight", weight)], lr=0.1, betas=(0.7, 0.92), weight_decay=0.0)
for gradient in ([2.0, 0.002, 2.0], [2.0, 0.002, -2.0], [2.0, 0.002, 2.0]):
    weight.grad = torch.tensor([gradient])
    optimizer.step()
    print("gradient", gradient, " weights", [f"{one:.3f}" for one in weight.tolist()[0]])

# %% [markdown]
# The first two weights move alike, though one gradient is 1000 times the other. The third has a gradient that changes
# its mind, and stays near where it was.

# %% [markdown] tags=["exercise:adamw"]
# ## Write AdamW
#
# `parameter_groups` and `adamw_step` in `optimizer.py`. What is given there: torch's `Optimizer`, which walks over
# parameters and keeps a dict of state for each.

# %% [markdown]
# ## One step
#
# *Accumulation.* `backward()` adds to `.grad`. So a batch may be cut into microbatches that fit into memory, one
# backward pass each, one step at the end. To get what one large batch would give, each *target* has to count the same,
# not each microbatch: sums of 18 and 4 nats over 9 and 1 targets are a mean of 22 / 10 = 2.2. The mean of the two
# means would be (2 + 4) / 2 = 3.
#
# *Clipping.* Take all gradients of the model as one long vector. If its length is above a limit, shorten it to the
# limit; the direction stays. (3, 0) in one tensor and (4, 0) in another are a vector of length 5, so with a limit of 1
# they become 0.6 and 0.8. Clipped one by one they would be 1 and 1, which points elsewhere.
#
# *Half precision.* The smallest number above 0 in fp16 is 6e-8, and gradients are often smaller. So the loss is
# multiplied by a large `scale` before it goes backward, and the gradients are divided by it before they are clipped.
# bf16, which has the range of fp32 and fewer digits, needs no scale. On many CPUs neither is faster than fp32, so we
# stay with that here.

# %%
tensors = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
for tensor, one in zip(tensors, (3.0, 4.0), strict=True):
    tensor.grad = torch.tensor([one, 0.0])
norm = steps.clip_by_norm(tensors, 1.0, 1.0)
print("norm", norm, " clipped", [[round(one, 5) for one in tensor.grad.tolist()] for tensor in tensors])

# %% [markdown] tags=["exercise:train_step"]
# ## Write the step
#
# `clip_by_norm` and `train_step` in `step.py`. An objective returns a `Loss` with the *sum* over the targets of a
# batch, and their `count`.

# %% [markdown]
# ## Your loop
#
# With the three parts the loop is four lines. It trains a small model (2 layers, d_model 64, context 32) on the bytes
# of Hamlet. Three peak rates: a thirtieth of a good one, a good one, and 30 times that. ln 256 = 5.55 is the loss of
# knowing nothing.

# %%
text = next(document.text for document in shakespeare() if document.name == "hamlet")
ids = np.frombuffer(printed_play(text).encode(), dtype=np.uint8).astype(np.uint16)
tokens = Tokens.of(ids, vocab_size=256)


def train(peak: float, schedule, total: int, clip: float | None = 1.0) -> dict[str, list[float]]:
    """Loss, norm and rate of each step."""
    torch.manual_seed(9)
    fields = {"n_layers": 2, "d_model": 64, "n_heads": 2, "context_length": 32, "dropout": 0.0}
    model = build_model(fields, 256)
    optimizer = optimizers.adamw(list(model.named_parameters()), lr=peak)
    batches = Loader(tokens, 32, 512, seed=9, microbatches=2)
    found: dict[str, list[float]] = {"loss": [], "norm": [], "rate": []}
    for step in range(total):
        rate = set_rate(optimizer, schedule((step + 0.5) / total))
        loss, norm = steps.train_step(model, batches.batch(step), NextToken(), optimizer, clip)
        for name, one in zip(found, (loss, norm, rate), strict=True):
            found[name].append(one)
    return found


total = 900 if is_long() else 150
good, schedule = 0.03, warmup_cosine(0.1, 0.1)
runs = {peak: train(peak, schedule, total) for peak in (good / 30, good, good * 30)}
for peak, run in runs.items():
    print(f"peak {peak:.5f}  loss {bars(run['loss'], 1.5, 6)}  {sum(run['loss'][-10:]) / 10:.2f} nats at the end")
run = runs[good]
print(f"of peak {good}:  rate {bars(run['rate'], 0, good)}")
print(f"               norm {bars(run['norm'], 0, max(run['norm']))}  at most {max(run['norm']):.1f}")

# %% [markdown]
# Too small a rate learns the same things, later. With too large a one each step jumps over what it was looking for.
# In between, a factor of 2 hardly matters, which is why rates are searched for in powers of two.
#
# The norm is largest early, when nearly every weight agrees on what is wrong: that bytes of English are not all
# equally likely.

# %% [markdown] tags=["break:no_warmup"]
# ## Break it
#
# Predict: without the warm-up, is the loss after 15 steps higher or lower, and what remains of it at the end? Write
# your guess down. `firsthand learn break schedule no_warmup` asks and shows; here is the same at twice the good rate.

# %%
ways = {"with": warmup_cosine(0.1, 0.1), "without": warmup_cosine(0.0, 0.1)}
for name, way in ways.items():
    run = train(2 * good, way, total)
    early, late = run["loss"][14], sum(run["loss"][-10:]) / 10
    print(f"{name:>7} warm-up  {bars(run['loss'], 1.5, 6)}  step 15: {early:.2f}, end: {late:.2f}")

# %% [markdown]
# After one or two gradients v knows next to nothing. The ratio of two poor guesses is a wild step in every weight at
# once, and what it breaks has to be learnt again. At a peak of 0.008 the run without a warm-up ended a little *better*
# when we tried it; in deep models some runs never come back. So the warm-up is insurance: how much of it you need is
# to be measured at your size.

# %% [markdown]
# ## What the field does today
#
# - Read: Loshchilov and Hutter, *Decoupled weight decay regularization* (2019, arXiv 1711.05101), algorithm 2. It is
#   one page, and after this lesson you know every line of it.
# - Instead of the cosine many runs hold the peak and fall at the end (MiniCPM, arXiv 2404.06395), since then nobody
#   has to know beforehand how long the run will be: `warmup_stable_decay`.
# - For matrices, Muon (Jordan 2024) makes all directions of a step equally long; Moonlight (arXiv 2502.16982) reports
#   about half the computation for the same loss. `train.optimizer=muon` is the shipped one: try it on your recipe.
# - Clipping at a norm of 1 and betas of (0.9, 0.95) are in nearly every recipe that is published.
#
# Milestone M3: `firsthand learn milestone M3` trains your whole GPT with your schedule and your optimizer. One part
# alone:
#
#     firsthand train recipes/tiny.yaml train.optimizer=my_llm/optimizer.py:adamw
#
# The shipped step is what the shipped loop calls, on one processor or many:

# %%
show("train/schedules.py:warmup_cosine")
show("train/step.py:train_step")
