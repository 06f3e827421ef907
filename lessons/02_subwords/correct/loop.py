"""WordPiece with two indices."""


def wordpiece_score(pair, left, right):
    return pair / left / right


def wordpiece_encode(word, vocab, unknown="[UNK]"):
    ids = []
    start, end = 0, len(word)
    while start < len(word):
        if end == start:
            return [vocab[unknown]]
        piece = word[start:end] if start == 0 else "##" + word[start:end]
        if piece in vocab:
            ids.append(vocab[piece])
            start, end = end, len(word)
        else:
            end -= 1
    return ids
