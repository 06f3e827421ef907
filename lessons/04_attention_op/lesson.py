# Query, key, value. Run it as it stands: python lesson.py

# %% [markdown]
# # 4 · Query, key, value
#
# A dictionary answers a question with the one entry whose key is equal to it. Attention is a dictionary that answers
# with a *mixture* of all entries, more of those whose keys fit the question well. Because a mixture changes smoothly
# when the question changes, it can be learnt by gradients.
#
# Each of the n questions (queries) is a vector of d_head numbers, and so is each of the m keys. How well query i fits
# key j is their dot product. A softmax over j turns the m scores into weights that add up to 1, and the answer is the
# weighted sum of the values:
#
# $$\text{out}_i = \sum_j w_{ij} \, v_j, \qquad
#   w_{ij} = \frac{\exp(q_i \cdot k_j / \sqrt{d_{head}})}{\sum_{j'} \exp(q_i \cdot k_{j'} / \sqrt{d_{head}})}$$
#
# In shapes: query (n, d_head) times keys transposed (d_head, m) gives scores (n, m); the softmax keeps (n, m); times
# values (m, d_value) gives (n, d_value). Axes in front, such as batch and heads, are carried along.

# %% [markdown]
# ## By hand
#
# One query, two keys, d_head = 2. The query is (1, 0), the keys are (1, 0) and (0, 1), the values 10 and 20.
#
# - dot products: 1 and 0
# - divided by the root of 2: 0.71 and 0
# - exp: 2.03 and 1, which add up to 3.03
# - weights: 0.67 and 0.33
# - answer: 0.67 · 10 + 0.33 · 20 = 13.3
#
# The next cell computes the same.

# %%
import torch

from firsthand.learn.page import mine, shades, show

attention = mine("attention_op").attention
query, key = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
value, everything = torch.tensor([[10.0], [20.0]]), torch.ones(1, 2, dtype=torch.bool)
print(f"the answer: {attention(query, key, value, everything).item():.2f}")

# %% [markdown]
# ## Why the root
#
# If the numbers in q and k have mean 0 and variance 1, each product has variance 1, and a sum of d_head of them has
# variance d_head. So the scores of wide heads are large only because they are wide, and a softmax of large scores gives
# nearly all weight to one key: its gradient is nearly 0, and nothing is learnt. Dividing by the root of d_head sets the
# variance back to 1.
#
# The effective number of keys that a query reads (exp of the entropy of its weights) shows it. Of 16 keys:

# %%
torch.manual_seed(4)
print("d_head   with the root   without")
for d_head in (4, 16, 64, 256):
    q, k = torch.randn(200, d_head), torch.randn(16, d_head)
    eye, everything = torch.eye(16), torch.ones(200, 16, dtype=torch.bool)
    read = []
    for factor in (1.0, d_head**0.5):
        w = attention(q * factor, k, eye, everything).clamp(min=1e-30)
        read.append(float((-(w * w.log()).sum(-1)).exp().mean()))
    print(f"{d_head:6}   {read[0]:13.1f}   {read[1]:7.1f}")

# %% [markdown]
# ## A picture of a lookup
#
# With the identity as values the answer *is* the weights. Here are 6 queries, each a noisy copy of one of 6 keys, so
# the diagonal should be dark. The second picture hides every key but the first three.

# %%
words = ["the", "cat", "sat", "on", "a", "mat"]
key = torch.randn(6, 16)
query, eye = 0.6 * key + 0.6 * torch.randn(6, 16), torch.eye(6)
visible = torch.ones(6, 6, dtype=torch.bool)
print(shades(attention(query, key, eye, visible), words, words))
visible[:, 3:] = False
print(shades(attention(query, key, eye, visible), words, words))

# %% [markdown]
# ## Hidden keys
#
# `visible` says which query may read which key. What is hidden must get the weight 0, and the others must share 1 among
# them. So the mask has to act on the scores, *before* the softmax: exp(-inf) is 0. Two corners to think about:
#
# - exp(1000) is too large for any float. Subtracting the largest score of the row from all of them changes nothing in
#   the weights, and leaves exp with numbers from 0 to 1.
# - A query that may read nothing has only scores of -inf. 0 divided by 0 is nan, and one nan spreads through a whole
#   model. Here such a query gets zeros.

# %% [markdown] tags=["exercise:attention_op"]
# ## Write it
#
# `attention(query, key, value, visible)` in `lookup.py`: (..., n, d_head), (..., m, d_head), (..., m, d_value), bool
# (..., n, m) to (..., n, d_value). Then `firsthand learn check`.
#
# Before you begin: what should come out where all scores of a row are equal? Where only one key is visible?

# %% [markdown] tags=["break:no_scale"]
# ## Break it
#
# `firsthand learn break attention_op no_scale` trains a small model whose scores are not divided by the root. Predict
# first: will its loss be much worse, a little worse, or the same? The weights of a new model are small, so its scores
# are small too. When would the missing root hurt most?

# %% [markdown]
# ## What the field does today
#
# - The formula is that of Vaswani et al., *Attention is all you need* (2017, arXiv 1706.03762), section 3.2.1: read it
#   next; it is one page.
# - Nobody writes the scores to memory any more: FlashAttention (Dao et al. 2022, arXiv 2205.14135) computes the same in
#   tiles, with a running maximum and sum for the softmax. `ops/attention/sdpa.py` calls torch's version of it.
# - Some models squeeze the scores (Gemma 2), set queries and keys to unit length first (Qwen3), or let a head look at
#   nothing by a score without a value (gpt-oss). The shipped function has the first and the last as options:

# %%
show("ops/attention/reference.py:attention")
