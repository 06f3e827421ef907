# Classification. Run it as it stands: python lesson.py

# %% [markdown]
# # 12 · Classification
#
# Is this message about programming or about feelings? A language model that has read text knows a good deal of what
# that takes. All that is missing is a way to ask. So we take off the head, which scores every token of the vocabulary,
# and put on another, which scores a few classes.
#
# Which of the text's vectors should the new head read? Every token has read itself and all before it, so only the
# *last* one has read everything. From a batch of hidden vectors (batch, time, d_model) we take one for each text:
#
# $$h_b = \text{hidden}[b, \; \text{length}_b - 1], \qquad \text{logits}_b = W h_b + c$$
#
# In shapes: h (batch, d_model), W (classes, d_model), c (classes), logits (batch, classes). The loss is the cross
# entropy that you know, with classes in the place of tokens.

# %% [markdown]
# ## By hand
#
# Texts in a batch have unequal lengths; the short ones are filled up behind. Two texts, 3 columns, d_model = 2:
#
# | | column 0 | column 1 | column 2 | length |
# |---|---|---|---|---|
# | text 0 | (0, 1) | (2, 3) | *padding* | 2 |
# | text 1 | (6, 7) | (8, 9) | (10, 11) | 3 |
#
# Text 0 ends in column 1, so its vector is (2, 3); that of text 1 is (10, 11). The padding needs no mask: it stands
# behind the text, and nobody looks ahead.
#
# W and c begin at zero. All logits are then 0, all classes equally likely, and the first loss is ln(classes): ln 4 =
# 1.39 for four.

# %%
import numpy as np
import torch
from torch.nn import functional as F

from firsthand.data.labelled import Examples, in_order
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.learn.page import is_long, mine, shades, show
from firsthand.model.make import build_model
from firsthand.text.corpora import dialogues
from firsthand.train.objectives.next_token import NextToken
from firsthand.train.optimizers.adamw import adamw
from firsthand.train.schedules import warmup_cosine
from firsthand.train.step import train_step
from firsthand.types import Loss, Place

