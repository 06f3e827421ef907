# Order. Run it as it stands: python lesson.py

# %% [markdown]
# # 6 · Order
#
# *Dog bites man* and *man bites dog* are made of the same words. Attention, as you have written it, cannot tell one
# from the other: the score of a query and a key is their dot product, and nothing in it says where they stand. Put the
# past of a token in another order, and its output is the same sum with its terms in another order. A layer of attention
# reads a *bag* of words.
#
# So the place has to be put in. There are two ways:
#
# 1. **Absolute**: each place has a vector, which is added to the token, once, before the first layer.
# 2. **Rotary**: queries and keys are turned by an angle that grows with their place. Then the score depends on how
#    far apart they stand.

# %%
import math

import torch
from torch.nn import functional as F

from firsthand.data.packing import get_batch, split
from firsthand.learn.page import is_long, mine, shades, show
from firsthand.model import Position
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.positions.none import NoPosition
from firsthand.text.plays import printed_play
from firsthand.text.sources import read
from firsthand.types import Place

torch.manual_seed(6)
layer = CausalSelfAttention(16, 2)
words = {word: torch.randn(16) for word in ("dog", "bites", "man", ".")}
with torch.no_grad():
    for text in ("dog bites man .", "man bites dog ."):
        x = torch.stack([words[word] for word in text.split()]).unsqueeze(0)
        y, _ = layer(x, Place(torch.arange(4).unsqueeze(0)))
        print(f"{text}   the last token's output: {' '.join(f'{v:6.3f}' for v in y[0, -1, :6].tolist())}")

# %% [markdown]
# ## A vector for each place
#
# The simplest table is learnt: `context_length` rows of d_model numbers, drawn small, trained like everything else.
# That is GPT-2. It has one drawback: there is no row for a place beyond the table, and rows that training hardly met
# are noise.
#
# The first Transformer took waves instead, which need no training. Columns come in pairs, and pair i has the frequency
# $\omega_i = 10000^{-2i/d_{model}}$:
#
# $$P_{n, 2i} = \sin(n \, \omega_i), \qquad P_{n, 2i+1} = \cos(n \, \omega_i)$$
#
# It is a clock with many hands. The first pair turns by 1 radian a token and comes round after 6 tokens; it tells
# neighbours apart, but not token 1 from token 7. The last pair turns nearly ten thousand times slower: it tells the
# beginning from the end. By hand for d_model = 4, place 1: the frequencies are 1 and 10000^(-2/4) = 0.01, so the row
# is sin 1, cos 1, sin 0.01, cos 0.01 = 0.84, 0.54, 0.01, 1.00.
#
# In shapes: table (context_length, d_model); index (rows, time), the places; table[index] (rows, time, d_model);
# added to x (batch, time, d_model).

# %%
absolute = mine("absolute")
row = absolute.SinusoidalPosition(2, 4).embed(torch.zeros(1, 1, 4), torch.tensor([[1]]))
print("100 · the waves of place 1 for d_model = 4:", (100 * row[0, 0]).round().int().tolist())
table = absolute.SinusoidalPosition(24, 16).embed(torch.zeros(1, 24, 16), torch.arange(24).unsqueeze(0))[0]
print("24 places down, 16 columns across; light is -1, dark is 1")
print(shades((table + 1).tolist(), [str(n) for n in range(24)]))

# %% [markdown] tags=["exercise:absolute"]
# ## Write it
#
# `SinusoidalPosition(context_length, d_model)` and `LearnedPosition(context_length, d_model)` in `absolute.py`, each
# with `embed(x, index)`. Note the index: tokens do not always begin at place 0. While text is written, one token
# comes at a time, and it stands behind all the others.

