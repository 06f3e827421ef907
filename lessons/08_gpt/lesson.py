# The model and its loss. Run it as it stands: python lesson.py

# %% [markdown]
# # 8 · The model and its loss
#
# All parts are there. A language model is three steps:
#
# - **embed**: each id becomes a row of a table, and learns where it stands. (batch, time) to (batch, time, d_model).
# - **trunk**: block after block adds to the stream. The shape stays.
# - **head**: a last norm, and for each id of the vocabulary one number, its *logit*. (batch, time, vocab_size).
#
# $$\text{logits} = \text{norm}(x) \, E^{\top}$$
#
# E is the table of the embedding itself: *tied*, one matrix says what an id means on the way in, and on the way out how
# well the stream fits each id. Then there is no second matrix of vocab_size rows to learn; in small models with
# vocabularies of thousands it would be the largest part.
#
# Then you count it, measure what it knows before it has learnt anything, and let it learn one batch by heart: three
# tests that find most mistakes before a long run does.

# %% [markdown]
# ## By hand
#
# Three ids with the rows a = (1, 0), b = (0, 1), c = (1, 1), and a stream that ends as x = (2, 0) after the norm. The
# logits are the dot products: 2, 0 and 2. As exp they are 7.39, 1 and 7.39, which add up to 15.78, so the probabilities
# are 0.47, 0.06 and 0.47. If b comes next, the *surprise* is -ln 0.06 = 2.76 nats; if a comes, 0.76.
#
# The loss is this surprise, added up over all places, where place t of the logits is asked about token t + 1:
#
# $$L = \sum_t -\ln \text{softmax}(\text{logits}_t)_{\text{target}_t}$$
#
# Nothing is shifted in the loss: lesson 3 has shifted the targets. Two ways to compute -ln softmax fail: exp(1000) is
# infinite, and the probability of an id far below the others is 0, whose logarithm is minus infinity. Taking the
# largest logit off first cures the one, and staying with logarithms (x - logsumexp) the other.

# %%
import math
import unicodedata

import torch

from firsthand.learn.page import SHADES, is_long, mine, show
from firsthand.model.positions.learned import LearnedPosition
from firsthand.text import corpora

cross_entropy = mine("loss").cross_entropy
logits = torch.tensor([[2.0, 0.0, 2.0]])
for name, target in (("a", 0), ("b", 1)):
    total, count = cross_entropy(logits, torch.tensor([target]))
    print(f"if {name} comes: {total.item():.2f} nats, {int(count)} target")

# %% [markdown] tags=["exercise:loss"]
# ## Write the loss
#
# `cross_entropy(logits, targets, ignore_index=-100)` in `loss.py` returns a *sum* and a *count*. Targets of -100 are
# left out of both: prompts and padding teach nothing. Why no mean? A batch too large for memory is computed in
# pieces; sums and counts add up, means of pieces with 10 and 90 targets do not.

# %% [markdown] tags=["exercise:gpt"]
# ## Write the model
#
# `LanguageModel` in `gpt.py`: embed, trunk, head, and forward, which calls the three. They are apart because training
# calls forward, while writing keeps the states of the blocks and calls the parts, token by token.

# %% [markdown]
# ## Weights to begin with
#
# If a new model is to be as unsure as a fair die, its logits have to be near 0, so its weights are small: GPT-2 takes
# normal numbers of deviation 0.02. And one thing more: with n blocks the stream is a sum of 2n answers. A sum of 2n
# independent numbers is √(2n) times as large as one of them, so whatever *writes into the stream* (out of a mixer,
# down of an ffn) begins smaller by that factor.

# %% [markdown] tags=["exercise:initialize"]
# ## Write the start
#
# `gpt2(model, std=0.02)` in `initialize.py`. The names of the modules tell who writes into the stream.

