"""Merges in any order: files from elsewhere may make one token in several ways, or use a token before it is made.

What a pair becomes is then not enough to say when: its rank is written above the id, in one number, which decides.
"""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

from firsthand.errors import DamagedError
from firsthand.tokens.chain import END, Pair

ID = (1 << 20) - 1
"""The bits of an id: no vocabulary is larger (file.py)."""
RANK = ID.bit_length()


def in_order(merges: Mapping[Pair, int], bytes_: Iterable[int]) -> bool:
    """Whether each merge makes a new token, of higher id, out of bytes and tokens made before it.

    Then the order of the ids is the order of merging, and all occurrences of a pair can be merged at once.
    """
    known, last = set(bytes_), -1
    for pair, new_id in merges.items():
        if not (known.issuperset(pair) and new_id > last and new_id not in known):
            return False
        known.add(new_id)
        last = new_id
    return True


def ranked(merges: Mapping[Pair, int]) -> dict[Pair, int]:
    """`merges`, in the order they were learnt, with their ranks above the ids."""
    return {pair: rank << RANK | id for rank, (pair, id) in enumerate(merges.items())}


def apply_ranked(ids: list[int], merges: Mapping[Pair, int]) -> list[int]:
    """Encode one piece, in O(n log n): the earliest merge that is possible, the leftmost of equal ones, one at a time.

    For `ranked` merges, whatever their order.
    """
    left, right = list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))
    heap = [(merges[pair], at) for at, pair in enumerate(pairwise(ids)) if pair in merges]
    heapify(heap)
    while heap:
        made, at = heappop(heap)
        gone = right[at]
        if gone == len(ids) or merges.get((ids[at], ids[gone])) != made:
            continue  # since it was noted here, one of the two became part of another token
        ids[at], ids[gone] = made & ID, END
        after = right[at] = right[gone]
        if after < len(ids):
            left[after] = at
            if (new := merges.get((ids[at], ids[after]))) is not None:
                heappush(heap, (new, at))
        before = left[at]
        if before >= 0 and (new := merges.get((ids[before], ids[at]))) is not None:
            heappush(heap, (new, before))
    return [id for id in ids if id != END]


def read_merges(pairs: Iterable[tuple[str, str]], ids: Mapping[str, int]) -> dict[Pair, int]:
    """The merges by id, or DamagedError: each makes an ordinary token of two others, and no pair comes twice."""
    made: dict[Pair, int] = {}
    for first, second in pairs:
        pair, new_id = (ids.get(first, -1), ids.get(second, -1)), ids.get(first + second, -1)
        if min(*pair, new_id) < 0 or pair in made:
            raise DamagedError(
                f"The merge {first[:40]!r} {second[:40]!r} does not make an ordinary token of two others, or comes "
                "twice, so this is no BPE as it is trained here or by others."
            )
        made[pair] = new_id
    return made