# %% [markdown]
# ## Turning instead of adding
#
# What matters in a sentence is mostly *how far back* something stands, not at which place of the window. Can the score
# of query and key be made to depend on their distance?
#
# Take two channels of a head as a point (a, b) in the plane. Turned by the angle φ it is
#
# $$(a \cos φ - b \sin φ, \;\; a \sin φ + b \cos φ)$$
#
# Now turn the query at place m by $m \, \omega$ and the key at place n by $n \, \omega$. A dot product depends on the
# two lengths, which turning keeps, and on the angle *between* the points, which has grown by $(m - n) \, \omega$. The
# places themselves cancel; only the distance is left. That is RoPE:
#
# $$\langle R_{m ω} \, q, \; R_{n ω} \, k \rangle = \langle R_{(m-n) ω} \, q, \; k \rangle$$
#
# A head of d_head channels has d_head / 2 such pairs, channels (0, 1), (2, 3), ..., and pair i turns with
# $\omega_i = \theta^{-2i/d_{head}}$, where theta is 10000 unless somebody says otherwise. The same clock as before, but
# now the hands turn the queries and keys themselves, in every layer. Values are not turned: they are what is
# handed over, not what is searched by.
#
# By hand: one pair with ω = 1, query and key both (1, 0), query at place 3, key at place 1. The query becomes
# (cos 3, sin 3) = (-0.99, 0.14), the key (cos 1, sin 1) = (0.54, 0.84). The product: -0.53 + 0.12 = -0.42, which is
# cos 2. At places 12 and 10 it would be cos 2 again.

# %%
parts = mine("rope")
one, places = (
    torch.tensor([[[[1.0, 0.0]]]]),
    (torch.tensor([[3]]), torch.tensor([[1]]), torch.tensor([[12]]), torch.tensor([[10]])),
)
pair = parts.Rope(2)
for m, n in (places[:2], places[2:]):
    score = (pair.rotate(one, m) * pair.rotate(one, n)).sum().item()
    print(f"query at {m.item():2}, key at {n.item():2}: {score:.2f}   cos 2 = {math.cos(2):.2f}")

print("\nthe dial: where (1, 0) of each pair points at places 0 to 11 (d_head = 8)")
dial = parts.Rope(8).rotate(torch.tensor([1.0, 0.0]).repeat(4).expand(1, 1, 12, 8), torch.arange(12).unsqueeze(0))
for i, speed in enumerate(parts.frequencies(8).tolist()):
    turned = dial[0, 0, :, 2 * i : 2 * i + 2]
    eighths = (torch.atan2(turned[:, 1], turned[:, 0]) / (math.pi / 4)).round().int() % 8
    print(f"pair {i}, {speed:5.3f} radians a token:  " + " ".join("→↗↑↖←↙↓↘"[k] for k in eighths.tolist()))

# %% [markdown]
# ## Score against distance
#
# A query and a key that are equal, all ones, of 64 channels: how well do they fit when they stand d tokens apart? Near
# is best; with the distance the fast pairs fall out of step, and their sum fades. Training turns queries and keys such
# that other distances fit best, as a head that looks one token back does.

# %%
d_head = 64
rope = parts.Rope(d_head)
ones = torch.ones(1, 1, 1, d_head)
print("distance  score")
for distance in (0, 1, 2, 3, 5, 8, 16, 32, 64, 128, 256):
    query, key = rope.rotate(ones, torch.tensor([[distance + 7]])), rope.rotate(ones, torch.tensor([[7]]))
    score = float((query * key).sum()) / d_head
    print(f"{distance:8}  {score:5.2f}  " + "█" * max(0, round(40 * score)))

# %% [markdown] tags=["exercise:rope"]
# ## Write it
#
# `frequencies(d_head, theta)` and `Rope(d_head, theta).rotate(heads, index)` in `rope.py`. Things to keep in mind:
# pairs are neighbours here, (0, 1), (2, 3); in Llama's files on Hugging Face they are (i, i + d_head / 2), which
# learns as well but is another order of channels. And angles want precision: in bfloat16, token 1001 stands at place
# 1000.

# %% [markdown]
# ## Does it matter?
#
# Two layers of attention and nothing else, trained on the characters of a play: without places, with learnt ones, and
# with rotation. The loss on held-out text, in nats a character. A third number is worth a look: what the trained
# model says when each window's past is *shuffled* (the last character stays where it is). Who cannot tell order does
# not mind.

