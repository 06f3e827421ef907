# Linear attention and Mamba. Run it as it stands: python lesson.py

# %% [markdown]
# # 16 · Linear attention and Mamba
#
# Attention keeps a key and a value of every token it has read, and looks at all of them for every new one: a text twice
# as long needs twice the memory, and each new token twice the work. The other bargain is a memory whose size is fixed
# before the first token comes. What has to be given up for it is the other half of this lesson.
#
# ## From a softmax to two sums
#
# Attention gives token i a weighted mean of the values so far, with weights exp(q_i · k_j). The exp ties q_i and k_j
# together: for every new query all weights have to be computed anew. Put a *product* in its place, φ(q_i) · φ(k_j),
# with a function φ that makes all numbers positive, such as elu(x) + 1 (x + 1 above zero, exp(x) below). Then q_i does
# not depend on j and can be taken out of the sums:
#
# $$o_i = \frac{\sum_{j \le i} \left(\phi(q_i) \cdot \phi(k_j)\right) v_j}{\sum_{j \le i} \phi(q_i) \cdot \phi(k_j)}
#       = \frac{S_i^\top \phi(q_i)}{z_i \cdot \phi(q_i)}, \qquad
#   S_i = S_{i-1} + \phi(k_i) \, v_i^\top, \quad z_i = z_{i-1} + \phi(k_i)$$
#
# S is a matrix (d_key, d_value) for each head, z a vector (d_key), and they are all that is remembered. The same
# numbers come out in two ways. **In steps**, for writing: update S and z, read, one token after the other. **In
# parallel**, for training: all scores φ(Q) φ(K)ᵀ as a matrix (n, n), those above the diagonal set to 0, times V: n²
# work, but in large products, as hardware likes it. In practice: parallel within chunks, S handed from one to the next.
#
# ## By hand
#
# One head, d_key = d_value = 1. Queries (after φ) 1 and 2, keys 1 and 3, values 10 and 20.
#
# | token | S | z | above | below | output |
# |---|---|---|---|---|---|
# | 0 | 1 · 10 = 10 | 1 | 1 · 10 | 1 · 1 | 10 |
# | 1 | 10 + 3 · 20 = 70 | 1 + 3 = 4 | 2 · 70 | 2 · 4 | 17.5 |
#
# The second output is the mean of 10 and 20 with weights 2 and 6. (With one channel the query cancels.)

# %%
import time

import torch
from torch import nn
from torch.nn import functional as F

from firsthand.learn.page import is_long, mine, shades, show
from firsthand.model.block import Block
from firsthand.model.ffns.mlp import MLP
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.feature_maps import elu
from firsthand.model.mixers.heads import merge_heads, split_heads
from firsthand.model.mixers.linear_attention import LinearAttention, LinearAttentionState
from firsthand.model.mixers.mamba import Mamba, MambaState
from firsthand.model.norms import RMSNorm
from firsthand.model.positions.rope import Rope
from firsthand.text.corpora import shakespeare
from firsthand.types import Place

read_linear = mine("linear_attention").normalized_linear_attention
one = [torch.tensor(numbers).view(1, 1, 2, 1) for numbers in ([1.0, 2.0], [1.0, 3.0], [10.0, 20.0])]
out, memory, total = read_linear(*one, eps=0.0)
print("outputs", out.flatten().tolist(), " S", memory.item(), " z", total.item())

# %% [markdown]
# ## A picture of what is lost
#
# With the identity as values, the output *is* the weights. Six keys; each query is a copy of one of them, so a good
# lookup is dark on the diagonal. First the softmax, then φ = elu + 1.

# %%
torch.manual_seed(16)
names = ["the", "cat", "sat", "on", "a", "mat"]
key = 3 * F.normalize(torch.randn(6, 16), dim=-1)
soft = torch.softmax((key @ key.T).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf), -1)
linear, _, _ = read_linear(elu(key)[None, None], elu(key)[None, None], torch.eye(6)[None, None])
print(shades(soft, names, names), shades(linear[0, 0], names, names), sep="\n")

