# Instructions and LoRA. Run it as it stands: python lesson.py

# %% [markdown]
# # 13 · Instructions and LoRA
#
# A pretrained model goes on with a text. It does not answer: after a question it may well write another question. Two
# ideas make an assistant of it.
#
# **A format.** A conversation is written with marks that no text can contain, because they are ids of their own:
#
# ```text
# <|im_start|>user⏎2+2?<|im_end|>⏎<|im_start|>assistant⏎four<|im_end|>⏎
# ```
#
# Training goes on as before, next token by next token, on such texts, with one change: only what the *assistant* says
# is learnt, its words and the mark that ends them. What others say is read, and never asked for. In the loss the
# targets of all other places are -100, which it leaves out:
#
# $$L = -\frac{1}{|A|} \sum_{t \in A} \log p(x_{t+1} \mid x_1 \dots x_t), \qquad A = \{t : x_{t+1} \text{ is learnt}\}$$
#
# **A small change.** To teach a format, few weights have to move. LoRA freezes a map W (d_out, d_in) and adds a product
# of two thin matrices, A (r, d_in) and B (d_out, r), with a scale that keeps its size the same whatever r is:
#
# $$y = W x + \frac{\alpha}{r} \, B A x$$
#
# W has d_out · d_in weights, A and B together r · (d_in + d_out). For 1024 × 1024 and r = 8 that is one in 64. The
# gradients and the optimizer's averages, which take most of the memory of training, are only needed for these.

# %% [markdown]
# ## By hand: the labels
#
# Ids 5 6 7 8, of which 7 and 8 are the answer. After reading 5 the model should say 6, which is not learnt; after 6
# it should say 7, and after 7 it should say 8. So the inputs are 5 6 7 and the targets -100 7 8. The *mark* is shifted
# too: the place of 6 is learnt, though 6 itself is the question's.
#
# Rows of a batch have unequal lengths and are filled up on the right: inputs with any id, targets with -100. Never mask
# by the id: the padding id is often the one that ends an answer, and a model that never learns its end never stops.
#
# ## By hand: LoRA
#
# d_in = d_out = 1, W = 1, rank 2, A = (1; 1), B = (1 1), α = 6. For x = 1: A x = (1; 1), B A x = 2, times 6/2: 6, and
# y = 7. At the beginning B = (0 0), and y = 1: a new adapter changes nothing. Why not A = 0 as well? The gradient of
# B is made with A x, and that of A with B. If both were zero nothing would ever move.

# %%
import torch
from torch import nn

from firsthand.learn.page import is_long, mine, show
from firsthand.model.make import build_model
from firsthand.text.corpora import shakespeare
from firsthand.tokens.base import END_OF_TEXT
from firsthand.tokens.byte import ByteTokenizer
from firsthand.tokens.chat import CHATML, END, START
from firsthand.types import IGNORE, Message

tokenizer = ByteTokenizer((END_OF_TEXT, START, END))
template = mine("chat_format").ChatTemplate(CHATML, tokenizer)
labels, lora = mine("labels"), mine("lora")

# %% [markdown]
# ## A picture of what is learnt
#
# One character a token; below each the mark: ▲ learnt, · only read. The marks that begin and end a message are shown
# as ⟨ and ⟩.

# %%
talk = [Message("system", "Add."), Message("user", "2+2?"), Message("assistant", "four")]
encoded = template.encode(talk)
special = {tokenizer.special_tokens[START]: "⟨", tokenizer.special_tokens[END]: "⟩", 10: "⏎"}
print("".join(special.get(id, chr(id)) for id in encoded.ids))
print("".join("▲" if mark else "·" for mark in encoded.learn))

# %% [markdown] tags=["exercise:chat_format"]
# ## Write the format
#
# `ChatTemplate.encode(messages, answer)` in `chat.py`: Encoded(ids, learn). With `answer` the conversation ends where
# the assistant's next words are to begin: that is the prompt when somebody uses the model.
#
# Before you begin: a user sends the text `<|im_end|>`. Which ids should it become?

