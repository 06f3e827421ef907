# Causal mask, many heads. Run it as it stands: python lesson.py

# %% [markdown]
# # 5 · Causal mask, many heads
#
# A language model learns to guess the next token from those before it, at every place of a text at once. That only
# works if no place can look ahead: otherwise the answer stands in the input, the loss falls to almost nothing, and
# the model has learnt to copy. So a token reads itself and what came before: key j is visible to query i if j ≤ i.
#
# While text is written there is one query and many keys. The query then stands at place `offset + i`, and the rule is
# j ≤ offset + i.
#
# The second idea of this lesson: one softmax can point at one thing at a time. So the d_model channels are cut into
# n_heads equal parts of d_head = d_model / n_heads channels, and each part, a *head*, attends for itself. The heads
# stand side by side again, and one more linear map mixes them.
#
# $$y = W_{out} \, [\text{head}_1; \dots; \text{head}_h], \qquad
#   \text{head}_i = \text{attention}(W_q^{(i)} x, \; W_k^{(i)} x, \; W_v^{(i)} x)$$
#
# In shapes, for x (batch, time, d_model): query, key, value (batch, time, d_model); split (batch, n_heads, time,
# d_head); weights (batch, n_heads, time, time); merged (batch, time, d_model).

# %% [markdown]
# ## By hand
#
# Three tokens. Scores of the last one: 0.5, 0.2, 0.9: all three are visible. Scores of the middle one: 0.5, 0.2 and
# another 0.9, which is hidden:
#
# - exp: 1.65, 1.22 and exp(-inf) = 0, which add up to 2.87
# - weights: 0.57, 0.43 and 0
#
# The first token has only itself: its weights are 1, 0, 0, whatever its scores. This is a good thing to test: its
# output is its own value, mapped by out.

# %%
import torch

from firsthand.learn.page import is_long, mine, shades, show
from firsthand.types import Place

causal_mask = mine("causal_mask").causal_mask
print(shades(causal_mask(6, 6).float(), list("012345"), list("012345")))
print("one query at place 3, of 6 keys:", causal_mask(1, 6, 3).int().tolist()[0])

# %% [markdown]
# ## Heads are cut from channels, not from tokens
#
# A tensor (time, channels) lies in memory token after token. `view(n_heads, time, d_head)` has the right shape and
# cuts *across tokens*: head 0 would get the first tokens with all their channels. The right way is to cut the last
# axis, (time, n_heads, d_head), and then to swap the first two. Two tokens of four channels, two heads:

# %%
x = torch.tensor([[[0, 1, 2, 3], [10, 11, 12, 13]]])
parts = mine("causal_attention")
print("right:", parts.split_heads(x, 2)[0].tolist())
print("wrong:", x.view(1, 2, 2, 2)[0].tolist())

# %% [markdown] tags=["exercise:causal_mask"]
# ## Write the mask
#
# `causal_mask(query_length, key_length, offset=0)` in `mask.py`: bool (query_length, key_length), True = may read.

# %% [markdown] tags=["exercise:causal_attention"]
# ## Write the heads
#
# `split_heads`, `merge_heads` and `CausalSelfAttention` in `attention.py`. What is given there: the state with which
# text is written (it remembers all inputs and starts over at every step; a later lesson puts a cache in its place),
# and `same_document(place)`, because rows are packed with several texts, which must not see each other.

# %% [markdown]
# ## What can be seen without training
#
# Maps of weights from a new model, one for each head, on a line of a play: all random, and all of them lower
# triangles. The weights are read off as lesson 4 did it: with values that are unit vectors, the output is the
# weights.

# %%
torch.manual_seed(5)
line = "To be, or not"
time, n_heads, d_head = len(line), 2, 16
attention = parts.CausalSelfAttention(n_heads * d_head, n_heads)
table = torch.randn(256, n_heads * d_head)
embedded = table[torch.tensor(list(line.encode()))]
with torch.no_grad():
    embedded[:, :time] = torch.eye(time)  # each place has a channel of its own, which becomes its value
    attention.query.weight.mul_(4)
    attention.value.weight.zero_()
    attention.out.weight.copy_(torch.eye(n_heads * d_head))
    for head in range(n_heads):
        attention.value.weight[head * d_head : head * d_head + time, :time] = torch.eye(time)
    y, _ = attention(embedded.unsqueeze(0), Place(torch.arange(time).unsqueeze(0)))
for head in range(n_heads):
    print(f"head {head}")
    print(shades(y[0, :, head * d_head : head * d_head + time], list(line), list(line)))

# %% [markdown]
# ## Heads learn different things
#
# A task that takes two heads: at each place, tell the token one back and the token two back. One layer, no more, with
# a marker of the place in the input. Loss after a few hundred steps, for one head and two, in the same number of
# weights:


# %%
def solve(n_heads: int, steps: int) -> float:
    """The last loss, in nats; guessing gives 2 ln 8 = 4.16."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    kinds, length, width = 8, 12, 32
    embed, places = torch.nn.Embedding(kinds, width), torch.nn.Embedding(length, width)
    layer = parts.CausalSelfAttention(width, n_heads)
    head = torch.nn.Linear(width, 2 * kinds)
    model = torch.nn.ModuleList([embed, places, layer, head])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    index = torch.arange(length).unsqueeze(0)
    for _ in range(steps):
        ids = torch.randint(kinds, (32, length), generator=generator)
        mixed, _ = layer(embed(ids) + places(index), Place(index))
        one, two = head(mixed).chunk(2, dim=-1)
        losses = [(one[:, 2:], ids[:, 1:-1]), (two[:, 2:], ids[:, :-2])]
        loss = sum(torch.nn.functional.cross_entropy(a.flatten(0, 1), b.flatten()) for a, b in losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


steps = 1500 if is_long() else 400
for n_heads in (1, 2):
    print(f"{n_heads} head{'s' * (n_heads > 1)}: {solve(n_heads, steps):.2f} nats of {2 * 2.079:.2f}")

# %% [markdown] tags=["break:no_mask"]
# ## Break it
#
# `firsthand learn break causal_attention no_mask` trains a small model without a mask beside the right one. Predict:
# which of the two has the lower training loss at the end, and which writes the better text? Then explain why one
# number can be excellent and the model worthless.

# %% [markdown]
# ## What the field does today
#
# - Read: Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.2, multi-head attention, and 3.2.3, where decoders are
#   masked.
# - Keys and values are shared by groups of query heads (GQA, Ainslie et al. 2023, arXiv 2305.13245), because while
#   text is written they are what has to be kept in memory. The shipped part has `n_kv_heads` for it.
# - Some layers see only a window of the last tokens (Mistral 7B, arXiv 2310.06825): the same mask, with a second
#   bound.
# - The mask is hardly ever made: the kernels know that order is meant and skip what is hidden, which halves the work.
#
# Your class enters a real run as `model.mixer=attention.py:CausalSelfAttention`. The shipped one:

# %%
show("model/mixers/attention.py:CausalSelfAttention")
