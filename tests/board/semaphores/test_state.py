"""A semaphore as a state: its events alone make it, it survives being written down, and it stays bounded."""

from typing import Any, get_args, get_origin

import msgspec
import pytest

from concerted.board.holding import ENDED_KEPT
from concerted.board.semaphores.semaphore import (
    KINDS,
    Acquire,
    Confirm,
    Create,
    Expire,
    PermitResult,
    Release,
    Request,
    Resize,
    Semaphore,
    Withdraw,
    answer,
    decide,
    evolve,
)
from concerted.board.semaphores.state import Ended, Permit, Waiting, find, permit_of
from concerted.errors import (
    ConcertedError,
    NotFound,
)
from concerted.machine import Event, Found, Lost, Step
from concerted.persistent import Map
from concerted.values import AgentId, Instant

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")
FIRST, SECOND = "0000000000000001", "0000000000000002"
GPUS = Create("gpus", ANN, 3, "the GPUs", {"rack": 7})


class Play:
    """A semaphore that is asked one thing after the other."""

    def __init__(self, create: Create | None = GPUS) -> None:
        self.state: Semaphore | None = None
        self.step = Step()
        self.now: Instant = 0.0
        if create is not None:
            self.ask(create)

    def ask(self, request: Request, at: Instant | None = None) -> list[tuple[str, str | None]]:
        """Return the events: kind without its first word, and agent."""
        self.now = self.now if at is None else at
        self.step = decide(self.state, request, self.now)
        for event in self.step.events:
            assert event.kind in KINDS
            self.state = evolve(self.state, event, self.now)
        return [(event.kind.removeprefix("semaphore."), event.agent) for event in self.step.events]

    def told(self, request: Request, at: Instant | None = None) -> PermitResult:
        """Ask, and return the answer."""
        self.ask(request, at)
        result = answer(self.state, request, self.now)
        assert isinstance(result, PermitResult)
        return result

    def refused(self, error: type[ConcertedError], why: str, request: Request, at: Instant | None = None) -> None:
        self.now = self.now if at is None else at
        with pytest.raises(error, match=why):
            decide(self.state, request, self.now)


def wish(ticket: str, holder: AgentId, permits: int = 1, **more: Any) -> Acquire:
    return Acquire(ticket, holder, permits, **more)


def full(**more: Any) -> Play:
    """Return a semaphore of three permits, all of which ann holds under t1."""
    play = Play()
    play.ask(wish("t1", ANN, 3, **more))
    return play


EVENTFUL: list[Request] = [
    wish("t1", ANN, 2, purpose="train", priority="high"),
    wish("t2", BOB, 2, confirm_s=5.0),
    wish("t3", CY, 1, deadline_at=100.0),
    wish("t4", CY, 1),
    Release(ANN, "t1"),
    Confirm("t2", BOB),
    Resize(ANN, 5),
    wish("t5", DAN, 4),
    Withdraw("t5", DAN),
    Lost(BOB, "killed"),
    Found(BOB),
    Expire({}),
]


def lived() -> tuple[list[tuple[Event, float]], list[Semaphore]]:
    """Return the events of a life, with their instants, and the states after each request."""
    state: Semaphore | None = None
    log: list[tuple[Event, float]] = []
    states: list[Semaphore] = []
    for number, request in enumerate([GPUS, *EVENTFUL]):
        at = number * 30.0 if isinstance(request, Expire) else float(number)
        for event in decide(state, request, at).events:
            state = evolve(state, event, at)
            log.append((event, at))
        assert state is not None
        states.append(state)
    return log, states


def plain(value: Any) -> Any:
    assert isinstance(value, Map)
    return dict(value)


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


def test_the_events_alone_make_the_state() -> None:
    log, states = lived()
    again = None
    for event, at in log:
        data = msgspec.json.decode(msgspec.json.encode(event.data))
        again = evolve(again, Event(event.kind, event.agent, event.ref, data), at)
    assert again == states[-1]
    assert len({event.kind for event, _ in log}) >= 9


def test_it_survives_being_written_down_at_any_time() -> None:
    for state in lived()[1]:
        data = msgspec.json.encode(msgspec.to_builtins(state, enc_hook=plain))
        assert msgspec.convert(msgspec.json.decode(data), Semaphore, dec_hook=typed) == state


def test_a_ticket_can_be_found_as_what_has_become_of_it() -> None:
    states = lived()[1]
    assert isinstance(find(states[1], "t1"), Permit)
    assert isinstance(find(states[2], "t2"), Waiting)
    assert isinstance(find(states[-1], "t1"), Ended)
    assert find(states[-1], "t9") is None
    assert permit_of(states[1], FIRST) == find(states[1], "t1")
    assert permit_of(states[-1], FIRST) is None


def test_what_has_ended_leaves_nothing_behind_but_what_is_remembered() -> None:
    last = lived()[1][-1]
    assert (last.in_use, len(last.held), len(last.tokens), len(last.holders), last.due_at) == (0, 0, 0, 0, None)
    assert (len(last.waiting), len(last.queue), len(last.timers)) == (0, 0, 0)


def test_only_so_many_ended_tickets_are_remembered() -> None:
    play = Play()
    for number in range(ENDED_KEPT + 2):
        play.ask(wish(f"t{number}", ANN))
        play.ask(Release(ANN, f"t{number}"))
    assert play.state is not None
    assert (len(play.state.ended), len(play.state.endings)) == (ENDED_KEPT, ENDED_KEPT)
    play.refused(NotFound, "no ticket t1", Release(ANN, "t1"))
    assert play.ask(Release(ANN, "t2")) == []


def test_a_ticket_that_is_dropped_again_and_again_is_remembered_by_its_newest_end() -> None:
    play = full()
    for _ in range(ENDED_KEPT + 2):
        play.ask(wish("t2", BOB))
        play.ask(Lost(BOB, "killed"))
    assert play.state is not None
    assert (len(play.state.ended), len(play.state.endings)) == (1, ENDED_KEPT)
    result = answer(play.state, wish("t2", BOB), 0.0)
    assert isinstance(result, PermitResult)
    assert (result.status, result.reason) == ("dropped", "bob is gone: killed")


def test_an_event_of_another_kind_changes_nothing() -> None:
    play = full()
    assert evolve(play.state, Event("task.done"), 1.0) == play.state