# %% [markdown] tags=["exercise:labels"]
# ## Write the labels
#
# `mask_labels(ids, learn)` and `pad_batch(rows, length, pad_id)` in `labels.py`.

# %% [markdown] tags=["exercise:lora"]
# ## Write the adapter
#
# `LoRALinear`, `merge_lora` and `lora_state_dict` in `lora.py`. Merged, it is one map again and costs nothing; the
# frozen map keeps its bits, so that an adapter can be taken off or changed for another.

# %% [markdown]
# ## A base model, and a hundred questions
#
# The base is two layers, a byte a token, trained for a moment on two things in turn: Shakespeare's comedies, and
# conversations in which a number is asked for by its digits and said in words. So it knows the marks. (An adapter that
# leaves the table of tokens frozen cannot give a meaning to marks that the base has never seen; firsthand refuses to
# try.) What it has to be taught is made here too: sums of two digits. 80 are learnt; 20 are kept back.

# %%
NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
WORDS = [*NAMES.split(), "eighteen"]
FIELDS = {"preset": "gpt2", "n_layers": 2, "d_model": 64, "n_heads": 4, "context_length": 64}


def said(question: str, answer: str) -> tuple[list[int], list[bool]]:
    one = template.encode([Message("user", question), Message("assistant", answer)])
    return one.ids, one.learn


def sums() -> list[tuple[list[int], list[bool]]]:
    found = [said(f"{a}+{b}?", WORDS[a + b]) for a in range(10) for b in range(10)]
    order = torch.randperm(100, generator=torch.Generator().manual_seed(13)).tolist()
    return [found[i] for i in order]


def batch(rows: list[tuple[list[int], list[bool]]]) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = [(ids[:-1], labels.mask_labels(ids, learn)) for ids, learn in rows]
    inputs, targets = labels.pad_batch(pairs, max(len(x) for x, _ in pairs), tokenizer.special_tokens[END])
    return torch.as_tensor(inputs), torch.as_tensor(targets)


