# Batches, targets, a first model. Run it as it stands: python lesson.py

# %% [markdown]
# # 3 · Batches, targets, a first model
#
# A text is a row of token ids by now. What can a model learn from it, when nobody has marked any answer in it? To guess
# the next token. Every place of a text is an exercise, and its answer stands one place further: **shifted by one, a
# text is its own answer sheet.** That is all the supervision that language models have before they are taught to chat.
#
# The model reads a *window* of `context_length` tokens, x, and gets as many targets, y:
#
# $$x = (t_s, \, t_{s+1}, \dots, t_{s+T-1}), \qquad y = (t_{s+1}, \, t_{s+2}, \dots, t_{s+T})$$
#
# At place i it may use x up to i, and must guess y at i. A window of T tokens is T exercises: guess with one token
# known, with two, ..., with T. A *batch* is a table of B such windows, because a computer is quicker with many at a
# time. Both x and y have the shape (B, T), and hold whole numbers.
#
# The loss of a guess is the negative logarithm of the probability p that the model gave to the right token. It is 0 for
# p = 1, ln 2 = 0.69 for p = 1/2, and ln V if V tokens were equally likely. The mean over all targets is what training
# makes small, and what every figure called *loss* in this project is, in nats a token:
#
# $$\text{loss} = -\frac{1}{B \, T} \sum_{b, i} \ln p(y_{b,i} \mid x_{b,1}, \dots, x_{b,i})$$

# %% [markdown]
# ## By hand
#
# The text 7 1 8 2 9, windows of 2. It has 5 tokens and so 4 targets, for the first token is nobody's target.
#
# - window 0: x = 7 1, y = 1 8
# - window 1: x = 8 2, y = 2 9
#
# The windows of x lie side by side, and each target is there once. With a sixth token, 4, one more target is left over:
#
# - window 2: x = 9 0, y = 4 IGNORE
#
# IGNORE is -100, a number that no token has. The loss leaves it out. A 0 in its place would be a token like any
# other, and the model would learn to end every text with token 0. In x it does not matter what fills up: no target
# asks for it.

# %%
import math

import torch
from torch.nn import functional as F

from firsthand.learn.page import is_long, mine, shades, show
from firsthand.text.plays import printed_play
from firsthand.text.sources import read
from firsthand.types import IGNORE

parts = mine("batches")
x, y = parts.windows(torch.tensor([7, 1, 8, 2, 9, 4]), 2)
print("x", x.tolist(), "  y", y.tolist())

# %% [markdown]
# ## A window slides over a play
#
# From here on the text is the first play of the bundled ones, and its tokens are its characters, numbered in the order
# of the alphabet. Below, four windows with a stride of 4: they overlap, so that most targets are there twice, with
# different pasts. Without a stride they would lie side by side.

# %%
document = next(iter(read("shakespeare")))
play = printed_play(document.text)
characters = sorted(set(play))
number = {character: i for i, character in enumerate(characters)}
ids = torch.tensor([number[character] for character in play])
print(f"{document.name}: {len(ids):,} tokens, a vocabulary of {len(characters)}\n")


def written(row: torch.Tensor) -> str:
    """The characters of some ids; a space is shown as _, the end of a line as /, and what is ignored as a dot."""
    return "".join("." if i == IGNORE else characters[i] for i in row.tolist()).replace(" ", "_").replace("\n", "/")


start = play.index("the ")
x, y = parts.windows(ids[start : start + 21], 8, stride=4)
print("text   ", written(ids[start : start + 21]))
for w in range(len(x)):
    print(f"x[{w}]   ", " " * 4 * w + written(x[w]))
    print("        " + " " * 4 * w + "↘" * 8)
    print(f"y[{w}]   ", " " * (4 * w + 1) + written(y[w]))

# %% [markdown]
# Read a pair along an arrow: from each character of x, down and to the right, to the one that has to be guessed.
#
# ## Three things that go wrong quietly
#
# - **What is held out must be held out whole.** The validation loss says how well the model guesses text that it has
#   not seen. If windows overlap and every tenth is held out, its tokens stand in the neighbours that are trained on. So
#   cut first, once, and make windows after: `split` takes the last part off.
# - **A text ends.** Where two texts stand one after the other, the last token of the first has the first token of the
#   second as its neighbour. Nobody can guess that one; whoever is made to learns chance. `document` says which token is
#   of which text, and such a target becomes IGNORE.
# - **The last window.** Whoever drops it because it is not full loses up to T targets of every text. Short texts, which
#   are all last window, are then never learnt at all.
#
# For training on one long text there is a shortcut: `get_batch` draws B places at random and takes the window there.
# The last possible place is `len(ids) - T - 1`, since the last token of the window needs a target too. The places
# come from a generator with a seed, so that a run can be repeated.

# %% [markdown] tags=["exercise:batches"]
# ## Write it
#
# `split`, `windows` and `get_batch` in `batches.py`. Think first: how many windows does a text of N tokens have, when
# the stride is T? When it is smaller? Then `firsthand learn check`.

# %% [markdown]
# ## A first model: one table
#
# The simplest guess uses one token only, the last. For each of the V tokens there is a row of V numbers, the *logits*
# of what follows: large for likely, small for unlikely, any numbers at all. A softmax makes probabilities of them:
#
# $$p(j \mid i) = \frac{\exp(W_{ij})}{\sum_{k} \exp(W_{ik})}$$
#
# By hand, for three tokens a, b, c: if row a is (0, 1.1, 0), its exps are 1, 3 and 1, which add up to 5. So after an
# a comes b with probability 0.6, and the loss of that target is -ln 0.6 = 0.51. If all numbers are 0, every token has
# 1/3, and the loss is ln 3 = 1.10. That is the first thing to check in any model: *before training, the loss is about
# ln V*.
#
# Looking up rows by their number is called an *embedding*. It stands at the beginning of every language model, with
# rows of d_model numbers in place of V. Only the rows that were read get a gradient.

