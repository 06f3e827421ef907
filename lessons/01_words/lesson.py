# Text to tokens. Run it as it stands: python lesson.py

# %% [markdown]
# # 1 · Text to tokens
#
# A language model is arithmetic. It cannot read letters; it reads whole numbers, each of which stands for a piece of
# text, a *token*. So the first part of every model is a pair of functions that people seldom look at:
#
# $$\text{encode}: \text{text} \to (i_1, \dots, i_n), \qquad
#   \text{decode}: (i_1, \dots, i_n) \to \text{text}, \qquad 0 \le i_t < V$$
#
# V is the size of the *vocabulary*, the list of all tokens. In shapes: a text of any length becomes a list of n whole
# numbers. Later the model has one row of weights for each of the V tokens, and gives V probabilities at each place.
#
# One thing decides whether the pair is good: **decode(encode(text)) should be text**. What gets lost here is lost for
# good. If capitals were dropped, the model would never write one, however long it was trained. That goes for the
# vocabulary, and it goes for the cleaning that comes before it.

# %% [markdown]
# ## By hand
#
# Take the text `to be, or not to be`. Cut it into words, runs of white space, and runs of anything else. There are 12
# pieces, of 6 kinds. Count them, give the most frequent the id 0, and let equal counts go by the alphabet, where the
# space and the comma come before all letters:
#
# | piece | (space) | be | to | , | not | or | `<unk>` | `<|endoftext|>` |
# |---|---|---|---|---|---|---|---|---|
# | count | 5 | 2 | 2 | 1 | 1 | 1 | | |
# | id | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
#
# So the text is 2 0 1 3 0 5 0 4 0 2 0 1. The last two entries are *special tokens*: no text has them in it.
# `<|endoftext|>` will stand between documents, and `<unk>` stands for every piece that the vocabulary lacks. With this
# vocabulary `to see` is 2 0 6, and comes back as `to <unk>`. The next cell computes it.

# %%
import math
import re
from collections import Counter

from firsthand.learn.page import is_long, mine, show
from firsthand.text.corpora import shakespeare
from firsthand.text.plays import printed_play

words = mine("word_tokenizer")


def pieces(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]+", text)


vocab = words.build_vocab(pieces("to be, or not to be"))
tokenizer = words.WordTokenizer(vocab)
print(vocab)
print(tokenizer.encode("to be, or not to be"))
print(tokenizer.encode("to see"), "comes back as", repr(tokenizer.decode(tokenizer.encode("to see"))))

# %% [markdown]
# ## The same text, spelt differently
#
# Before a text is cut, it should be spelt in one way. Computers have several spellings for what a reader takes to be
# the same:
#
# - The é of *café* is one character (U+00E9), or an e with an accent that goes on top of it (U+0065 U+0301). Unicode
#   calls the first *form C*, composed, and the second *form D*, decomposed.
# - A line ends with `\n` on Linux and new Macintoshes, with `\r\n` on Windows, with `\r` on very old machines.
# - Files carry characters that nobody can see: a byte order mark at the start, a soft hyphen where a word may be
#   broken, control characters left over from a terminal.
#
# To a tokenizer each of these is another text. Here are four spellings, before and after:

# %%
normalize = mine("normalize").normalize
for spelling in ("caf\u00e9", "cafe\u0301", "\ufeffcaf\u00e9", "ca\u00adfe\u0301"):
    clean = normalize(spelling)
    print(f"{spelling!a:22} {len(spelling)} characters -> {clean!a:12} {len(clean)} characters")

# %% [markdown]
# Two rules keep cleaning harmless:
#
# 1. *Change the spelling, never the content.* Form KC is a stronger relative of form C: it makes ½ into 1⁄2 and ²
#    into 2. That is good for a search, and bad for a model, which should be able to write x².
# 2. *Mind the order.* `\r` and form feeds are control characters: who removes those first has no line ends left to
#    replace. And accents come last, because an invisible character may have stood between a letter and its accent.
#
# A surprise is what must stay. Tabs are control characters, and hold Python code together. The joiners U+200C and
# U+200D are invisible, and a family emoji is three people joined by two of them: without them, three strangers.

# %%
family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
print(family, "is", len(family), "characters; normalized it is still", len(normalize(family)))

# %% [markdown] tags=["exercise:normalize"]
# ## Write the cleaning
#
# `normalize(text)` in `normalize.py`: line ends, control characters, form C. Nothing else may change. Then
# `firsthand learn check`.