# %% [markdown]
# A product of sums is flat where an exp is sharp: the weights are smeared over the whole past. And there is a harder
# limit. Store n pairs in S and ask for each: what comes back is the right value and a bit of every value whose key is
# not exactly perpendicular to the query; with more keys than channels they cannot all be. Below, the share of n random
# pairs that are found again (the right value is the nearest), by a sharp softmax, and by S with d_key = 16 and no φ.


# %%
def recalled(n: int, d: int = 16, trials: int = 40) -> list[float]:
    """The share of n pairs whose value is found again, in both ways."""
    keys, values = F.normalize(torch.randn(trials, n, d), dim=-1), torch.randn(trials, n, d)
    ways = torch.softmax(30 * keys @ keys.mT, -1) @ values, keys @ (keys.mT @ values)
    return [float((torch.cdist(way, values).argmin(-1) == torch.arange(n)).float().mean()) for way in ways]


print("pairs    softmax attention          one matrix of 16 × 16")
for n in (4, 8, 16, 32, 64, 128):
    print(f"{n:5}   ", "   ".join(f"{'█' * round(20 * share):20} {share:4.0%}" for share in recalled(n)))

# %% [markdown] tags=["exercise:linear_attention"]
# ## Write it
#
# `normalized_linear_attention(query, key, value, memory, total, eps)` in `linear.py`: for a whole text, and for the
# next piece of one with what the pieces before have left. In steps or in parallel, as you like.
#
# Before you begin: which of `memory` and `total` has an axis for the values, and why has the other none?

# %% [markdown]
# ## A memory that chooses
#
# After a thousand tokens a thousand pairs lie on top of each other in S. A memory of fixed size has to *forget*, and
# should choose what. State space models come to this from an equation for a quantity that is driven by an input and
# fades, as a cup of tea cools, h' = A h + B x with A < 0: in the time Δ it keeps exp(Δ A) of itself. Token by token:
#
# $$h_t = e^{\Delta_t A} \, h_{t-1} + \Delta_t B_t x_t, \qquad y_t = C_t \cdot h_t + D x_t$$
#
# Each channel of x has its own h, of d_state numbers, which fade at their own rates (A: channels × d_state). What makes
# it *selective* is the index t: Δ, B and C are computed from the token. **Δ** is attention to it: at 0 nothing is
# written and nothing fades; a large Δ wipes the memory and writes the token in its place. It is a softplus, so never
# negative. **B** says where to write, **C** where to read. **A** = -exp(A_log) is learnt, the same for all tokens.
#
# By hand: A = -ln 2, which halves the memory in one unit of time; x = 4, 6; Δ = 1, 2; B = 1; C = 1, 10. First h = 1 · 4
# = 4, y = 4. Then two units pass, a quarter of it is left, which is 1; 2 · 6 is added: h = 13, y = 130.

# %%
scan = mine("selective_scan")
half = -torch.tensor([[2.0]]).log()
x, dt, write, read = (
    torch.tensor(numbers).view(1, 2, 1) for numbers in ([4.0, 6.0], [1.0, 2.0], [1.0, 1.0], [1.0, 10.0])
)
y, h = scan.selective_scan(x, dt, half, write, read)
print("outputs", [round(number, 4) for number in y.flatten().tolist()], " h", round(h.item(), 4))

# %% [markdown]
# ## A picture of selection
#
# A text of noise (`.`) in which three tokens matter, each of which writes 1 to its own channel. The rows are the three
# channels of memory over time: first with the same Δ for every token, then with Δ = 0 for noise.

# %%
text = "...A......B.........C..........."
x = torch.tensor([[[float(letter == name) for name in "ABC"] for letter in text]])
matters = torch.tensor([[[float(letter != ".")] * 3 for letter in text]])
rates, ones = torch.full((3, 1), -0.3), torch.ones(1, len(text), 1)
for name, dt in (("the same for all", torch.ones_like(matters)), ("chosen by the token", matters)):
    y, _ = scan.selective_scan(x, dt, rates, ones, ones)
    print(f"{name}\n  {''.join(2 * letter for letter in text)}\n{shades(y[0].T, list('ABC'))}")

