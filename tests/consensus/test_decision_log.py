"""A log of decisions: positions without gaps, each request once, pages that miss nothing, and bounds."""

from typing import Any

import msgspec
import pytest

from concerted.consensus import decision_log
from concerted.consensus.decision_log import (
    KINDS,
    PAGE,
    VALUE_BYTES,
    WRITERS,
    Append,
    Create,
    DecisionLog,
    DecisionLogResult,
    Read,
    Request,
    Terms,
    answer,
    decide,
    evolve,
    topic,
    waits,
    wakes,
)
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, Overloaded
from concerted.machine import Event, Found, Look, Lost, Step, Wake
from concerted.values import AgentId, Instant

pytestmark = pytest.mark.pure

ANN, BOB, CY = (AgentId(name) for name in ("ann", "bob", "cy"))


def create(**terms: Any) -> Create:
    return Create("audit", CY, Terms(**terms))


def append(by: AgentId, value: Any, request_id: str = "") -> Append:
    return Append("audit", by, value, request_id or f"{by} appends {value!r}")


def taken(state: DecisionLog | None, request: Request, now: Instant) -> tuple[DecisionLog, Step]:
    step = decide(state, request, now)
    for event in step.events:
        assert event.kind in KINDS
        state = evolve(state, event, now)
    assert state is not None
    return state, step


def after(*requests: Request) -> DecisionLog:
    """Return the state after requests at the instants 1, 2, 3 ..."""
    state: DecisionLog | None = None
    for at, request in enumerate(requests, 1):
        state, _ = taken(state, request, float(at))
    assert state is not None
    return state


def told(state: DecisionLog | None, request: Request, now: Instant = 9.0) -> DecisionLogResult:
    return answer(taken(state, request, now)[0], request, now)


def read(state: DecisionLog, after_: int = 0, limit: int = PAGE) -> list[tuple[int, Any]]:
    return [(entry.position, entry.value) for entry in told(state, Read(after_, limit)).entries]


# The order


def test_the_first_append_makes_the_log_and_is_its_first_entry() -> None:
    state, step = taken(None, append(ANN, "x"), 1.0)
    assert [event.kind for event in step.events] == ["decision_log.created", "decision_log.appended"]
    assert answer(state, append(ANN, "x"), 1.0).position == 1
    assert read(state) == [(1, "x")]


def test_entries_are_numbered_in_the_order_of_the_log_whoever_appends() -> None:
    state = after(append(ANN, "x"), append(BOB, "y"), append(ANN, "z"))
    assert read(state) == [(1, "x"), (2, "y"), (3, "z")]
    entry = told(state, Read(1)).entries[0]
    assert (entry.by, entry.at, entry.request_id) == (BOB, 2.0, "bob appends 'y'")


def test_a_request_that_is_given_again_appends_once_and_has_its_position() -> None:
    state = after(append(ANN, "x", "r"), append(BOB, "y"))
    again, step = taken(state, append(ANN, "x", "r"), 3.0)
    assert (again, step.events) == (state, ())
    assert answer(again, append(ANN, "x", "r"), 3.0).position == 1
    assert told(state, append(BOB, "x", "r")).position == 3, "request ids are each agent's own"
    with pytest.raises(Conflict, match="is entry 1 of log audit, with another value"):
        decide(state, append(ANN, "z", "r"), 3.0)


def test_a_gap_in_the_positions_would_be_noticed() -> None:
    data = {"position": 3, "value": "x", "request_id": "r"}
    with pytest.raises(AssertionError, match="entry 3 of audit after 1"):
        evolve(after(append(ANN, "x")), Event("decision_log.appended", ANN, None, data), 2.0)


def test_the_value_is_as_it_comes_back_from_the_log() -> None:
    assert read(after(append(ANN, {"b": (1,), "a": None}, "r"))) == [(1, {"a": None, "b": [1]})]


# Reading


def test_pages_follow_each_other_without_gap_or_repeat() -> None:
    state = after(*(append(ANN, number) for number in range(7)))
    pages, at = [], 0
    while not (page := told(state, Read(at, 3))).pending:
        pages.append([entry.position for entry in page.entries])
        at = page.next_after
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]
    assert (page.next_after, page.last) == (7, 7)