parts = mine("pool_and_head")
hidden = torch.tensor([[[0.0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]])
print("the last of each:", parts.pool_last(hidden, torch.tensor([2, 3])).tolist())

# %% [markdown] tags=["exercise:pool_and_head"]
# ## Write the head
#
# `pool_last` and `ClassifierHead` in `head.py`. Two lists of indices in one pair of brackets, `hidden[[0, 1], [1,
# 2]]`, pick one place for each pair; a slice and a list, `hidden[:, [1, 2]]`, pick both columns of *every* row.

# %% [markdown]
# ## What learns
#
# The trunk has seen far more text than there are labels. With few labels it is often better to leave most of it as it
# is: what does not learn cannot be spoilt, needs no gradient and no optimizer state. Three ways:
#
# - the **head** alone: the texts' vectors stay as they were, and a plane is laid between the classes;
# - the **last block** with its norm, and the head;
# - **all** of it.
#
# In torch, a parameter learns if its `requires_grad` is True. Names tell which part a parameter is of: `blocks.1.` is
# the second block. `blocks.1` without the dot is the beginning of `blocks.11.` too.

# %% [markdown] tags=["exercise:freeze"]
# ## Write freeze
#
# `freeze(model, policy)` in `freeze.py`: it sets `requires_grad` of every parameter, and returns the names of those
# that learn, for the optimizer.

# %% [markdown]
# ## What to count
#
# Accuracy is the share of texts that are named rightly. It can look better than it is: if 95 of 100 messages are ham,
# then saying "ham" always is right 95 times, and finds no spam at all. So we also ask, of one class:
#
# - *precision* P: of the texts that were called spam, how many are?
# - *recall* R: of the spam, how much was called so?
# - $F_1 = 2PR / (P + R)$, their harmonic mean: near 0 if one of the two is, however good the other.
#
# By hand: true classes 0, 1, 2, 2, and 0, 1, 1, 2 is what was said. Accuracy 3/4. Class 2 was said once, rightly, so P
# = 1; there are two of it, so R = 1/2; F₁ = 1 / 1.5 = 2/3. The *confusion matrix* holds all of that: row, what it is;
# column, what it was taken for.

# %%
measures = mine("measures")
said = F.one_hot(torch.tensor([0, 1, 1, 2]), 3).float()
true = torch.tensor([0, 1, 2, 2])
print("accuracy", measures.accuracy(said, true), " F1 of class 2", round(measures.f1(said, true, 2), 3))
print(measures.confusion(said, true).tolist())

# %% [markdown] tags=["exercise:measures"]
# ## Write the measures
#
# `label_map`, `accuracy`, `confusion` and `f1` in `measures.py`. What should `f1` be for a class that never comes and
# is never said?

# %% [markdown]
# ## A run
#
# The data: first lines of short English conversations (the package chatterbot-corpus), with their topic. Every fourth
# text of a topic is held out; a text that comes twice is used once. First a small model reads all the *training* texts
# as a language model, so that it has something to give to a head.

# %%
TOPICS = ["ai", "coding", "psychology", "trivia"]
seen: dict[str, str] = {}
for document in dialogues():
    line = document.text.split("\n")[0].removeprefix("User: ")
    if document.metadata["topic"] in TOPICS:
        seen.setdefault(line.lower(), document.metadata["topic"])
sides: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
for topic in TOPICS:
    lines = [line for line, its in seen.items() if its == topic][:120]
    sides["test"] += [(line, topic) for line in lines[::4]]
    sides["train"] += [(line, topic) for number, line in enumerate(lines) if number % 4]
numbers = measures.label_map(TOPICS)
LONGEST = 48


def examples(side: str) -> Examples:
    """A zero byte, and the text's first bytes."""
    rows = [[0, *line.encode()][:LONGEST] for line, _ in sides[side]]
    return Examples.of(rows, [numbers[topic] for _, topic in sides[side]])


train, test = examples("train"), examples("test")
print({side: {topic: sum(its == topic for _, its in rows) for topic in TOPICS} for side, rows in sides.items()})
text = "\0" + "\0".join(line for line, _ in sides["train"]) + "\0"
stream = Tokens.of(np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint16), vocab_size=256)


def base_model():
    torch.manual_seed(12)
    fields = {"n_layers": 2, "d_model": 64, "n_heads": 2, "context_length": LONGEST, "dropout": 0.0}
    return build_model(fields, 256)


def go(model, batches, objective, names: list[str], rate: float, total: int) -> float:
    """Train the parameters of these names; the last loss."""
    optimizer = adamw([(name, model.get_parameter(name)) for name in names], lr=rate)
    schedule, loss = warmup_cosine(0.1, 0.1), 0.0
    for step in range(total):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule((step + 0.5) / total)
        loss, _ = train_step(model, batches(step), objective, optimizer)
    return loss


base = base_model()
reads = Loader(stream, LONGEST, 16 * LONGEST, seed=12).batch
everything = [name for name, _ in base.named_parameters()]
loss = go(base, reads, NextToken(), everything, 0.01, 1000 if is_long() else 250)
print(f"as a language model: {loss:.2f} nats a byte (5.55 is knowing nothing)")

# %% [markdown]
# Now the head goes on, and each policy gets the same number of steps, from the same base.

# %%
freeze = mine("freeze").freeze


def vectors(model, inputs, lengths):
    """What pool_last takes from a batch of texts."""
    place = Place.of(inputs)
    hidden, _, _ = model.trunk(model.embed(inputs, place), place)
    return parts.pool_last(hidden, lengths)


def objective(model, batch) -> Loss:
    found, row_of = batch.targets.max(1)  # IGNORE is below every class
    nats = F.cross_entropy(model.head(vectors(model, batch.inputs, row_of + 1)), found, reduction="sum")
    return Loss(nats, torch.tensor(len(found)), {})


@torch.no_grad()
def asked(model, of: Examples, read) -> torch.Tensor:
    """`read(vectors)` of every text, in the order of the texts."""
    model.eval()
    rows = torch.empty(0)
    for index, batch in in_order(of, LONGEST, 32):
        out = read(vectors(model, batch.inputs, of.lengths(LONGEST)[index]))
        rows = rows if len(rows) else torch.zeros(len(of), out.shape[1])
        rows[index] = out
    return rows


