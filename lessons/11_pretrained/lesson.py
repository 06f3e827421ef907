# Loading weights. Run it as it stands: python lesson.py

# %% [markdown]
# # 11 · Loading weights
#
# Somebody else has trained a model for a month on a thousand GPUs, and gives you a file. What is in it? A few hundred
# tensors, each with a name, a shape and a kind of number; and beside it a small table of settings. That is all. The
# code is not in the file: it is yours, the model of lesson 8. The two fit if names and shapes agree, so names and
# shapes are a **contract**: this tensor holds that map, its axes mean this and that.
#
# What makes it interesting is that the contract says less than one thinks. A square matrix fits the wrong way round.
# Queries fit where keys belong. Nothing is raised; the model runs, and writes nonsense. So besides reading and renaming
# there is a third thing to learn here: how to *prove* that what you have loaded is what was saved.
#
# ## The file
#
# Weights used to be stored as Python pickles, which are programs: who opens one runs it. A **safetensors** file cannot
# do anything. It has three parts:
#
# ```text
# 8 bytes        n, the length of the header, a whole number, little-endian (the small byte first)
# n bytes        the header: JSON, {name: {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}}
# the rest       the numbers of all tensors; [begin, end] counts from here
# ```
#
# The numbers of a tensor lie row after row. For shape (R, C) and numbers of s bytes, entry (i, j) lies at byte
#
# $$8 + n + \mathrm{begin} + s \, (i \, C + j)$$
#
# and the tensor takes $\mathrm{end} - \mathrm{begin} = s \, R \, C$ bytes. The shape [] is one number, s bytes; a shape
# with a 0 in it takes none.

# %% [markdown]
# ## By hand
#
# One tensor x = (1 -2) in fp32. The header is `{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`: count it, 54
# characters. 54 is 36 in hexadecimal, so the file begins 36 00 00 00 00 00 00 00. In fp32 1 is 3F800000, and -2 is
# C0000000; little-endian 00 00 80 3F and 00 00 00 C0. The whole file has 8 + 54 + 8 = 70 bytes. Here it is:

# %%
import json
import tempfile
from pathlib import Path

import torch

from firsthand.interop import EXPORTS, Imported
from firsthand.learn.page import is_long, mine, show
from firsthand.model.make import build_model
from firsthand.text.corpora import shakespeare
from firsthand.tokens.byte import ByteTokenizer

read_safetensors = mine("safetensors").read_safetensors
convert_gpt2 = mine("convert_gpt2").convert_gpt2
folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "small.safetensors")

header = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
numbers = bytes.fromhex("0000803f 000000c0")
path.write_bytes(len(header).to_bytes(8, "little") + header + numbers)


def dump(data: bytes) -> None:
    """Sixteen bytes a line: where, in hexadecimal, as letters."""
    for start in range(0, len(data), 16):
        line = data[start : start + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in line)
        print(f"{start:4}  {line.hex(' '):47}  {letters}")


dump(path.read_bytes())
print(read_safetensors(path))

# %% [markdown]
# The two-byte kinds are where people slip. **bf16** is the upper half of an fp32 number: 8 bits of exponent, 7 of
# fraction. **fp16** has 5 and 10. Both fit into two bytes, so one read as the other gives numbers, and wrong ones:

# %%
two = torch.tensor([1.0, -2.0, 0.02], dtype=torch.bfloat16)
print("as bf16", two.tolist(), " the same bytes as fp16", two.view(torch.float16).tolist())

# %% [markdown] tags=["exercise:safetensors"]
# ## Write the reader
#
# `read_safetensors(path)` in `tensors.py`. It has to read what is right, and to refuse what is not: a download that
# broke off, two tensors that share bytes, bytes that belong to nobody. Every length in the file is a claim by somebody
# you do not know; compare it with the file's size before you use it.
#
# Before you begin: the entries of a header stand in any order. How do you find out, in one pass, that each byte belongs
# to exactly one tensor?

# %% [markdown]
# ## GPT-2's names, and ours
#
# GPT-2 (2019) was written in TensorFlow, and its habits are in the file to this day.
#
# - **Its maps are stored (d_in, d_out).** It computes x W + b; `nn.Linear` holds (d_out, d_in) and computes x Wᵀ + b.
#   So these weights are turned, and those of the embeddings, which are tables and no maps, are not.
# - **Queries, keys and values are one map**, `c_attn`, d to 3d: outputs 0 to d - 1 are the queries, then the keys, then
#   the values. Turned, it is (3d, d), and is cut between rows.
# - **The head is the embedding** (lesson 8: tied), so a file may hold it once or twice.
# - **Old files hold the causal mask** as `attn.bias`. It was never learnt.
# - Settings are part of it: eps of the norms, and *which* GELU. `gelu_new` is an approximation by a tanh.
#
# By hand, d = 2 and one output: stored W = (3; 5), shape (2, 1). For x = (1 10): x W = 3 + 50 = 53. Ours is (3 5),
# shape (1, 2), and gives the same. But for W = (3 4; 5 6), shape (2, 2): x W = (53 64), and without turning it, by
# `nn.Linear`, (3 + 40, 5 + 60) = (43 65). It fits, and it is wrong.