def test_a_page_is_bounded_in_bytes_but_always_has_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "PAGE_BYTES", 25)
    state = after(*(append(ANN, letter * 10, letter) for letter in "abc"), append(ANN, "d" * 100, "d"))
    assert [len(told(state, Read(at)).entries) for at in (0, 1, 2, 3)] == [2, 2, 1, 1]


def test_who_reads_beyond_the_end_waits_until_it_grows() -> None:
    state = after(append(ANN, "x"))
    assert told(state, Read(1)).pending
    wait = waits(state, Read(1), 2.0)
    assert wait is not None
    assert (wait.waiting_for, wait.since) == ("log audit to grow beyond 1; its last entry is 1", 1.0)
    assert wait.unblocked_by == ()
    state, step = taken(state, append(BOB, "y"), 3.0)
    assert [list(wakes(event)) for event in step.events] == [[topic(Read(1))]]
    assert waits(state, Read(1), 3.0) is None
    assert read(state, 1) == [(2, "y")]


def test_an_empty_log_can_be_waited_for() -> None:
    state, step = taken(None, create(), 1.0)
    assert [list(wakes(event)) for event in step.events] == [[]]
    wait = waits(state, Read(), 5.0)
    assert wait is not None
    assert wait.since == 1.0
    assert waits(state, Look(), 5.0) is None


@pytest.mark.parametrize("request_", [Read(-1), Read(0, 0), Read(0, PAGE + 1)])
def test_what_is_no_page_is_refused(request_: Read) -> None:
    with pytest.raises(Invalid, match="a page after"):
        decide(after(create()), request_, 2.0)


# Making, and who may


def test_making_it_again_on_the_same_terms_is_the_same_log() -> None:
    state = after(create(writers=(ANN,)))
    assert taken(state, create(writers=(ANN,)), 2.0) == (state, Step())
    with pytest.raises(Conflict, match="other writers"):
        decide(state, create(), 2.0)


def test_only_those_who_are_named_may_append() -> None:
    state = after(create(writers=(ANN, BOB)))
    with pytest.raises(NotAllowed, match="cy may not append to log audit; ann, bob may"):
        decide(state, append(CY, "x"), 2.0)
    assert told(state, append(BOB, "x")).position == 1


@pytest.mark.parametrize("request_", [Read(), Look()])
def test_nobody_reads_what_is_not_there(request_: Request) -> None:
    with pytest.raises(NotFound, match="make it, or append"):
        decide(None, request_, 1.0)


@pytest.mark.parametrize("request_", [Wake(), Lost(ANN, "gone"), Found(ANN)])
def test_time_and_lost_agents_change_nothing(request_: Request) -> None:
    assert decide(None, request_, 1.0) == Step()
    assert decide(after(create()), request_, 2.0) == Step()


# Bounds


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Create(" ", ANN), "cannot name a log"),
        (create(writers=(AgentId(" "),)), "cannot name a writer"),
        (create(writers=tuple(AgentId(f"a{n}") for n in range(WRITERS + 1))), "1001 writers"),
        (append(ANN, object(), "r"), "no JSON form"),
        (append(ANN, "x" * VALUE_BYTES, "r"), "at most 65536"),
        (append(ANN, "x", " "), "needs a request id"),
    ],
)
def test_what_cannot_be_kept_is_refused(request_: Request, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        decide(None, request_, 1.0)


@pytest.mark.parametrize(("bound", "value"), [("ENTRIES", 2), ("LOG_BYTES", 6)])
def test_a_full_log_takes_nothing_more_and_keeps_what_it_has(
    bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log, bound, value)
    state = after(append(ANN, "x", "a"), append(ANN, "y", "b"))
    with pytest.raises(Overloaded, match="log audit is full: 2 entries of 6 bytes") as caught:
        decide(state, append(ANN, "z", "c"), 3.0)
    assert caught.value.facts["bound"] == value
    assert told(state, append(ANN, "y", "b")).position == 2
    assert read(state) == [(1, "x"), (2, "y")]


def test_the_answer_says_what_keeps_the_log_and_that_it_has_no_leader() -> None:
    result = told(None, append(ANN, "x"))
    assert (result.algorithm, result.entries_committed, result.last) == ("single", 2, 1)
    assert "one fault domain" in result.stored_by[0]
    assert (result.term, result.leader, result.group) == (None, None, None)
    assert msgspec.json.decode(msgspec.json.encode(result), type=DecisionLogResult) == result