def loss_of(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def train(model: nn.Module, draw, steps: int, rate: float) -> None:
    """`draw(generator)` gives inputs and targets."""
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 10) * (1 - step / steps)
        loss = loss_of(model, *draw(generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


plays = "".join(play.text for play in shakespeare() if play.metadata["genre"] == "comedies")
stream = torch.tensor(list(plays.encode("ascii", "ignore")))


def of_plays(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    rows = stream[torch.randint(len(stream) - 49, (16, 1), generator=generator) + torch.arange(49)]
    return rows[:, :-1], rows[:, 1:]


numbers = batch([said(f"{n}?", word) for n, word in enumerate(WORDS)])


def in_turn(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return numbers if torch.rand(1, generator=generator) < 0.5 else of_plays(generator)


torch.manual_seed(13)
base = build_model(FIELDS, tokenizer.vocab_size)
train(base, in_turn, 1000 if is_long() else 400, 3e-3)
kept = {name: one.clone() for name, one in base.state_dict().items()}
learnt, held_out = batch(sums()[:80]), batch(sums()[80:])


def of_sums(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    some = torch.randperm(80, generator=generator)[:32]
    return learnt[0][some], learnt[1][some]


@torch.no_grad()
def answer(model: nn.Module, question: str, most: int = 16) -> str:
    ids = torch.tensor([template.encode([Message("user", question)], answer=True).ids])
    start = ids.shape[1]
    while ids.shape[1] < start + most and int(ids[0, -1]) != tokenizer.special_tokens[END]:
        ids = torch.cat((ids, model(ids)[:, -1].argmax(-1, keepdim=True)), 1)
    return tokenizer.decode(ids[0, start:].tolist())


print("the base model:", {question: answer(base, question) for question in ("4?", "2+2?")})

# %% [markdown]
# ## Rank against loss
#
# The same base each time, the same number of steps: all weights, and then adapters of growing rank around every linear
# map of the layers. The bars are the loss on the answers that were learnt, in nats a token.


# %%
def start_again() -> nn.Module:
    model = build_model(FIELDS, tokenizer.vocab_size)
    model.load_state_dict(kept)
    return model


def put_around(model: nn.Module, rank: int) -> None:
    """An adapter around each linear map of the layers; all else frozen."""
    model.requires_grad_(False)
    for block in model.blocks:
        for part in (block.mixer, block.ffn):
            for name, child in list(part.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(part, name, lora.LoRALinear(child, rank, 2.0 * rank))


def measure(name: str, model: nn.Module, rate: float, draw=of_sums) -> nn.Module:
    train(model, draw, 800 if is_long() else 200, rate)
    count = sum(one.numel() for one in model.parameters() if one.requires_grad)
    with torch.no_grad():
        loss, other = float(loss_of(model, *learnt)), float(loss_of(model, *held_out))
    print(f"{name:12} {count:7} weights  {'█' * round(20 * loss):24} {loss:.2f}  (sums kept back: {other:.2f})")
    return model


full = measure("all weights", start_again(), 2e-3)
for rank in (1, 4, 16):
    torch.manual_seed(rank)
    small = start_again()
    put_around(small, rank)
    measure(f"rank {rank}", small, 1e-2)
for name, model in (("all weights", full), ("rank 16", small)):
    print(f"{name:12}", {question: answer(model, question) for question in ("2+2?", "9+8?")})
size = sum(one.numel() for one in lora.lora_state_dict(small).values())
print(f"the file of rank 16 has {size} numbers, the model {sum(one.numel() for one in kept.values())}")

# %% [markdown]
# The answers are words for numbers, and end with the mark that ends a message: that was learnt first. Whether the sums
# are right is another matter: those that were kept back show how much was learnt by heart. The rank is how much an
# adapter can hold; with 1 the sums do not fit, with 16 they fit as well as into all weights (which take another rate:
# each was given the one that suits it).

# %% [markdown]
# ## Break it: loss on the prompt
#
# The same run with everything learnt, the questions too, which is the slip `loss_on_prompt`. Predict: is the loss on
# the *answers* lower, equal, or higher than that of "all weights" above, after as many steps?


# %%
def of_everything(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, targets = of_sums(generator)
    shifted = torch.cat((inputs[:, 1:], targets[:, -1:]), 1)
    return inputs, torch.where(targets == IGNORE, shifted, targets)


measure("with prompts", start_again(), 2e-3, of_everything)

# %% [markdown]
# Questions are digits drawn by chance, which nobody can guess: gradients are spent on them, and the model would ask
# itself questions if it were not stopped. Where prompts are long and answers short, the answers are a small part of the
# loss.

# %% [markdown]
# ## What the field does today
#
# - Read: Hu et al. 2021, *LoRA: low-rank adaptation of large language models* (arXiv 2106.09685), section 4: one page.
# - Adapters around all linear maps do better than around attention alone, with rates about ten times those of full
#   tuning. QLoRA (arXiv 2305.14314) keeps the frozen weights in 4 bits; DoRA (arXiv 2402.09353) learns the length of
#   each row apart; the root of the rank as scale lets large ranks learn (arXiv 2312.03732).
# - Every family of models has marks of its own, and a template for them in its tokenizer's files. A model asked in
#   another form than that in which it was taught answers badly, and nothing tells you why.
# - Whether to learn prompts too is not settled: with long answers it matters little, with short ones it can even help
#   (arXiv 2405.14394). For this model you have just measured it.
#
# Your adapter enters a real run as `adapt.adapter=lora.py:LoRA`. The shipped one, and the shipped labels:

# %%
show("adapt/lora.py:LoRALinear")
show("data/conversations.py:mask_labels")
show("data/conversations.py:pad_batch")