def few(step: int):
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(step))[:32].tolist()
    return [train.batch(chosen, LONGEST)]


logits = {}
for policy in ("head", "last_block", "all"):
    model = base_model()
    model.load_state_dict(base.state_dict())
    model.unembedding = parts.ClassifierHead(64, len(TOPICS))
    names = freeze(model, policy)
    count = sum(model.get_parameter(name).numel() for name in names)
    first = float(objective(model, few(0)[0]).value.detach()) / 32
    loss = go(model, few, objective, names, 0.01, 400 if is_long() else 100)
    logits[policy] = asked(model, test, model.head)
    right = {
        side: measures.accuracy(asked(model, of, model.head), of.labels)
        for side, of in (("train", train), ("test", test))
    }
    print(
        f"{policy:>10}: {count:6} numbers learn; loss {first:.2f} -> {loss:.2f}; "
        f"right: {right['train']:.0%} of training texts, {right['test']:.0%} of held-out ones"
    )
majority = float(test.labels.bincount().max()) / len(test)
print(f"    always the most frequent topic: {majority:.0%}")

# %% [markdown]
# Compare the two columns of percentages. What is right on training texts and wrong on others was learnt by heart. With
# few labels more of that happens the more may learn; whether the held-out texts gain too is what you have to measure.
#
# Who is taken for whom, for the last of the three (row: what it is), and the F₁ of each topic:

# %%
table = measures.confusion(logits["all"], test.labels)
print(shades(table.float() / table.sum(1, keepdim=True).clamp(min=1), TOPICS, TOPICS))
for topic, number in numbers.items():
    print(f"{topic:>13}  {table[number].tolist()}  F1 {measures.f1(logits['all'], test.labels, number):.2f}")

# %% [markdown]
# ## The plane, before and after
#
# The texts' vectors have 64 numbers each. Here are the two directions in which they vary most (their principal
# components), a letter for each held-out text: the first letter of its topic. Before, the base model; after, with all
# of it trained. What the head has to do is to part the letters by straight lines.


# %%
def plane(points: torch.Tensor, letters: str, width: int = 58, height: int = 14) -> str:
    """Points on the two directions in which they vary most, as letters."""
    centred = points - points.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    flat = centred @ directions[:2].T
    low, high = flat.quantile(0.02, 0), flat.quantile(0.98, 0)
    spot = ((flat - low) / (high - low)).clamp(0, 1)
    canvas = [[" "] * width for _ in range(height)]
    for (x, y), letter in zip(spot.tolist(), letters, strict=True):
        canvas[round(y * (height - 1))][round(x * (width - 1))] = letter
    return "\n".join("".join(row).rstrip() for row in canvas)


letters = "".join(topic[0] for _, topic in sides["test"])
print("before\n" + plane(asked(base, test, lambda x: x), letters))
print("after\n" + plane(asked(model, test, lambda x: x), letters))

# %% [markdown]
# ## Try
#
# Let `pool_last` return `hidden[:, 0]` and run the cell again. The first token is the zero byte in every text, so what
# can the head learn from it? Nothing but how frequent the topics are: the loss stays near that of the shares.
#
# ## What the field does today
#
# - Read: Howard and Ruder, *Universal language model fine-tuning for text classification* (2018, arXiv 1801.06146),
#   the paper that made this way common: pretrain, then thaw from the last layer on.
# - BERT (2018, arXiv 1810.04805) puts a token of its own in front of the text and reads that one, since there every
#   token sees all others.
# - Large chat models are mostly *asked* for the class in words. Where thousands of texts a second are to be sorted, a
#   small model with a head is cheaper by far, and its probabilities can be checked (`calibration` in
#   `evaluate/report.py`).
# - Between "head" and "all" stands LoRA: the next lesson.
#
# The shipped parts; `firsthand train recipes/genres.yaml` is a run of them on scenes of plays:

# %%
show("adapt/heads.py:pool_last")
show("adapt/heads.py:ClassifierHead")
show("evaluate/report.py:f1")
