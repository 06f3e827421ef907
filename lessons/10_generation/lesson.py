# Sampling and the cache. Run it as it stands: python lesson.py

# %% [markdown]
# # 10 · Sampling and the cache
#
# A trained model turns a text into scores for the next token, and nothing else. Three things make a writer of it: a
# way to choose one token from the scores, a loop that puts the token behind the text and asks again, and a memory, so
# that the loop does not compute the same things over and over.
#
# ## Choosing
#
# The scores z (logits) of the V tokens of the vocabulary become probabilities by a softmax, with a temperature T:
#
# $$p_i = \frac{\exp(z_i / T)}{\sum_j \exp(z_j / T)}$$
#
# T = 1 is the model as it was trained. Smaller T makes the probable more probable; as T goes to 0 the largest takes
# all, which is why temperature 0 means "the most probable token". Larger T makes all more equal.
#
# A model gives a little probability to each of very many tokens that make no sense. Each comes seldom; one of them
# comes often, and the text that follows has to live with it. So the tail is cut off before the draw:
#
# - **top_k** keeps the k most probable tokens, wherever in the text.
# - **top_p** keeps the smallest set of the most probable tokens that together have at least p. Where the model is sure
#   this is one token, where it is not it may be hundreds.
#
# What is cut gets the score minus infinity, because exp(-inf) = 0. The order matters: temperature, top_k, top_p, each
# on what the one before has left.

# %% [markdown]
# ## By hand
#
# Four tokens with probabilities 0.5, 0.3, 0.15, 0.05.
#
# - Temperature 2 takes square roots: 0.71, 0.55, 0.39, 0.22; divided by their sum 1.87: 0.38, 0.29, 0.21, 0.12.
# - top_k = 3 leaves 0.5, 0.3, 0.15, which are 0.526, 0.316, 0.158 of their sum.
# - top_p = 0.6 on these: before the second stands 0.526, less than 0.6, so it stays; before the third stands 0.842, so
#   it goes. What is drawn from is 0.625 and 0.375.

# %%
import time
from functools import partial

import torch
from torch import nn

from firsthand.learn.page import is_long, mine, show
from firsthand.model.block import Block
from firsthand.model.ffns.mlp import MLP
from firsthand.model.language_model import LanguageModel
from firsthand.model.norms import RMSNorm
from firsthand.model.positions.rope import Rope
from firsthand.text.corpora import shakespeare
from firsthand.types import Place

sample = mine("sampling").sample
logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(20000, 1)
generator = torch.Generator().manual_seed(10)
for settings in ({}, {"temperature": 2.0}, {"top_k": 3}, {"top_k": 3, "top_p": 0.6}, {"temperature": 0}):
    counts = torch.bincount(sample(logits, generator=generator, **settings), minlength=4) / len(logits)
    print(f"{settings!s:28}", "  ".join(f"{share:.2f}" for share in counts.tolist()))

# %% [markdown] tags=["exercise:sampling"]
# ## Write the choice
#
# `sample(logits, temperature, top_k, top_p, generator)` in `sampling.py`: (batch, vocab_size) to (batch,). Every row is
# filtered for itself. The generator is what makes a text repeatable.
#
# Before you begin: you sort to find the nucleus. How do you get from the sorted places back to ids?

# %% [markdown] tags=["exercise:generate"]
# ## Write the loop
#
# `generate(model, ids, max_new_tokens, sample, stop)` in `generation.py`. The model gives scores after *every* token it
# has read, (batch, time, vocab_size); only those after the last are about something new. Mind the ends: a text longer
# than the context, rows that stop early, a model that was in training mode.

