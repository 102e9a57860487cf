"""What those who ask a semaphore are told: whom they wait for, pages, tickets that nobody remembers."""

from dataclasses import replace
from typing import Any

import pytest

from concerted.board.semaphores.semaphore import (
    KINDS,
    Acquire,
    Create,
    Find,
    PermitResult,
    Request,
    Semaphore,
    SemaphoreResult,
    answer,
    decide,
    evolve,
    waits,
)
from concerted.errors import (
    ConcertedError,
)
from concerted.machine import Look, Lost, Result, Step, Wait, Wake
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


# whom one waits for


def test_the_first_waits_for_as_many_holders_as_must_give_back() -> None:
    play = Play()
    for ticket, holder in (("t1", ANN), ("t2", BOB), ("t3", CY)):
        play.ask(wish(ticket, holder))
    play.ask(wish("t4", DAN, 2), 4.0)
    assert waits(play.state, wish("t4", DAN, 2), 5.0) == Wait(
        "2 permits of gpus, 0 of 3 free", 4.0, (ANN, BOB, CY), 2, None
    )


def test_those_behind_wait_for_any_of_the_holders_or_the_first() -> None:
    play = full()
    play.ask(wish("t2", BOB, deadline_at=50.0), 1.0)
    play.ask(wish("t3", CY, deadline_at=50.0), 2.0)
    play.ask(Lost(ANN, "no heartbeat for 20 s"))
    assert waits(play.state, wish("t3", CY), 5.0) == Wait(
        "1 permit of gpus, 0 of 3 free; 1 before it in the queue; 3 permits held by ann, who is gone: no heartbeat for"
        " 20 s", 2.0, (ANN, BOB), 1, 50.0
    )  # fmt: skip
    assert waits(play.state, wish("t3", CY), 50.0) is None


def test_who_has_permits_or_never_asked_waits_for_nobody() -> None:
    play = full()
    for request in (wish("t1", ANN, 3), wish("t9", ANN), Look()):
        assert waits(play.state, request, 0.0) is None
    assert waits(None, wish("t1", ANN), 0.0) is None


def test_of_too_many_holders_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.board.semaphores.answers.WAITED_FOR", 1)
    play = Play()
    for ticket, permits in (("t1", 1), ("t2", 2), ("t3", 1)):
        play.ask(wish(ticket, ANN, permits))
    wait = waits(play.state, wish("t3", ANN), 0.0)
    assert wait is not None
    assert (wait.unblocked_by, wait.needed) == ((), 1)


def test_pages_show_each_holder_and_each_ticket_once() -> None:
    play = Play(replace(GPUS, permits=7))
    for number in range(12):
        play.ask(wish(f"t{number:02d}", ANN))
    seen, queued, request = [], [], Find(limit=3)
    while True:
        result = answer(play.state, request, 0.0)
        assert isinstance(result, SemaphoreResult)
        assert (result.holder_count, result.waiting_count) == (7, 5)
        seen += [one.ticket for one in result.holders]
        queued += [(one.ticket, one.position) for one in result.waiting]
        if result.after is None and result.after_position is None:
            break
        request = Find(result.after, result.after_position, 3)
    assert seen == [f"t{number:02d}" for number in range(7)]
    assert queued == [(f"t{number:02d}", number - 6) for number in range(7, 12)]


def test_a_ticket_that_nobody_remembers_is_unknown() -> None:
    result = answer(Play().state, wish("t9", ANN), 0.0)
    assert isinstance(result, PermitResult)
    assert (result.status, result.pending, result.reason) == (
        "unknown", False, "there is no such ticket, or it was over long ago"
    )  # fmt: skip
    assert answer(Play().state, Wake(), 0.0) == Result()
