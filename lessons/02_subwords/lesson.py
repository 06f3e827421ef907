# BPE and WordPiece. Run it as it stands: python lesson.py

# %% [markdown]
# # 2 · BPE and WordPiece
#
# Words are too many, and characters say too little. Between the two lie *subwords*: frequent words stay whole, rare
# ones are put together from parts, and as the smallest parts are bytes, nothing is ever unknown.
#
# Which parts? **Byte pair encoding** (BPE) begins with bytes and does one thing again and again: it counts all pairs
# of neighbours and makes one new token of the most frequent pair. With a vocabulary of V tokens that is V - 256 times
# (less the special tokens). What is learnt is a list of pairs, the *merges*, in the order in which they were learnt:
#
# $$\text{pair}_k = \text{arg max}_{(a, b)} \; \text{count}(a\,b), \qquad a\,b \to 256 + k$$
#
# In shapes: a text of n bytes is n ids at first. Every merge makes the list shorter and the vocabulary longer by one.

# %% [markdown]
# ## By hand
#
# `low low lower`. First the text is cut into pieces, as a rule before each word: `low`, ` low`, ` lower`. No pair may
# cross the border of a piece, or tokens would be phrases. Then:
#
# | step | pairs and counts | merged |
# |---|---|---|
# | 1 | l o 3, o w 3, (space) l 2, w e 1, e r 1 | l o |
# | 2 | lo w 3, (space) lo 2, w e 1, e r 1 | lo w |
# | 3 | (space) low 2, low e 1, e r 1 | (space) low |
#
# In step 1 two pairs come equally often. The smaller pair of ids wins, so that everybody gets the same merges from the
# same text. Note how the counts of step 2 are not those of step 1: `o w` is gone, for its o was used up.
#
# The ids of bytes are not their values here. GPT-2 numbers them from `!` on, and puts the space at 220; we follow it,
# so that ids are the same as in other people's tools.

# %%
from collections import Counter
from itertools import pairwise

from firsthand.learn.page import is_long, mine, show
from firsthand.text.corpora import shakespeare
from firsthand.text.plays import printed_play
from firsthand.tokens.file import BYTES
from firsthand.tokens.splits import GPT2

learning, applying = mine("bpe_train"), mine("bpe_encode")


def spelt(merges: list[tuple[int, int]]) -> list[str]:
    """Each token as text; _ is a space."""
    raw = [bytes([byte]) for byte in BYTES]
    for first, second in merges:
        raw.append(raw[first] + raw[second])
    return [token.decode(errors="replace").replace(" ", "_").replace("\n", "/") for token in raw]


merges = learning.train_bpe("low low lower", 259)
names = spelt(merges)
for (first, second), made in zip(merges, names[256:], strict=True):
    print(f"{names[first]:>4} + {names[second]:<3} -> {made}")

# %% [markdown] tags=["exercise:bpe_train"]
# ## Learn the merges
#
# `count_pairs(ids)`, `merge(ids, pair, new_id)` and `train_bpe(text, vocab_size, specials)` in `bpe_train.py`. Counting
# anew for every merge is right and slow; that is good enough here. But make `merge` a single walk through the list.
#
# Before you begin: how often does `a a a` hold the pair (a, a), and what is left of it after the merge?

# %% [markdown]
# ## Encoding: what was learnt first comes first
#
# A new text is not counted. Its pieces become bytes, and then, as long as there is a pair that is among the merges,
# the one *learnt first* is merged. Take the merges b c, a b, a bc, and the text `abc`:
#
# - The pairs are a b (learnt second) and b c (learnt first). So b c is merged: a bc.
# - The pair a bc was learnt third: abc. Done, one token.
#
# Who goes from left to right merges a b first, gets ab c, and stands before a wall: nothing was ever learnt for it. The
# model has hardly seen such a spelling in training, and would read it badly.
#
# Decoding is a table: each id has its bytes. Join them all, *then* read them as UTF-8, because an emoji is four bytes
# that may lie in several tokens.

# %% [markdown] tags=["exercise:bpe_encode"]
# ## Apply them
#
# `bpe_encode(text, merges, specials)` and `bpe_decode(ids, merges, specials)` in `bpe_encode.py`.

# %% [markdown]
# ## A picture: how a word grows together
#
# Merges learnt from the beginning of *Hamlet*. Each row is one merge more; bars part the tokens:

