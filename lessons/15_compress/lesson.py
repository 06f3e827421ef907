# Distil, quantize, prune. Run it as it stands: python lesson.py

# %% [markdown]
# # 15 · Distil, quantize, prune
#
# A trained model is a list of numbers, and most of what it costs is reading them: a model of 8 billion weights in
# 16 bits is 16 GB, all of which go through the processor for every token that it writes. There are three ways to less:
#
# - **quantize**: the same numbers, each in fewer bits;
# - **prune**: fewer numbers, the others are zero or gone;
# - **distil**: a smaller model, taught by the large one.
#
# What each costs cannot be seen in the weights: it is measured, on text that nobody has trained on. And smaller is not
# faster by itself: no speed is claimed on this page that is not measured on it.
#
# ## Quantize: 255 levels
#
# A row of a weight, w, becomes whole numbers q from -127 to 127, a byte each, and one scale s:
#
# $$s = \frac{\max_j |w_j|}{127}, \qquad q_j = \text{round}\left(\frac{w_j}{s}\right), \qquad \hat w_j = s \, q_j,
#   \qquad |w_j - \hat w_j| \le \frac{s}{2}$$
#
# The levels stand a distance s apart and reach exactly to the largest number, which thus decides how coarse all others
# become. One scale a *row* (per channel) is nearly free: an output is one row times the input, and s can be taken out
# of that sum. -128 stays unused, so that the levels lie alike on both sides of zero.
#
# By hand: the row (1.27, -0.508, 0.008). s = 0.01; over s: 127, -50.8, 0.8; codes 127, -51, 1; back: 1.27, -0.51, 0.01.

# %%
import copy
import math
import timeit

import torch
from torch import nn
from torch.nn import functional as F

from firsthand.compress.subject import linear_maps
from firsthand.learn.page import histogram, is_long, mine, plane, show
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model
from firsthand.text.corpora import shakespeare

quantize, prune, distill = mine("quantize"), mine("prune"), mine("distill")
q, scale = quantize.quantize_int8(torch.tensor([[1.27, -0.508, 0.008]]))
back = quantize.dequantize(q, scale)
print("scale", round(scale.item(), 4), " codes", q.tolist()[0], " back", [round(x, 4) for x in back.tolist()[0]])

# %% [markdown] tags=["exercise:quantize"]
# ## Write it
#
# `quantize_int8(weight, per_channel)` and `dequantize(q, scale)` in `quantize.py`.
#
# Before you begin: what is the scale of a row of zeros, and what should it be?

# %% [markdown]
# ## Prune: what is near zero goes
#
# A weight near zero changes its output least, if all inputs are about the same size. So sort the sizes, and set the
# smallest share of them to zero: **unstructured**, wherever they are in the weight (a file then needs a bit for each
# number, to say whether it is there, and those that are); or **2 of 4**: of every four neighbours in a row the two
# largest stay. That is a worse choice, but a regular one, which some hardware multiplies at twice the speed.
# By hand: half of (0.1, -3), (2, -0.2): 0.1 and -0.2 go. Two of the four (1, -4, 2, 3): -4 and 3 stay.
#
# Then the others may learn to do without. But a zero has a gradient like any other number (y = w x with w = 0 and x = 2
# has the slope 2), so the gradient is masked too, or the first step fills the holes again.

# %%
weight = torch.tensor([[0.1, -3.0, 1.0, 0.3], [2.0, -0.2, 0.9, 0.8]])
print("half of it:", prune.magnitude_mask(weight, 0.5).int().tolist())
print("2 of 4:    ", prune.mask_2_of_4(weight).int().tolist())

# %% [markdown] tags=["exercise:prune"]
# ## Write the masks
#
# `magnitude_mask`, `mask_2_of_4` and `apply_masks(model, masks)` in `prune.py`; masks by the names of parameters.
#
# Before you begin: all weights have the same size, and half of them are to go. Which?

# %% [markdown]
# ## Distil: a teacher says more than the text
#
# After "the cat sat on the" the text has one token. A teacher has an opinion about all of them: mat 40 %, floor 20 %,
# chair 15 %, and hardly ever "of". A student that is told all of this learns more from a token. It minimises
#
# $$\alpha \, T^2 \, \text{KL}\left(p^{(T)} \,\|\, q^{(T)}\right) + (1 - \alpha) \left(-\ln q(\text{target})\right),
#   \qquad \text{KL}(p \,\|\, q) = \sum_v p_v \ln \frac{p_v}{q_v}$$
#
# with p of the teacher and q of the student, both *heated*: logits divided by T before the softmax. Heat makes small
# probabilities visible, which say what wrong answers are nearly right. It also makes gradients smaller, by 1/T² once T
# is large; the factor T² undoes that, so that T can be changed without changing α.
#
# By hand, T = 2, two tokens. Teacher logits (2 ln 3, 0), heated (ln 3, 0): 3/4 and 1/4. Student (0, 0): 1/2 and 1/2.
# KL = 3/4 ln 1.5 + 1/4 ln 0.5 = 0.131, times 4 is 0.523. The target is token 0: -ln 1/2 = 0.693. With α = 0.5: 0.608.

