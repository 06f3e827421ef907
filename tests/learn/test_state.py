"""State is a fold over events: what counts, what merges, and that the history alone brings it back."""

import pytest

from firsthand.learn.state import State, merged, of_json, replayed


def event(what, minute, **more):
    return {"at": f"2026-01-01T10:{minute:02}:00+00:00", "what": what, "exercise": "a", **more}


PASS = {"status": "passed", "sha256": "f" * 64, "mutant": None, "property": None}
FAIL = {"status": "failed", "sha256": "0" * 64, "mutant": "no_scale", "property": "oracle"}


def test_attempts_hints_and_time_stop_at_the_first_pass() -> None:
    events = [
        event("visit", 0),
        event("check", 2, **FAIL),
        event("hint", 3, ladder="no_scale", rung=1),
        event("check", 5, **PASS),
        event("check", 9, **FAIL),
        event("hint", 10, ladder="no_scale", rung=2),
    ]
    record = replayed(events).of("a")
    assert (record.attempts, record.hints, record.seconds) == (2, 1, 300.0)
    assert (record.status, record.sha256, record.passed_at) == ("passed", "f" * 64, events[3]["at"])
    assert record.slips == {"no_scale": 2}
    assert record.rungs == {"no_scale": 2}, "the ladder goes on, although it no longer counts as help"


def test_who_was_away_has_not_worked() -> None:
    assert replayed([event("visit", 0), event("check", 40, **FAIL)]).of("a").seconds == 0


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    assert replayed([event("visit", 9), event("check", 1, **FAIL), event("check", 2, **FAIL)]).of("a").seconds == 60


def test_not_started_is_no_attempt() -> None:
    stub = {"status": "not started", "sha256": None}
    assert replayed([event("check", 1, **stub)]).of("a").attempts == 0


def test_giving_up_after_a_pass_is_not_giving_up() -> None:
    assert not replayed([event("check", 1, **PASS), event("gave_up", 2)]).of("a").gave_up
    assert replayed([event("gave_up", 1), event("check", 2, **PASS)]).of("a").gave_up


def test_reset_keeps_when_it_passed() -> None:
    record = replayed([event("check", 1, **PASS), event("reset", 2)]).of("a")
    assert (record.status, record.sha256, bool(record.passed_at)) == ("not started", None, True)


def test_the_earliest_pass_wins_and_a_pass_beats_none() -> None:
    early, late = replayed([event("check", 1, **PASS)]), replayed([event("check", 30, **PASS)])
    tried = replayed([event("check", 0, **FAIL), event("check", 1, **FAIL)])
    for one, other in ((early, late), (late, early), (early, tried), (tried, early)):
        assert merged(one, other).of("a") == early.of("a")
    assert merged(State(), tried).of("a").attempts == 2


def test_json_there_and_back() -> None:
    state = replayed([event("visit", 0), event("check", 1, **FAIL)]).after(
        {"at": "2026-01-01T11:00:00+00:00", "what": "milestone", "milestone": "M2", "said": "2 of 3"}
    )
    assert of_json(state.as_json()) == state
    assert state.milestones["M2"]["said"] == "2 of 3"


@pytest.mark.parametrize("tree", [{}, [], {"schema": 99}, {"schema": 1, "exercises": {"a": {"attempts": -1}}}])
def test_what_is_no_state_is_refused(tree) -> None:
    with pytest.raises(ValueError):
        of_json(tree)


def test_unknown_events_change_nothing_else() -> None:
    before = replayed([event("check", 1, **FAIL)])
    after = before.after({"at": "2026-01-01T10:02:00+00:00", "what": "celebrated"})
    assert after == before