# %%
play = printed_play(next(iter(read("shakespeare"))).text)
characters = sorted(set(play))
number = {character: i for i, character in enumerate(characters)}
train, validation = split(torch.tensor([number[character] for character in play]), 0.1)
context, width, heads = 32, 64, 2


class Small(torch.nn.Module):
    """Attention on attention, so that what is learnt about order comes from the position scheme or the mask."""

    def __init__(self, position: Position, n_layers: int) -> None:
        super().__init__()
        self.embedding, self.position = torch.nn.Embedding(len(characters), width), position
        self.layers = torch.nn.ModuleList(CausalSelfAttention(width, heads, position=position) for _ in range(n_layers))
        self.head = torch.nn.Linear(width, len(characters))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        place = Place.of(ids)
        x = self.position.embed(self.embedding(ids), place.index)
        for layer in self.layers:
            x = x + layer(F.layer_norm(x, x.shape[-1:]), place)[0]
        return self.head(F.layer_norm(x, x.shape[-1:]))


def loss_of(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, last_only: bool = False) -> torch.Tensor:
    logits = model(x)
    return F.cross_entropy(logits[:, -1], y[:, -1]) if last_only else F.cross_entropy(logits.flatten(0, 1), y.flatten())


def trial(position: Position, n_layers: int = 2) -> tuple[float, float, float]:
    """Held-out loss, and that of the last character of each window, with its past in order and shuffled."""
    torch.manual_seed(0)
    model, generator = Small(position, n_layers), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(900 if is_long() else 250):
        loss = loss_of(model, *get_batch(train, 32, context, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        x, y = get_batch(validation, 256, context, torch.Generator().manual_seed(1))
        past = torch.cat((x[:, torch.randperm(context - 1, generator=generator)], x[:, -1:]), 1)
        return float(loss_of(model, x, y)), float(loss_of(model, x, y, True)), float(loss_of(model, past, y, True))


print("                    held-out loss   last character   its past shuffled")
for name, position, n_layers in (
    ("no place, 1 layer", NoPosition(), 1),
    ("no place", NoPosition(), 2),
    ("learnt", absolute.LearnedPosition(context, width), 2),
    ("rotary", parts.Rope(width // heads), 2),
):
    held_out, last, shuffled = trial(position, n_layers)
    print(f"{name:18}  {held_out:13.2f}   {last:14.2f}   {shuffled:17.2f}")

# %% [markdown] tags=["break:not_rotated"]
# ## Break it
#
# The first row is a bag of words: shuffling the past changes nothing at all. With two layers and no places the mask
# itself gives something away, for a token that can read three others stands at place 3, and a second layer can use
# it. `firsthand learn break rope not_rotated` trains a larger model whose queries and keys are not turned. Predict:
# will it be as bad as one layer, as good as with rotation, or in between?

# %% [markdown]
# ## What the field does today
#
# - Read: Su et al., *RoFormer* (2021, arXiv 2104.09864), sections 3.2 and 3.4.
# - Rotation is what most open models have: Llama, Qwen, Mistral, Gemma. Longer contexts want slower hands: theta is
#   500,000 in Llama 3. A trained model is stretched to longer texts by slowing its pairs down (YaRN, arXiv
#   2309.00071); `scaling` of the shipped part does that.
# - ALiBi (arXiv 2108.12409) takes something off each score that grows with the distance, and turns nothing.
# - Leaving places out altogether (NoPE, arXiv 2305.19466) works better than it should, thanks to the mask. Some models
#   mix: most layers turn, every fourth does not (SmolLM3, Llama 4).
#
# Your class enters a real run as `model.position=rope.py:Rope`. It needs an attention that calls `rotate`: the shipped
# one does, yours of lesson 5 not yet. So milestone M3 takes your `LearnedPosition`, and `firsthand train learn --mine`
# takes `Rope` once you have written the attention of lesson 10. The shipped `Rope` computes cosines and sines of all
# places once, in double precision, and looks them up:

# %%
show("model/positions/rope.py:frequencies")
show("ops/rotate/reference.py:rotate")