# %% [markdown] tags=["exercise:bigram"]
# ## Write it
#
# `Embedding` and `Bigram` in `bigram.py`. Then train it, on your own batches:

# %%
Bigram = mine("bigram").Bigram
train, validation = parts.split(ids, 0.1)
steps = 1500 if is_long() else 300


def fit(model: torch.nn.Module, copying: bool = False) -> list[float]:
    """Train for `steps` steps; the loss of each. `copying`: with the inputs as targets."""
    generator = torch.Generator().manual_seed(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        x, y = parts.get_batch(train, 32, 64, generator)
        loss = F.cross_entropy(model(x).flatten(0, 1), (x if copying else y).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def validate(model: torch.nn.Module) -> float:
    """The loss on all that is held out, each target once."""
    x, y = parts.windows(validation, 64)
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=IGNORE).item()


def write(model: torch.nn.Module, length: int = 150) -> str:
    """Text from the model, one character after another."""
    generator, token, text = torch.Generator().manual_seed(3), torch.tensor([[number["T"]]]), "T"
    for _ in range(length):
        chances = model(token)[0, -1].softmax(-1)
        token = torch.multinomial(chances, 1, generator=generator).unsqueeze(0)
        text += characters[int(token)]
    return text


model = Bigram(len(characters))
print(f"before training: {validate(model):.2f} nats, and ln {len(characters)} = {math.log(len(characters)):.2f}")
losses = fit(model)
for first in range(0, steps, steps // 6):
    mean = sum(losses[first : first + steps // 6]) / len(losses[first : first + steps // 6])
    print(f"step {first:5}  {mean:.2f}  " + "█" * round(12 * mean))
print(f"validation: {validate(model):.2f} nats\n")
print(write(model))

# %% [markdown]
# ## What it has learnt
#
# Nothing that could not be counted: the best table is the share of each pair in the text. Row by row, what your model
# expects after some characters (darker is likelier), and what the pairs of the text say. The two should look nearly
# the same, and so should their losses. Then why learn by gradients what can be counted? Because with two tokens of
# past the table has V³ numbers, with ten it could not be stored, and most of its rows would never be seen. What
# replaces the table must be learnt.

# %%
shown = [number[character] for character in " aehiotu" if character in number]
names = [characters[i].replace(" ", "_") for i in shown]
pairs = torch.zeros(len(characters), len(characters))
pairs.index_put_((train[:-1], train[1:]), torch.ones(len(train) - 1), accumulate=True)
counted = pairs / pairs.sum(1, keepdim=True).clamp(min=1)
learnt = model.embedding.weight.detach().softmax(-1)
for title, table in (("learnt", learnt), ("counted", counted)):
    print(f"{title}: row = the character read, column = the one expected")
    print(shades(table[shown][:, shown], names, names), "\n")
smoothed = (pairs + 0.1) / (pairs + 0.1).sum(1, keepdim=True)
by_count = F.nll_loss(smoothed.log()[validation[:-1]], validation[1:]).item()
print(f"validation, learnt: {validate(model):.2f} nats; counted: {by_count:.2f}")

# %% [markdown] tags=["break:targets_are_inputs"]
# ## Break it
#
# What if y is x, not shifted? Predict before you run the next cell: does the loss end higher or lower than that of
# the right model? What will the samples look like? The best that a table can do then is a large number at W[i, i]:
# "after e comes e".

# %%
broken = Bigram(len(characters))
losses = fit(broken, copying=True)
print(f"training loss {losses[-1]:.3f}, validation {validate(broken):.2f} nats\n\n{write(broken)}")

# %% [markdown]
# The training loss goes to nearly nothing, and the model is worthless: an excellent number is the best sign of an error
# in the targets. The validation loss, with targets that are right, is far above that of knowing nothing.

# %% [markdown] tags=["break:batch_targets_are_inputs"]
# `firsthand learn break batches batch_targets_are_inputs` makes the same slip in the real pipeline, with a GPT of two
# layers. It can look back, and has more than a table to learn with. Does that save it?

# %% [markdown]
# ## What the field does today
#
# - Read: Shannon, *A mathematical theory of communication* (1948), section 3: he writes English with a bigram, out of a
#   book opened at random. Bengio et al., *A neural probabilistic language model* (JMLR 3, 2003), replaced the table by
#   embeddings and a network, for the reason given above.
# - Large runs see each token about once, in an order that can be computed anew from a seed, so that a run can go on
#   where it stopped. The shipped `Loader` does that; `data.batches=drawn` takes `get_batch` in its place, for what fits
#   in memory.
# - Documents are packed into full rows, as no place should be wasted, and attention is told where each begins
#   (Krell et al. 2021, arXiv 2107.02027). Cutting documents less, by filling rows cleverly, makes better models of
#   the same text (Ding et al. 2024, arXiv 2404.10830).
# - The embedding is still a table of rows. Nowadays it is often used a second time, transposed, to make the logits.
#
# `firsthand learn milestone M1` trains a model that knows one token, in the real pipeline: tokens from the merges that
# your `train_bpe` learns, in the batches of your `get_batch`. The shipped code:

# %%
show("data/packing.py:windows")
show("model/bigram.py:Bigram")