# %% [markdown]
# ## Never compute again what has not changed
#
# To write token t the loop reads t tokens, so n tokens cost 1 + 2 + ... + n ≈ n²/2 readings. But attention lets a
# token look back only. Keys and values of old tokens therefore never change when new ones come: keep them.
#
# A layer's cache holds keys and values (batch, n_kv_heads, length, d_head). In a step x has one token, (batch, 1,
# d_model):
#
# 1. query, key, value of the new token alone; query and key turned by *its own* place, `place.index`;
# 2. key and value go to the next free slot;
# 3. the query looks at all slots that are filled. Query i of a piece stands at offset + i with offset = total - time,
#    which is the third argument of `causal_mask`.
#
# Trace: room for 4. A prompt of 2 tokens fills `k0 k1 · ·`, length 2, and its mask is the small triangle. The third
# token: `k0 k1 k2 ·`, one query, offset 2, reads slots 0, 1, 2. n tokens cost n readings.
#
# The cache is what limits how many people a server can talk to: 2 · n_layers · n_kv_heads · d_head numbers a token.
# That is why heads of queries share heads of keys in groups (n_kv_heads < n_heads).

# %% [markdown] tags=["exercise:kv_cache"]
# ## Write the memory
#
# `KVCache.append`, and `CausalSelfAttention` with `initial_state`, `state_size` and `forward(x, place, state)` in
# `cache.py`. What must hold is one sentence: *read in pieces, whatever the pieces, the outputs are those of the whole*.
# The rest of the checks is there to tell you where it breaks.

# %% [markdown]
# ## A small model to write with
#
# Two layers of your attention, trained for a short while on Shakespeare's comedies, a byte a token. It will not be
# good: words will look like words, no more.

# %%
parts = mine("kv_cache")
CONTEXT, D_MODEL, VOCAB = 256, 64, 128


def make() -> LanguageModel:
    torch.manual_seed(10)
    rope = Rope(16, context_length=CONTEXT)
    blocks = [
        Block(
            parts.CausalSelfAttention(D_MODEL, 4, n_kv_heads=2, position=rope),
            MLP(D_MODEL, 4 * D_MODEL),
            RMSNorm(D_MODEL),
            RMSNorm(D_MODEL),
        )
        for _ in range(2)
    ]
    return LanguageModel(blocks, VOCAB, D_MODEL, CONTEXT, rope, RMSNorm(D_MODEL), tied=False)


plays = "".join(play.text for play in shakespeare() if play.metadata["genre"] == "comedies")
stream = torch.tensor(list(plays.encode("ascii", "ignore")))


def train(model: nn.Module, steps: int) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    generator, loss = torch.Generator().manual_seed(0), torch.zeros(())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 20) * (1 - step / steps)
        starts = torch.randint(len(stream) - 65, (12, 1), generator=generator)
        rows = stream[starts + torch.arange(65)]
        loss = nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


model = make()
loss = train(model, 2500 if is_long() else 350)
print(f"loss {loss:.2f} nats a byte; guessing blindly is {torch.tensor(float(VOCAB)).log():.2f}")

# %% [markdown]
# ## A picture of a choice
#
# What comes after "ROSALIN"? And after "the "? The bars are the model's probabilities, whole and with top_p = 0.7.
# The surer the model, the fewer tokens are in the nucleus; top_k would keep the same number in both places.


# %%
def ids_of(text: str) -> torch.Tensor:
    return torch.tensor([list(text.encode())])


def bars(prompt: str, **settings: float) -> None:
    with torch.no_grad():
        scores = model(ids_of(prompt))[:, -1]
    drawn = sample(scores.repeat(2000, 1), generator=torch.Generator().manual_seed(1), **settings)
    shares = torch.bincount(drawn, minlength=VOCAB) / len(drawn)
    best = shares.topk(6)
    print(f"{prompt!r}, {settings}: {int((shares > 0).sum())} different tokens came")
    for share, id in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        if share:
            print(f"  {chr(id)!r:5} {'█' * round(40 * share)} {share:.2f}")


for prompt in ("**ROSALIN", "the "):
    bars(prompt, temperature=1.0)
    bars(prompt, temperature=1.0, top_p=0.7)

# %% [markdown]
# ## What it writes
#
# The same model, the same seed, other settings: from cautious to wild.