# %%
LAYERS, D_MODEL, CONTEXT, VOCAB = 2, 64, 32, 256
parts = {name: mine(name) for name in ("gpt", "initialize", "block", "norms", "feed_forward", "causal_attention")}


def model(n_layers: int = LAYERS, std: float = 0.02, seed: int = 8):
    """A new model of your parts, over the 256 bytes."""
    torch.manual_seed(seed)
    norm = parts["norms"].RMSNorm
    blocks = [
        parts["block"].Block(
            parts["causal_attention"].CausalSelfAttention(D_MODEL, 4),
            parts["feed_forward"].MLP(D_MODEL, 4 * D_MODEL),
            norm(D_MODEL),
            norm(D_MODEL),
        )
        for _ in range(n_layers)
    ]
    made = parts["gpt"].LanguageModel(
        blocks, VOCAB, D_MODEL, CONTEXT, LearnedPosition(CONTEXT, D_MODEL), norm(D_MODEL), tied=True
    )
    parts["initialize"].gpt2(made, std)
    return made


# %% [markdown] tags=["exercise:count"]
# ## Count it
#
# `count_parameters(model)` in `count.py`, by part. By hand for d_model = 64, d_ff = 256, two layers: a mixer has 4 ·
# 64² = 16384 numbers, an ffn 2 · 64 · 256 = 32768, the embedding 256 · 64 = 16384.

# %%
count_parameters = mine("count").count_parameters
found = count_parameters(model())
whole = sum(found.values())


def work_of(found: dict[str, int]) -> dict[str, int]:
    """Operations a token in the matrices of each part."""
    return {part: 6 * found[part] for part in ("mixers", "ffns")} | {"head": 6 * VOCAB * D_MODEL}


work = work_of(found)
print(f"{whole:,} parameters, and their shares · operations a token in their matrices, and their shares")
for part, n in found.items():
    share, busy = "█" * round(30 * n / whole), work.get(part, 0)
    print(f"{part:>10} {n:7,} {share:18} {busy:8,} {'▒' * round(30 * busy / sum(work.values()))}")
for n_layers in (2, 12):
    found = count_parameters(model(n_layers))
    n, busy = sum(found.values()), sum(work_of(found).values()) / 1e6
    print(f"{n_layers:2} layers: {n:9,} parameters, {busy:5.1f} million operations a token in matrices")

# %% [markdown]
# The operations of one token, forward and backward, are about six times the parameters of all matrices, the head's
# included: two operations a weight forward, and twice as many backward. The embedding costs none, as a row is looked
# up; but tied, the same numbers work as the head. What attention does beside its matrices comes on top.
#
# ## What does it know before it has learnt?
#
# Nothing; so it should give each of V ids about the same probability, and its loss should be about ln V. For 256 bytes
# that is 5.55. Far above it, the model is *sure* of nonsense; then the first hundred steps go into unlearning that.

# %%
play = unicodedata.normalize("NFC", next(text.text for text in corpora.shakespeare() if text.name == "hamlet"))
start = max(play.find("To be, or not to be"), 0)
data = torch.tensor(list(play[start : start + 4000].encode()))
rows = torch.stack([data[i * CONTEXT : (i + 1) * CONTEXT + 1] for i in range(8)])
inputs, targets = rows[:, :-1], rows[:, 1:]


def loss_of(one) -> torch.Tensor:
    """Nats per token on the batch."""
    total, count = cross_entropy(one(inputs), targets)
    return total / count


print(f"ln {VOCAB} = {math.log(VOCAB):.2f}")
for std in (0.02, 0.2, 1.0):
    with torch.no_grad():
        print(f"first loss with std = {std:4}: {loss_of(model(std=std)).item():6.2f}")

# %% [markdown]
# ## One batch by heart
#
# The second test: a model that cannot learn 8 rows of 32 bytes by heart will not learn a library. The loss of one
# batch, step after step, has to fall below 0.1. If it stays at some value, look for a cut gradient; if it stays at ln
# V, for targets that do not belong to their inputs; if it falls to 0 in ten steps, for a mask that shows the answer.

