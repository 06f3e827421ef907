"""Naming a mistake: only where the answer equals a known slip's and no other's, and the same properties fail."""

from collections.abc import Collection, Mapping

from firsthand.learn.grader.leaves import EXACT, Leaves, same
from firsthand.learn.grader.mutate import Mutant
from firsthand.learn.grader.profile import Profile

Outputs = Mapping[str, Leaves]


def alike(mine: Outputs, other: Outputs, edges: Collection[str] = (), tolerance: float = EXACT) -> bool:
    """Whether two implementations give the same for every case of `other` that is no edge."""
    cases = other.keys() - set(edges)
    return cases <= mine.keys() and all(same(mine[case], other[case], tolerance) for case in cases)


def tells(found: Outputs) -> bool:
    """Whether there is anything to recognise: what raises for every case looks like everything else that does."""
    return any("raised" not in leaves for leaves in found.values())


def shows(symptom: str | None, found: Profile) -> bool:
    """Whether the property that a slip declares as its symptom does not hold."""
    ids = (*found.failed, *found.warned)
    return symptom is not None and any(symptom in (one, one.partition(":")[0]) for one in ids)


def named(
    mine: Profile, right: Outputs, slips: Mapping[str, Profile], known: Mapping[str, Mutant], edges: Collection[str]
) -> str | None:
    """The one slip that behaves exactly as `mine` does, or None.

    Where the outputs are those of a right answer, or none came, only slips that declare a symptom are candidates. If
    no slip behaves so, those count that differ in cases at the edge only, with the same headline.
    """
    correct = alike(mine.outputs, right)
    symptom_only = correct or not tells(mine.outputs)
    found = [
        name
        for name, slip in slips.items()
        if slip.failed == mine.failed
        and (mine.failed or slip.warned == mine.warned)
        and alike(mine.outputs, slip.outputs)
        and (not symptom_only or shows(known[name].symptom, mine))
    ]
    if not found and not symptom_only and not alike(mine.outputs, right, edges):
        found = [
            name
            for name, slip in slips.items()
            if slip.failed[:1] == mine.failed[:1]
            and alike(mine.outputs, slip.outputs, edges)
            # what is alike at the edges too is told apart by a property
            and not alike(mine.outputs, slip.outputs)
        ]
    return found[0] if len(found) == 1 else None


def named_pair(
    mine: Profile, right: Outputs, slips: Mapping[str, Profile], pairs: Mapping[str, Outputs], edges: Collection[str]
) -> str | None:
    """The one pair of slips whose outputs `mine` equals, if these are neither right nor those of a single slip."""
    if not tells(mine.outputs) or alike(mine.outputs, right, edges):
        return None
    if any(alike(mine.outputs, slip.outputs, edges) for slip in slips.values()):
        return None
    found = [name for name, outputs in pairs.items() if alike(mine.outputs, outputs, edges)]
    return found[0] if len(found) == 1 else None
