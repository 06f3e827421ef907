"""WordPiece by trying the vocabulary, longest tokens first."""

from math import exp, log


def wordpiece_score(pair, left, right):
    return exp(log(pair) - log(left) - log(right)) if pair else 0.0


def wordpiece_encode(word, vocab, unknown="[UNK]"):
    first = sorted((token for token in vocab if not token.startswith("##")), key=len, reverse=True)
    later = sorted((token[2:] for token in vocab if token.startswith("##") and len(token) > 2), key=len, reverse=True)
    ids, left = [], word
    while left:
        known = first if left is word else later
        token = next((one for one in known if left.startswith(one) and one != unknown), None)
        if token is None:
            return [vocab[unknown]]
        ids.append(vocab[token] if known is first else vocab["##" + token])
        left = left[len(token) :]
    return ids