# %% [markdown]
# What is remembered stays, and fades only when a later one is written (in the model each channel has a Δ of its own).
#
# ## The convolution before it
#
# To choose well a token should know its neighbours. So each channel first becomes a weighted sum of its last `width`
# (4) values, y_t = b + Σ_k w_k x_{t-k}, with weights that are learnt. All the padding stands in front. Token by token
# it needs a memory too, the last width - 1 inputs. By hand: taps 10, 1 (the last is the current token's), x = 1, 2, 3:
# outputs 1, 2 + 10 = 12, 3 + 20 = 23, and the window that is left is 3.

# %% [markdown] tags=["exercise:selective_scan"]
# ## Write them
#
# `causal_convolution(x, taps, bias, window)` and `selective_scan(x, dt, A, B, C, skip, state)` in `scan.py`. Both
# return what they remember, and give the same for a text in pieces as for the whole.
#
# Before you begin: one token comes, the convolution is 4 wide. Where do the three inputs of the new window come from?

# %% [markdown]
# ## Three mixers, the same model
#
# Both as mixers, made of your parts and the shipped weights. First what they keep, and how long the next token takes
# after n others (in a batch of 4, on this machine).


# %%
class Linear(LinearAttention):
    """Linear attention with the reader's sums."""

    def forward(self, x, place, state=None):
        memory, total = (None, None) if state is None else (state.memory, state.total)
        q, k = (elu(split_heads(part(x), self.n_heads)) for part in (self.query, self.key))
        out, memory, total = read_linear(q, k, split_heads(self.value(x), self.n_heads), memory, total)
        return self.out(merge_heads(out)), None if state is None else LinearAttentionState(memory, total)


class Selective(Mamba):
    """Mamba with the reader's convolution and scan."""

    def forward(self, x, place, state=None):
        window, h = (None, None) if state is None else (state.window, state.h)
        x, gate = self.enter(x), self.gate(x)
        x, window = scan.causal_convolution(x, self.taps, self.taps_bias, window)
        x = F.silu(x)
        dt = F.softplus(self.time_up(self.time_down(x)) + self.time_bias)
        y, h = scan.selective_scan(x, dt, -self.log_decay.exp(), self.write(x), self.read(x), self.skip, h)
        return self.out(y * F.silu(gate)), None if state is None else MambaState(window, h)


D_MODEL, CONTEXT, VOCAB = 64, 128, 128


def mixers() -> dict[str, nn.Module]:
    attention = CausalSelfAttention(D_MODEL, 4, position=Rope(16, context_length=8192))
    return {"attention": attention, "linear": Linear(D_MODEL, 4), "mamba": Selective(D_MODEL)}


@torch.no_grad()
def next_token(mixer: nn.Module, n: int, steps: int = 20) -> float:
    """Milliseconds for one token after n others, which are read some at a time, as a scan may hold all their pairs."""
    x = torch.randn(4, n + steps, D_MODEL)
    state, times = mixer.initial_state(4, n + steps), []
    for first in range(0, n, 128):
        piece = x[:, first : min(first + 128, n)]
        _, state = mixer(piece, Place.of(piece, first), state)
    for t in range(n, n + steps):
        token, start = x[:, t : t + 1], time.perf_counter()
        _, state = mixer(token, Place.of(token, t), state)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


lengths = (128, 1024, 8000 if is_long() else 4000)
print("          numbers kept after n tokens          ms for the next token")
print("n        ", "  ".join(f"{n:8}" for n in (*lengths, *lengths)))
for name, mixer in mixers().items():
    kept, spent = [mixer.state_size(n) for n in lengths], [next_token(mixer, n) for n in lengths]
    print(f"{name:10}", "  ".join(f"{n:8}" for n in kept), "", "  ".join(f"{ms:8.2f}" for ms in spent))

