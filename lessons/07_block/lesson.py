# Norm, bend, feed-forward, residual. Run it as it stands: python lesson.py

# %% [markdown]
# # 7 · Norm, bend, feed-forward, residual
#
# A language model is a stack of equal layers. What goes from layer to layer is one vector of d_model numbers a token,
# and the whole stack of them, (batch, time, d_model), is called the *residual stream*. A layer does not replace it: it
# reads a copy, thinks, and **adds** what it has found.
#
# $$x \leftarrow x + \text{mixer}(\text{norm}_1(x)), \qquad x \leftarrow x + \text{ffn}(\text{norm}_2(x))$$
#
# The mixer (attention, in lesson 5) moves information between tokens. The feed-forward part, *ffn*, then works on each
# token alone: it is where most weights of a model are. The norms bring the copy to a usual size, whatever the stream
# has grown to. This lesson builds the four pieces around the mixer: norm, bend, feed-forward part, and the block that
# holds them.

# %% [markdown]
# ## Norms by hand
#
# *LayerNorm* takes the mean off a token's numbers and divides by their deviation; *RMSNorm* only divides by their size:
#
# $$\text{LayerNorm}(x) = \frac{x - \text{mean}(x)}{\sqrt{\text{var}(x) + \epsilon}} \cdot g + b, \qquad
#   \text{RMSNorm}(x) = \frac{x}{\sqrt{\text{mean}(x^2) + \epsilon}} \cdot g$$
#
# - LayerNorm of (1, 3): the mean is 2, what is left (-1, 1); the squares are 1 and 1, their mean 1, the root 1. So
#   (-1, 1). `torch.var` would say 2, because it divides by one less than the number of numbers: not here.
# - RMSNorm of (1, 7): the squares are 1 and 49, their mean 25, the root 5. So (0.2, 1.4).
#
# The gain g and the bias b are learnt, one number a channel. They begin as ones and zeros. The eps keeps a token of
# zeros from being divided by zero, so it stands *under* the root: that is also where gradients need it, as the slope of
# a root at 0 is infinite.
#
# Mean and size belong to *one token*, the last axis. A mean over time would tell token 0 about the future.

# %%
import math

import torch
from torch import nn

from firsthand.learn.page import is_long, mine, shades, show
from firsthand.text import corpora
from firsthand.types import Place

norms = mine("norms")
print("LayerNorm of (1, 3):", norms.LayerNorm(2)(torch.tensor([1.0, 3.0])).tolist())
print("RMSNorm of (1, 7):  ", norms.RMSNorm(2)(torch.tensor([1.0, 7.0])).tolist())

# %% [markdown]
# ## Squares are large
#
# Models are trained with numbers of 16 bits. fp16 ends at 65504, so the square of 300 is already infinite in it, and
# 300 divided by infinity is 0: the token is wiped out. Every good norm therefore computes in fp32 and brings the result
# back to the type that came in. It costs nothing to speak of; the other way costs a night of searching.

# %%
loud = torch.tensor([300.0, -300.0], dtype=torch.float16)
print("the mean of the squares in fp16:", (loud * loud).mean().item())
print("RMSNorm in fp16:", norms.RMSNorm(2).half()(loud).tolist())

# %% [markdown] tags=["exercise:norms"]
# ## Write the norms
#
# `LayerNorm(d_model, eps=1e-5)` and `RMSNorm(d_model, eps=1e-5)` in `norms.py`.

# %% [markdown]
# ## The bend
#
# Two linear maps in a row are one linear map: A(Bx) = (AB)x. What makes two maps worth more than one is a bend between
# them. ReLU, max(x, 0), has a corner, and a gradient of exactly 0 on its left. GELU asks how likely it is that a normal
# number lies below x, and takes that share of x:
#
# $$\text{gelu}(x) = x \cdot \Phi(x), \qquad \Phi(x) = \tfrac{1}{2}\left(1 + \text{erf}(x / \sqrt 2)\right)$$
#
# gelu(1) = 0.841, because 84 % of normal numbers are below 1; gelu(-1) = -0.159. As erf was slow once, GPT-2 used a
# formula with tanh that is nearly the same. Nearly: a model has to be run with the one that it was trained with.

# %%
gelu = mine("gelu").gelu
print("   x   relu    gelu   by tanh")
for x in (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0):
    one = torch.tensor(x, dtype=torch.float64)
    exact, near = gelu(one).item(), gelu(one, tanh=True).item()
    bar = " " * round(6 + 6 * min(exact, 0)) + "█" * max(1, round(6 * abs(exact)))
    print(f"{x:4}  {max(x, 0):5.2f}  {exact:6.3f}   {near:7.4f}  {bar}")

# %% [markdown] tags=["exercise:gelu"]
# ## Write the bend
#
# `gelu(x, tanh=False)` in `activation.py`.

# %% [markdown] tags=["exercise:feed_forward"]
# ## Write the feed-forward part
#
# `MLP(d_model, d_ff)` in `ffn.py`: up from d_model to d_ff channels (often four times as many), gelu, and down again.
# In shapes: (batch, time, d_model) to (batch, time, d_ff) to (batch, time, d_model). With d_ff = 4 · d_model that is
# 8 · d_model² weights; the four maps of attention have 4 · d_model². It returns two things, y and an extra loss, which
# is 0 here: feed-forward parts that are mixtures of experts have one.
#
# A way to read it: each of the d_ff rows of `up` is a question about the token, the bend lets the answers above zero
# through, and each column of `down` says what to add to the stream if that question was answered with yes.