# %%
learner = model()
optimizer = torch.optim.AdamW(learner.parameters(), lr=3e-3)
steps, before = 400 if is_long() else 150, None
for step in range(steps + 1):
    loss = loss_of(learner)
    if step % (steps // 10) == 0:
        print(f"step {step:3}  {loss.item():5.2f}  {'█' * round(8 * loss.item())}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% [markdown]
# ## Surprise, letter by letter
#
# The same model on a line that it knows by heart, and on one that it has never seen. Under each letter: how
# surprising it was, from blank (not at all) to full (8 nats and more).


# %%
def surprises(line: str) -> list[float]:
    """Nats of each byte after the first."""
    ids = torch.tensor([list(line.encode())])
    with torch.no_grad():
        out = learner(ids[:, :-1])[0]
    return [cross_entropy(row, target)[0].item() for row, target in zip(out, ids[0, 1:], strict=True)]


known = bytes(rows[1, :CONTEXT].tolist()).decode(errors="replace")
for line in (known[:CONTEXT], "A rose by any other name, they s"):
    nats = surprises(line)
    shown = line.replace("\n", " ")
    print(
        f"{shown}\n {''.join(SHADES[min(4, round(one / 2))] for one in nats)}   {sum(nats) / len(nats):.2f} nats each"
    )

# %% [markdown] tags=["exercise:surprise"]
# ## Two ways to say it
#
# *Perplexity* is e to the power of the loss: among how many equally likely tokens one would be as unsure. It depends
# on what a token is, so it compares models of one tokenizer only. *Bits per byte* turns the surprise of a whole text
# into bits (a bit is ln 2 nats) and divides by its length in bytes, which no tokenizer changes. Bytes, not letters:
# "é" is two bytes. `perplexity(nats_per_token)` and `bits_per_byte(nats, n_bytes)` in `surprise.py`.

# %%
measures = mine("surprise")
for line in (known[:CONTEXT], "A rose by any other name, they s"):
    nats = surprises(line)
    bits = measures.bits_per_byte(sum(nats), len(line.encode()) - 1)
    print(f"perplexity {measures.perplexity(sum(nats) / len(nats)):8.1f}   bits per byte {bits:5.2f}   {line!r}")
print("é:", len("é"), "letter,", len("é".encode()), "bytes")

# %% [markdown]
# 8 bits per byte is what knowing nothing costs. A model that has learnt one batch by heart pays next to nothing
# there, and on other text about as much as if it had learnt nothing: that is why the next lesson measures on text
# that was kept away.

# %% [markdown] tags=["break:init_std_one"]
# ## Break it
#
# `firsthand learn break initialize init_std_one` trains a small model whose weights begin with deviation 1, beside the
# right one. You have seen its first loss. Predict the last: will the run make up for it?

# %% [markdown]
# ## What the field does today
#
# - Read: Radford et al. 2019, *Language Models are Unsupervised Multitask Learners* (GPT-2), section 2.3: one paragraph
#   says all that changed in the model. Tying is from Press and Wolf 2016 (arXiv 1608.05859).
# - Large models are untied: with d_model of thousands the head is a small part, and two matrices do better than one.
# - The logits of 100,000 ids for a long batch fill more memory than the model. Nobody holds them all: the head and the
#   loss are computed a few rows at a time (`ops/cross_entropy/chunked.py`; Wijmans et al. 2024, arXiv 2411.09009).
# - Scores by bits per byte go back to Shannon 1951, who let people guess the next letter: about one bit a letter.
#
# The shipped model does a little more (dropout, a cap on logits, recomputing to save memory). Its head and trunk:

# %%
show("model/language_model.py:LanguageModel")
show("ops/cross_entropy/reference.py:cross_entropy")
show("model/initialize.py:gpt2")