# %%
hamlet = next(printed_play(play.text) for play in shakespeare() if play.name == "hamlet")
size = 40_000 if is_long() else 12_000
merges = learning.train_bpe(hamlet[:size], 256 + 300)
names = spelt(merges)
for word in (" Hamlet", " another", " nothing"):
    before = None
    for k in range(len(merges) + 1):
        ids = applying.bpe_encode(word, merges[:k])
        if ids != before:
            print(f"{k:4} merges  │{'│'.join(names[id] for id in ids)}│")
        before = ids
    print()
print("the first merges: ", " ".join(names[256:276]))
print("the latest merges:", " ".join(names[-12:]))

# %% [markdown]
# The first merges are bits of spelling, but words such as the, of and Hamlet are soon tokens, with the space in front.
# Nobody told it what a word is, beyond where to cut.
#
# ## How large a vocabulary?
#
# The more merges, the fewer tokens for the same text; and each merge helps less than the one before it (Zipf again).
# Here are bytes per token, on text that was learnt from and on a later scene that was not:

# %%
seen, unseen = hamlet[: size // 2], hamlet[-6000:]
print("vocabulary   bytes per token: learnt from   new text")
for count in (0, 10, 30, 100, 300):
    rates = []
    for text in (seen, unseen):
        ids = applying.bpe_encode(text, merges[:count])
        rates.append(len(text.encode()) / len(ids))
    print(f"{256 + count:10}   {rates[0]:28.2f}   {rates[1]:8.2f}  {'█' * round(12 * rates[1])}")

# %% [markdown]
# A large vocabulary has a price too: each token needs a row of weights, and rare ones are seldom trained. Small
# models do well with a few thousand tokens; large ones, made for many languages and for code, have 100,000 to
# 250,000.
#
# ## WordPiece: likelier than chance
#
# BPE asks how often two tokens meet. WordPiece asks how often they meet *for how common they are*:
#
# $$\text{score}(a, b) = \frac{\text{count}(a\,b)}{\text{count}(a) \cdot \text{count}(b)}$$
#
# If a meets b 10 times, and they occur 20 and 50 times, the score is 10 / 1000 = 0.01. So q u, which nearly always
# come together, go before t h, which come together more often, but also come alone. The two orders, on the letters of
# the play:

# %%
score = mine("wordpiece").wordpiece_score
pairs: Counter[str] = Counter()
single: Counter[str] = Counter()
for piece in GPT2.pieces(hamlet):
    if piece.strip().isalpha():
        word = piece.strip().lower()
        single.update(word)
        pairs.update(a + b for a, b in pairwise(word))
common = [pair for pair, n in pairs.items() if n >= 50]
by_score = sorted(common, key=lambda pair: -score(pairs[pair], single[pair[0]], single[pair[1]]))
print("most frequent:", " ".join(pair for pair, _ in pairs.most_common(10)))
print("best score:   ", " ".join(by_score[:10]))

# %% [markdown]
# It also encodes in its own way: no merges, but the *longest match*. From the front of a word take the longest token
# that fits, then the longest for the rest, where tokens that continue a word are written with ## in front. With un,
# una, ##b, ##le and ##able, `unable` is una ##b ##le. It is greedy: un ##able would be shorter, and is not found. If
# nothing fits at some place, the whole word is one `[UNK]`.

# %% [markdown] tags=["exercise:wordpiece"]
# ## Score and match
#
# `wordpiece_score(pair, left, right)` and `wordpiece_encode(word, vocab, unknown)` in `wordpiece.py`.

# %% [markdown]
# ## What the field does today
#
# - Nearly all language models use byte-level BPE: the GPTs, Llama 3, Qwen. They differ in how text is cut before
#   (digits one by one or in threes, spaces before code) and in size. WordPiece is BERT's, and lives on in models for
#   search.
# - Read next: Sennrich, Haddow and Birch 2016, *Neural machine translation of rare words with subword units* (arXiv
#   1508.07909): two pages on BPE, with ten lines of Python that do what you have just written.
# - Real trainers do not count anew. A merge changes only the counts of the pairs beside it, so those are corrected
#   and a heap finds the best. The shipped `learn_merges` does that and gives the same merges as your loop.
# - Why a model is bad at counting the letters of a word: it has never seen them, only ids.

# %%
show("tokens/bpe.py:count_pairs")
show("tokens/bpe.py:merge")
show("tokens/bpe.py:apply_merges")
show("tokens/bpe.py:learn_merges")
show("tokens/wordpiece.py:wordpiece_encode")