# %% [markdown] tags=["exercise:block"]
# ## Write the block
#
# `Block(mixer, ffn, mixer_norm, ffn_norm)` in `block.py`: four lines in forward. By hand, with one number in place of a
# vector, norms that halve, a mixer that always says 10 and an ffn that repeats what it gets: x = 4 · the mixer gets 2
# and says 10: 14 · the ffn gets 7 and says 7: 21.

# %% [markdown]
# ## The stream, layer by layer
#
# Now a stack of your blocks, untrained, reads a line of a play. The picture is the deviation of the stream's numbers
# after each layer, on a logarithmic scale: with norms; with the norms taken out; and with the norms but without adding,
# so that each part replaces the stream.

# %%
D_MODEL, LAYERS = 64, 24 if is_long() else 12
line = next(text.text for text in corpora.shakespeare() if text.name == "hamlet")
start = line.find("To be, or not to be")
ids = torch.tensor([list(line[max(start, 0) : max(start, 0) + 48].encode()[:48])])


class Through(nn.Module):
    """In place of a norm: nothing."""

    def __init__(self, d_model: int) -> None:
        super().__init__()

    def forward(self, x):
        return x


class Mean(nn.Module):
    """The simplest mixer: a linear map of the mean of all tokens up to here."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, place, state=None):
        return self.out(x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]), state


block, mlp = mine("block").Block, mine("feed_forward").MLP


def stack(norm) -> list[nn.Module]:
    torch.manual_seed(7)
    layers = []
    for _ in range(LAYERS):
        made = block(Mean(D_MODEL), mlp(D_MODEL, 4 * D_MODEL), norm(D_MODEL), norm(D_MODEL))
        for weight in made.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        layers.append(made)
    return layers


def run(layers: list[nn.Module], added: bool = True) -> tuple[torch.Tensor, list[float]]:
    """The stream at the end, and its deviation after each layer."""
    torch.manual_seed(1)
    x, place, found = torch.randn(256, D_MODEL)[ids], Place(torch.arange(ids.shape[1]).unsqueeze(0)), []
    with torch.no_grad():
        for layer in layers:
            if added:
                x, _, _ = layer(x, place)
            else:
                x, _ = layer.mixer(layer.mixer_norm(x), place)
                x, _ = layer.ffn(layer.ffn_norm(x))
            found.append(float(x.std()))
    return x, found


for name, norm, added in (
    ("with norms", norms.RMSNorm, True),
    ("without norms", Through, True),
    ("norms, but nothing added", norms.RMSNorm, False),
):
    _, found = run(stack(norm), added)
    print(f"\n{name}")
    for layer in range(1, LAYERS, 2):
        bar = "█" * max(0, min(60, round(20 * math.log10(max(found[layer], 1e-9)))))
        print(f"  layer {layer + 1:2}  {found[layer]:8.3g}  {bar}")

# %% [markdown]
# With norms the stream grows slowly: each part adds something of usual size, however large the stream has become.
# Without them what a part adds grows with the stream, so the stream grows by a *factor* a layer, and no learning rate
# suits numbers that double from layer to layer.
#
# Where nothing is added the size is well too. What is lost there is something else. The next pictures show how alike
# the tokens' vectors are (their cosine) after all layers: black is equal.

# %%
letters = [chr(i) for i in ids[0, :19].tolist()]
for name, added in (("each part adds", True), ("each part replaces", False)):
    x, _ = run(stack(norms.RMSNorm), added)
    unit = x[0, :19] / x[0, :19].norm(dim=-1, keepdim=True)
    print(f"\n{name}, {LAYERS} layers\n{shades((unit @ unit.T).clamp(min=0), letters, letters)}")

# %% [markdown]
# Where parts add, a token is still itself, and carries what stood before it besides. Where parts replace, all tokens
# have become the same: a mixer makes mixtures, and mixtures of mixtures are all alike (Dong et al. 2021, arXiv
# 2103.03404). The plus sign in `x = x + ...` is what keeps the text in the model, and a straight way for the gradient.

# %% [markdown] tags=["break:identity"]
# ## Break it
#
# `firsthand learn break norms identity` trains a small model whose norms let everything through, beside the right one.
# Predict the loss at the end: much worse, a little worse, the same, not a number? The pictures above had 12 layers.
# The small model has few, and begins with smaller weights. What would 24 layers change?

# %% [markdown]
# ## What the field does today
#
# - The block of 2017 had the norm after the sum, norm(x + part(x)), and needed a slow start of the learning rate. Read:
#   Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture* (arXiv 2002.04745), which shows why:
#   with the norm inside, gradients are well behaved from the first step. Since GPT-2 nearly all models do it so.
# - RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467) took LayerNorm's place in most models: the mean did not matter.
# - The ffn of today has a third map, a *gate*: down(silu(gate(x)) · up(x)) (Shazeer 2020, arXiv 2002.05202). It is
#   `model.ffn=gated` here.
# - Some models norm queries and keys as well (Qwen3), some what a part returns (Gemma 2, OLMo 2). GELU itself is in
#   Hendrycks and Gimpel 2016 (arXiv 1606.08415).
#
# Your parts enter a real run as `model.norm=norms.py:RMSNorm`, `model.ffn=ffn.py:MLP` and `model.block=block.py:Block`.
# The shipped ones:

# %%
show("model/norms.py:RMSNorm")
show("model/ffns/mlp.py:MLP")
show("model/block.py:Block")