# %%
generate = mine("generate").generate
for settings in ({"temperature": 0}, {"temperature": 0.8, "top_p": 0.9}, {"temperature": 1.6}):
    chooser = partial(sample, generator=torch.Generator().manual_seed(3), **settings)
    written = generate(model, ids_of("ROSALIND"), 90, chooser)
    print(settings, repr(bytes(written[0].tolist()).decode()), "\n")

# %% [markdown]
# ## With and without the memory
#
# The same greedy text both ways. First that it *is* the same, then how many tokens went through the layers, then the
# time. The time depends on your machine, and for short texts a small model is so quick that the loop itself costs
# most; the count does not.


# %%
@torch.no_grad()
def cached(model: LanguageModel, ids: torch.Tensor, count: int) -> tuple[torch.Tensor, int]:
    """The greedy text, and how many tokens were read for it."""
    model.eval()
    states, new, read = model.initial_states(1, ids.shape[1] + count), ids, 0
    for _ in range(count):
        place = Place.of(new, ids.shape[1] - new.shape[1])
        x, states, _ = model.trunk(model.embed(new, place), place, states)
        read += new.shape[1]
        new = model.head(x[:, -1]).argmax(-1, keepdim=True)
        ids = torch.cat((ids, new), 1)
    return ids, read


def greedy(scores: torch.Tensor) -> torch.Tensor:
    return scores.argmax(-1)


prompt = ids_of("ROSALIND")
print("new tokens   read without   with   seconds without    with")
for count in (16, 64, 240):
    before = time.perf_counter()
    slow = generate(model, prompt, count, greedy)
    between = time.perf_counter()
    fast, read = cached(model, prompt, count)
    after = time.perf_counter()
    assert torch.equal(slow, fast), "read in pieces, the text is another one"
    again = sum(range(prompt.shape[1], prompt.shape[1] + count))
    print(f"{count:10} {again:14} {read:6} {between - before:17.3f} {after - between:7.3f}")

# %% [markdown] tags=["break:position_restarts"]
# ## Break it
#
# `firsthand learn break kv_cache position_restarts`: every piece is turned as if it began at place 0. In training the
# piece is the whole text, so nothing changes there. Predict: what does the loss do? What do the samples do? Below is
# the same slip done from the outside, on the model you have: it is told place 0 in every step.

# %%
with torch.no_grad():
    states, new, wrong = model.initial_states(1, 100), prompt, prompt
    for _ in range(60):
        place = Place.of(new)  # begins at 0, always
        x, states, _ = model.trunk(model.embed(new, place), place, states)
        new = model.head(x[:, -1]).argmax(-1, keepdim=True)
        wrong = torch.cat((wrong, new), 1)
right = cached(model, prompt, 60)[0]
for name, ids in (("right", right), ("restarts", wrong)):
    print(f"{name:9}", repr(bytes(ids[0].tolist()).decode()))
print("equal letters after the prompt:", int((right == wrong)[0, prompt.shape[1] :].sum()), "of 60")

# %% [markdown]
# The first new letter is right: the prompt was read at its own places. From then on every key stands at the same place
# as its query, so the model no longer knows how far back anything is.

# %% [markdown]
# ## What the field does today
#
# - Read: Holtzman et al. 2020, *The curious case of neural text degeneration* (arXiv 1904.09751), section 3: why the
#   most probable text is dull and repeats itself, and why the tail has to go. It is where top_p comes from.
# - min_p keeps tokens at least so many times as probable as the best one (arXiv 2407.01082). Speculative decoding lets
#   a small model propose several tokens and a large one judge them all at once, without changing the distribution
#   (arXiv 2211.17192).
# - Caches are made smaller: fewer heads (GQA, arXiv 2305.13245), a compressed latent in place of keys and values
#   (DeepSeek-V2's MLA, arXiv 2405.04434), a window of the last tokens, 8 bits a number. Servers cut them into pages, as
#   an operating system does memory (vLLM, arXiv 2309.06180).
#
# Your attention enters a real run as `model.mixer=cache.py:CausalSelfAttention`, and `firsthand generate` then writes
# with your cache. The shipped loop without a cache, and the shipped sampler:

# %%
show("generate/reference.py:generate")
show("generate/sampling.py:sample")