# %%
teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
for alpha in (1.0, 0.0, 0.5):
    loss = distill.distill_loss(student, teacher, torch.tensor([0]), 2.0, alpha)
    print(f"alpha {alpha}: {loss.value:.3f} nats over {int(loss.count)} target")

# %% [markdown] tags=["exercise:distill"]
# ## Write the loss
#
# `distill_loss(student, teacher, targets, temperature, alpha)` in `distill.py`: the sum over the targets as a `Loss`.
#
# Before you begin: the student's logits are the teacher's own. What is the first part, at any temperature?

# %% [markdown]
# ## A model to make smaller
#
# Three layers on Shakespeare's comedies, a byte a token, trained for a moment. The last comedy is kept back, to measure
# the perplexity of a byte on (e to the mean loss; 128 would be knowing nothing).

# %%
VOCAB, CONTEXT = 128, 64
LARGE = {"preset": "gpt2", "n_layers": 3, "d_model": 96, "n_heads": 4, "context_length": CONTEXT}
SMALL = LARGE | {"n_layers": 1, "d_model": 48}
plays = [play.text for play in shakespeare() if play.metadata["genre"] == "comedies"]
known, unknown = (
    torch.tensor(list(text.encode("ascii", "ignore"))) for text in ("".join(plays[:-1]), plays[-1][: 64 * 257])
)


def fresh(fields: dict) -> LanguageModel:
    torch.manual_seed(15)
    return build_model(fields | {"dropout": 0.0}, VOCAB)