# %% [markdown] tags=["exercise:word_tokenizer"]
# ## Write the tokenizer
#
# `build_vocab(tokens, specials)` and `WordTokenizer(vocab)` with `encode` and `decode` in `words.py`.
#
# Two questions before you begin. If white space were thrown away, what would decode have to guess? And if equal counts
# went in the order of a Python `set`, what would happen to a model that is loaded tomorrow?

# %% [markdown]
# ## A picture: tokens of a play
#
# The vocabulary is now learnt from *Hamlet*. A few words of another play, each token between bars, with its id below
# (`_` is a space, `/` the end of a line):

# %%
plays = {play.name: normalize(printed_play(play.text)) for play in shakespeare() if play.name in ("hamlet", "macbeth")}
counts = Counter(pieces(plays["hamlet"]))
vocab = words.build_vocab(pieces(plays["hamlet"]))
tokenizer = words.WordTokenizer(vocab)


def chips(text: str) -> str:
    """Tokens in one row, ids in the next."""
    ids = tokenizer.encode(text)
    shown = [tokenizer.decode([id]).replace(" ", "_").replace("\n", "/") for id in ids]
    widths = [max(len(one), len(str(id))) for one, id in zip(shown, ids, strict=True)]
    rows = [[one.ljust(width) for one, width in zip(row, widths, strict=True)] for row in (shown, map(str, ids))]
    return "\n".join(f"│{'│'.join(row)}│" for row in rows)


print(chips("Is this a dagger which I see before me,"))
print(chips("The handle toward my hand?"))

# %% [markdown]
# ## Why words are not enough
#
# Sort the words of the play by how often they occur. From about the tenth word on, the count falls like 1/rank, so that
# count times rank stays near one number. This is *Zipf's law*: with both scales logarithmic it is a straight line. In
# the table the rank doubles from row to row, and each bar is as long as the logarithm of the count:

# %%
ranked = [(word, n) for word, n in counts.most_common() if word.isalpha()]
print(f"{'rank':>5} {'word':14}{'count':>6}   count x rank")
for rank in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048):
    word, n = ranked[rank - 1]
    print(f"{rank:5} {word:14}{n:6} {n * rank:7}  {'█' * round(4 * math.log2(n) + 1)}")
once = sum(n == 1 for _, n in ranked)
print(f"{once} of {len(ranked)} words occur once: {once / len(ranked):.0%}")

# %% [markdown]
# So a vocabulary has a long tail. More than half of it was seen once, too seldom to learn anything about, and yet the
# next text brings words that are not in it. Here is how much of *Macbeth* a vocabulary from *Hamlet* can say, for
# several sizes (the most frequent pieces are kept, which is why those should have the small ids):

# %%
tail = pieces(plays["macbeth"])
known = sorted((word for word in counts), key=vocab.get)
sizes = (100, 300, 1000, 3000, len(known)) if not is_long() else (10, 30, 100, 300, 1000, 2000, 3000, 4000, len(known))
print("tokens kept   unknown in Macbeth, of all tokens   of words")
for size in sizes:
    kept = set(known[:size])
    missing = sum(piece not in kept for piece in tail) / len(tail)
    spoken = [piece for piece in tail if piece.isalpha()]
    of_words = sum(piece not in kept for piece in spoken) / len(spoken)
    print(f"{size:11}   {missing:34.1%}   {of_words:8.1%}  {'█' * round(40 * of_words)}")

# %% [markdown]
# Predict before you go on: would ten plays instead of one solve it? It helps less than one would hope. Names, typing
# errors, numbers and other languages never end, and each new word costs a row of weights. Characters would solve it,
# for there are few of them; but the ids of a text are then more than twice as many, each says little, and a model has
# to learn to spell before anything else. The next lesson finds the way between the two.

# %% [markdown]
# ## What the field does today
#
# - Words as tokens were the rule until about 2016, with tens of thousands of them and `<unk>` for the rest. Language
#   models have given them up; search engines and spam filters have not.
# - Cleaning has become lighter. The uncased BERT made letters small and took accents off; GPT-2 and what came after it
#   keep the text as it is, and Qwen composes it to form C. What is removed today is whole documents, not characters.
# - Special tokens are kept apart from text with care: who could make `<|endoftext|>` by typing it could end a document
#   that is not theirs to end. That is why your encode must not know them.
# - Read next: Mielke et al. 2021, *Between words and characters* (arXiv 2112.10508), a history of this lesson and the
#   next one. Form C is defined in Unicode's Standard Annex 15.
#
# The shipped parts. `normalize` is the first step that every source gets. The tokenizer has more methods than yours,
# for it can be trained and saved to a file, but encoding is the same look-up:

# %%
show("text/clean.py:normalize")
show("text/clean.py:control")
show("tokens/word.py:build_vocab")
show("tokens/word.py:WordTokenizer")