# %% [markdown] tags=["exercise:convert_gpt2"]
# ## Write the conversion
#
# `convert_gpt2(config, weights)` in `gpt2.py` gives (fields, ours): with `build_model(fields, vocab_size)` the fields
# are a model, and ours are its parameters, all of them and nothing else. A tensor that is missing is an error. So is
# one that is left over: it is a part of their model that yours has not.
#
# Before you begin: which of their tensors are square?

# %% [markdown]
# ## A model to load
#
# There is no network here, so the model comes from next door: one of ours, two layers, a byte a token, trained for a
# few seconds on Shakespeare's comedies, and saved as GPT-2 would be, by `firsthand export`'s own writer. What is read
# below is a file in GPT-2's layout.

# %%
tokenizer = ByteTokenizer()
FIELDS = {"preset": "gpt2", "n_layers": 2, "d_model": 64, "n_heads": 4, "context_length": 64, "tied": True}
plays = "".join(play.text for play in shakespeare() if play.metadata["genre"] == "comedies")
stream = torch.tensor(list(plays.encode("ascii", "ignore")))


def batch(generator: torch.Generator, rows: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    text = stream[torch.randint(len(stream) - 65, (rows, 1), generator=generator) + torch.arange(65)]
    return text[:, :-1], text[:, 1:]


def loss_of(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


torch.manual_seed(11)
model = build_model(FIELDS, tokenizer.vocab_size)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
generator = torch.Generator().manual_seed(0)
steps = 1000 if is_long() else 250
for step in range(steps):
    for group in optimizer.param_groups:
        group["lr"] = 3e-3 * min(1, (step + 1) / 10) * (1 - step / steps)
    loss = loss_of(model, *batch(generator))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model.eval()
test = batch(torch.Generator().manual_seed(99), 64)

saved = Path(folder.name, "gpt2")
weights = {name: one.detach() for name, one in model.named_parameters()}
EXPORTS["hf"].write(Imported(FIELDS, tokenizer.vocab_size, weights, tokenizer), saved, "fp32")
config = json.loads((saved / "config.json").read_text(encoding="utf-8"))
theirs = read_safetensors(saved / "model.safetensors")
print({name: config[name] for name in ("n_layer", "n_embd", "n_head", "n_positions", "activation_function")})
print(f"{len(theirs)} tensors, {sum(one.numel() for one in theirs.values())} numbers")

# %% [markdown]
# ## The contract as a picture
#
# Each tensor of theirs that layer 0 and the ends of the model need, and what became of it. A tick means more than that
# the name was found: the numbers are those of the model that was saved.

# %%
fields, ours = convert_gpt2(config, theirs)
INNER = {
    "ln_1.weight": ["mixer_norm.gain"],
    "attn.c_attn.weight": ["mixer.query.weight", "mixer.key.weight", "mixer.value.weight"],
    "attn.c_proj.weight": ["mixer.out.weight"],
    "ln_2.weight": ["ffn_norm.gain"],
    "mlp.c_fc.weight": ["ffn.up.weight"],
    "mlp.c_proj.weight": ["ffn.down.weight"],
}
TABLE = {"wte.weight": ["embedding.weight"], "wpe.weight": ["position.table"]}
TABLE |= {f"h.0.{name}": [f"blocks.0.{one}" for one in names] for name, names in INNER.items()}
TABLE |= {"ln_f.weight": ["norm.gain"]}
for stored, names in TABLE.items():
    for name in names:
        found = ours.get(name, torch.empty(0))
        right = torch.equal(found, weights[name])
        shapes = f"{tuple(theirs['transformer.' + stored].shape)!s:10} → {tuple(found.shape)!s:10}"
        print(f"{'✓' if right else '✗'}  {stored:24} {shapes} {name}")
good = sum(name in ours and torch.equal(ours[name], one) for name, one in weights.items())
print(f"{good} of {len(weights)} parameters are what was saved")

# %% [markdown]
# ## The proof
#
# You know the right numbers here because you saved them. With a stranger's model you do not: what you can compare is
# what it *computes*. Same ids in, same logits out, within the rounding of the arithmetic. If their code is not at hand,
# there is the loss on ordinary text. How much that shows comes below.


# %%
def filled(fields: dict, ours: dict[str, torch.Tensor]) -> torch.nn.Module:
    other = build_model(fields, config["vocab_size"]).eval()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(ours[name])
    return other


loaded = filled(fields, ours)
with torch.no_grad():
    gap = float((loaded(test[0]) - model(test[0])).abs().max())
    print(f"largest difference of logits: {gap:.1e}")
    print(f"loss: saved {float(loss_of(model, *test)):.4f}, loaded {float(loss_of(loaded, *test)):.4f}")

# %% [markdown]
# On a long run (`firsthand learn run 11 --long`), where the library `transformers` is installed, its own GPT-2 reads
# the same folder, and the logits are compared with yours.

# %% tags=["slow"]
if is_long():
    try:
        from transformers import GPT2LMHeadModel
    except ImportError:
        print("transformers is not installed")
    else:
        peer = GPT2LMHeadModel.from_pretrained(saved).eval()
        with torch.no_grad():
            print(f"transformers: {float((peer(test[0]).logits - loaded(test[0])).abs().max()):.1e}")

# %% [markdown]
# ## Break it
#
# Five slips that fit: all names are found, all shapes agree, nothing is raised. Predict the order before you run it:
# which one costs most, and which can hardly be seen at all? An untrained model has ln 257 = 5.5 nats.


# %%
def report(name: str, other: torch.nn.Module) -> None:
    """Its loss, and how far its logits are from those of the model that was saved."""
    with torch.no_grad():
        value, gap = float(loss_of(other, *test)), float((other(test[0]) - model(test[0])).abs().max())
    print(f"{name:22} {'█' * round(8 * value):45} loss {value:.4f}   logits off by {gap:.2g}")


def changed(change, *ends: str) -> torch.nn.Module:
    """What is loaded if tensors of theirs whose names end so are changed first, in every layer."""
    return filled(*convert_gpt2(config, {n: change(one) if n.endswith(ends) else one for n, one in theirs.items()}))


def in_order(*order: int):
    """The three parts of c_attn in another order: 0 queries, 1 keys, 2 values."""
    return lambda tensor: torch.cat([tensor.chunk(3, -1)[i] for i in order], -1)


report("as it was saved", loaded)
report("exact_gelu", filled({**fields, "ffn": {"part": "mlp", "activation": "gelu"}}, ours))
report("positions lost", changed(torch.zeros_like, "wpe.weight"))
report("qkv_order", changed(in_order(1, 0, 2), "c_attn.weight", "c_attn.bias"))
report("value_first", changed(in_order(2, 1, 0), "c_attn.weight", "c_attn.bias"))
report("square_not_transposed", changed(torch.t, "attn.c_proj.weight"))
report("untrained", build_model(FIELDS, tokenizer.vocab_size).eval())
folder.cleanup()

# %% [markdown]
# A wrong GELU does not show in four digits of the loss; logits beside logits show it. The others cost between a
# twentieth and a third of a nat in this model, which has hardly begun to attend: easy to see beside the right figure,
# and not without it, for the model still knows its letters. So "it writes something like English" proves nothing.
# Parity is measured in logits, to 1e-4, and none of these five is near that.
#
# ## What the field does today
#
# - Read: the format's own page, github.com/huggingface/safetensors, section "Format": half a page, which you have now
#   implemented. The same page says what is wrong with pickles.
# - One paper: Radford et al. 2019, *Language models are unsupervised multitask learners*, section 2.3, the model whose
#   layout this is. The smallest has 124 million parameters and 50,257 tokens.
# - Large models come in several files with an index, `model.safetensors.index.json`, that says which tensor lies where;
#   since all places stand in the header, one tensor can be read without the rest, or mapped into memory.
# - Every family has habits of its own. RoPE pairs channels that are neighbours, or those of two halves, so a
#   Llama's queries and keys may have to change the order of their channels; Mixtral's experts are many small tensors
#   that become one; files for llama.cpp (GGUF) hold weights in 4 bits. `docs/interop.md` has the tables that this
#   project goes by, one for both directions.
#
# `firsthand import` takes the real GPT-2, from a folder or by its name on the hub (with the extra `hf`). The shipped
# reader checks all places before it reads a number; and in the shipped conversion GPT-2 is a table of rules, which is
# read in the other direction when a model of ours leaves:

# %%
show("checkpoint/tensors.py:read_safetensors")
show("checkpoint/tensors.py:_entries")
show("interop/gpt2.py:convert_gpt2")
show("interop/families/gpt2.py")