def train(model: LanguageModel, steps: int, rate: float, taught_by: LanguageModel | None = None, alpha=0.0):
    """Let it learn the known plays; with a teacher, from that too (T = 2)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 20) * (1 - step / steps)
        rows = known[torch.randint(len(known) - CONTEXT, (12, 1), generator=generator) + torch.arange(CONTEXT + 1)]
        logits = model(rows[:, :-1])
        with torch.no_grad():
            aim = taught_by(rows[:, :-1]) if taught_by else logits
        loss = distill.distill_loss(logits, aim, rows[:, 1:], 2.0, alpha)
        optimizer.zero_grad()
        (loss.value / loss.count).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


@torch.no_grad()
def perplexity(model: LanguageModel) -> float:
    rows = unknown.unfold(0, CONTEXT + 1, CONTEXT)
    return math.exp(F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()))


LONGER = 4 if is_long() else 1
large = train(fresh(LARGE), 500 * LONGER, 3e-3)
print(f"perplexity {perplexity(large):.2f}")

# %% [markdown]
# ## What its weights look like
#
# A histogram of one map's numbers, zero in the middle: as they are, half pruned, and in 8 bits. Most numbers are small,
# and could go; the few large ones decide the scale.

# %%
first = large.blocks[0].ffn.up.weight.detach()
reach = float(first.abs().max())
rounded = quantize.dequantize(*quantize.quantize_int8(first))
pictures = {"as it is": first, "half pruned": first[prune.magnitude_mask(first, 0.5)], "in 8 bits": rounded}
for name, numbers in pictures.items():
    print(f"{name:12} {histogram(numbers.flatten().tolist(), reach)}")
print(f"the largest number is {reach:.3f}, the largest error of 8 bits {float((rounded - first).abs().max()):.5f}")

# %% [markdown]
# ## Smaller, in nine ways
#
# Every linear map of the layers is changed. A number in fp32 is 4 bytes, a code 1, a scale 4, and a pruned weight takes
# a bit for each place and 4 bytes for each number that is there. The student is trained twice for the same steps.


# %%
def size(model: nn.Module, own: dict[str, float]) -> float:
    """kB of a file. `own`: bytes of the weights that do not stand in fp32."""
    return sum(own.get(name, 4 * one.numel()) for name, one in model.named_parameters()) / 1000


def in_8_bits(model: LanguageModel, per_channel: bool = True) -> tuple[LanguageModel, float]:
    small, own = copy.deepcopy(model), {}
    for name, part in linear_maps(small).items():
        q, scale = quantize.quantize_int8(part.weight.detach(), per_channel)
        part.weight.data = quantize.dequantize(q, scale)
        own[f"{name}.weight"] = q.numel() + 4 * scale.numel()
    return small, size(small, own)


def pruned(model: LanguageModel, choose) -> tuple[LanguageModel, float]:
    small = copy.deepcopy(model)
    masks = {f"{name}.weight": choose(part.weight.detach()) for name, part in linear_maps(small).items()}
    prune.apply_masks(small, masks)
    return small, size(small, {name: mask.numel() / 8 + 4 * int(mask.sum()) for name, mask in masks.items()})


found: dict[str, tuple[float, float]] = {}


def measure(name: str, model: LanguageModel, kilobytes: float) -> None:
    found[name] = kilobytes, perplexity(model)
    print(f"{chr(96 + len(found))}  {name:26} {kilobytes:6.0f} kB   perplexity {found[name][1]:6.2f}")


measure("the model", large, size(large, {}))
measure("8 bits", *in_8_bits(large))
measure("8 bits, one scale a map", *in_8_bits(large, per_channel=False))
measure("a quarter pruned", *pruned(large, lambda weight: prune.magnitude_mask(weight, 0.25)))
thin, kilobytes = pruned(large, lambda weight: prune.magnitude_mask(weight, 0.5))
measure("half pruned", thin, kilobytes)
measure("2 of 4", *pruned(large, prune.mask_2_of_4))
train(thin, 60 * LONGER, 1e-3, large, 0.5)
measure("half pruned, then taught", thin, kilobytes)
alone = train(fresh(SMALL), 400 * LONGER, 1e-2)
measure("a student, alone", alone, size(alone, {}))
taught = train(fresh(SMALL), 400 * LONGER, 1e-2, large, 0.5)
measure("a student, taught", taught, size(taught, {}))
measure("the student in 8 bits", *in_8_bits(taught))

# %% [markdown]
# ## The picture: size against perplexity
#
# Left is smaller, low is better. Capitals are on the *front*: nothing is both smaller and better. (Of two at one place
# the later is drawn.) What would you take for a third of the size, and what for a tenth?

# %%
print(plane(list(found.values())))

# %% [markdown]
# 8 bits cost next to nothing here, half of the weights a little, which a moment with the teacher brings back. (It can
# end below the model itself, which has not been trained to its end.) Of the two students the taught one is better.
#
# ## Is it faster?
#
# A vector times a map of 1024 × 1024: as it is, half of it zero, in 8 bits with `dequantize` at every call. Predict.

# %%
x, dense = torch.randn(1, 1024), torch.randn(1024, 1024)
holes = dense * prune.magnitude_mask(dense, 0.5)
codes, scales = quantize.quantize_int8(dense)
ways = {
    "as it is": lambda: F.linear(x, dense),
    "half zero": lambda: F.linear(x, holes),
    "8 bits": lambda: F.linear(x, quantize.dequantize(codes, scales)),
}
for name, way in ways.items():
    print(f"{name:10} {1e6 * sorted(timeit.repeat(way, number=1, repeat=50))[25]:7.0f} µs")

# %% [markdown]
# A zero is multiplied like any other number. To be faster the product itself has to read the codes (a *kernel* for 8
# bits does), or skip what is not there: 2 of 4 on hardware that knows it, or tensors that are smaller, as a student's.
#
# ## Break it: one scale
#
# Take one channel of each layer's values times 100, and what reads it over 100: the same function, as attention only
# adds values up. Predict: what do 8 bits cost now, with a scale for each row, and with one for each map?

# %%
odd = copy.deepcopy(large)
with torch.no_grad():
    for mixer in (block.mixer for block in odd.blocks):
        for one in mixer.value.parameters():
            one[0] *= 100
        mixer.out.weight[:, 0] /= 100
print(f"as it is: perplexity {perplexity(odd):.2f}")
for name, per_channel in (("a scale a row", True), ("a scale a map", False)):
    codes, _ = quantize.quantize_int8(mixer.value.weight.detach(), per_channel)
    used = [len(row.unique()) for row in codes[:6]]
    print(f"8 bits, {name}: {perplexity(in_8_bits(odd, per_channel)[0]):.2f}; levels that rows 0 to 5 use: {used}")

# %% [markdown]
# With one scale the large row takes all levels, and every other row has a few left. Large models grow such channels by
# themselves, in what flows between the layers: 8 bits for weights *and* inputs need more care there.
#
# ## What the field does today
#
# - Read: Hinton, Vinyals and Dean 2015, *Distilling the knowledge in a neural network* (arXiv 1503.02531), sections 1
#   and 2: three pages.
# - Four bits, with a scale for each group of 32 to 128 numbers, are the usual form on laptops. Rounding each number to
#   its nearest is then no longer best: GPTQ (arXiv 2210.17323) lets the numbers that are not rounded yet make up for
#   the errors of those that are; AWQ (arXiv 2306.00978) first makes important channels larger.
# - A small weight with large inputs matters. Wanda (arXiv 2306.11695) sorts by |w| times the size of its input, and
#   prunes large models to a half where sorting by |w| ruins them.
# - Whole heads, channels and layers can be cut, so that the tensors themselves become smaller and every machine is
#   faster; a teacher helps the rest to recover (Minitron, arXiv 2407.14679). Many small models of today are such
#   students.
#
# `firsthand learn milestone M7` makes your own model of M3 smaller with your parts. The shipped functions:

# %%
show("compress/quantize/int8.py:quantize_int8")
show("compress/prune/magnitude.py:magnitude_mask")
show("compress/prune/masks.py:apply_masks")
show("compress/distill.py:distill_loss")