# %% [markdown]
# Attention's numbers grow, the others' do not. Calling torch costs most here: look at how the time *changes* in a row.
#
# ## Do they learn?
#
# Two layers of each on Shakespeare's comedies, a byte a token, the same batches and steps. Linear attention and Mamba
# get no positions. Mamba's memory fades and its convolution looks back; sums do not know in which order they were made.


# %%
plays = "".join(play.text for play in shakespeare() if play.metadata["genre"] == "comedies")
stream = torch.tensor(list(plays.encode("ascii", "ignore")))


def make(name: str) -> LanguageModel:
    torch.manual_seed(16)
    rope = Rope(16, context_length=CONTEXT)
    blocks = [Block(mixers()[name], MLP(D_MODEL, 256), RMSNorm(D_MODEL), RMSNorm(D_MODEL)) for _ in range(2)]
    return LanguageModel(blocks, VOCAB, D_MODEL, CONTEXT, rope, RMSNorm(D_MODEL), tied=False)


def train(model: nn.Module, steps: int) -> list[float]:
    """The mean loss of each quarter of the run."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator, losses = torch.Generator().manual_seed(0), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 20) * (1 - step / steps)
        rows = stream[torch.randint(len(stream) - 65, (12, 1), generator=generator) + torch.arange(65)]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return torch.tensor(losses).view(4, -1).mean(1).tolist()


print("loss in nats a byte, in the four quarters of the run")
for name in ("attention", "linear", "mamba"):
    losses = train(make(name), 1600 if is_long() else 200)
    print(f"{name:10}", "  ".join(f"{loss:.2f}" for loss in losses), "█" * round(12 * losses[-1]))

# %% [markdown]
# In so short a run the convolution helps most: about 1.95 nats in the last quarter, 2.15 without it (`d_conv = 1`).
#
# ## Break it: the sign of A
#
# Forget the minus in A = -exp(A_log), and the memory grows where it should fade. Predict: after how many tokens is a
# number too large for fp32 (3 · 10³⁸), if Δ is 0.5 and A is 1?

# %%
x, ones = torch.ones(1, 400, 1), torch.ones(1, 400, 1)
for name, sign in (("A = -1", -1.0), ("A = +1", 1.0)):
    y, _ = scan.selective_scan(x, 0.5 * ones, torch.full((1, 1), sign), ones, ones)
    broken = (~y.isfinite()).flatten().nonzero().flatten().tolist()
    shown = ", ".join(f"{float(y[0, t, 0]):.3g}" for t in (0, 1, 9, 99, 399))
    print(f"{name}: y at 0, 1, 9, 99, 399: {shown}; {f'inf from token {broken[0]} on' if broken else 'all finite'}")

# %% [markdown]
# 0.5 more in the exponent with every token, and exp(88.7) is the largest that fp32 holds: about 178 tokens.
#
# ## What the field does today
#
# - Read: Gu and Dao 2023, *Mamba* (arXiv 2312.00752), sections 3.1 to 3.3. Linear attention in the form above is
#   Katharopoulos et al. 2020, *Transformers are RNNs* (arXiv 2006.16236). The two are one: with a single rate for each
#   head the scan *is* linear attention that fades, and is trained in chunks by products (Mamba-2, arXiv 2405.21060).
# - A memory may also correct itself, and take out what stands under a key before a new value is written there (Gated
#   DeltaNet, arXiv 2412.06464). As exact recall is what a fixed memory is bad at, large models mix: a few layers of
#   attention among many of these. `model.mixer` takes `linear_attention`, `mamba`, `mamba2`, `delta`, `gated_delta`.
#
# The shipped definitions; what runs in training stands beside them, cut into chunks, with gradients by hand.

# %%
show("model/mixers/linear_attention.py:normalized_linear_attention")
show("ops/selective_scan/reference.py:selective_scan")
show("ops/causal_convolution/shifted.py:causal_convolution")
