"""How permits come and go in the course of time: confirmations, deadlines, renewals, agents that are gone."""

from typing import Any

import pytest

from concerted.board.holding import WAKE_AGAIN_S
from concerted.board.semaphores.semaphore import (
    KINDS,
    Acquire,
    Check,
    CheckResult,
    Confirm,
    Create,
    Expire,
    PermitResult,
    Release,
    Renew,
    Request,
    Semaphore,
    Withdraw,
    answer,
    check_renewal,
    decide,
    evolve,
)
from concerted.errors import (
    ConcertedError,
    LeaseLost,
    WrongPhase,
)
from concerted.machine import Found, Look, Lost, Step, Wake
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


# time


def confirming() -> Play:
    """Return a semaphore at 10 at which bob is to confirm two permits by 15, and cy waits for two."""
    play = full()
    play.ask(wish("t2", BOB, 2, confirm_s=5.0))
    play.ask(wish("t3", CY, 2))
    play.ask(Release(ANN, "t1"), 10.0)
    return play


def test_a_grant_to_who_waited_is_to_be_confirmed_or_passes_on() -> None:
    play = confirming()
    assert play.step.wake_at == 15.0
    assert play.ask(Wake(), 15.0) == [("lapsed", "bob"), ("granted", "cy")]
    play.refused(LeaseLost, "are over: the grant was not confirmed in time", Confirm("t2", BOB))
    assert play.ask(wish("t2", BOB, 2, confirm_s=5.0)) == [("queued", "bob")]


def test_a_confirmed_grant_lives_from_then_on() -> None:
    play = confirming()
    assert play.ask(Confirm("t2", BOB), 14.0) == [("confirmed", "bob")]
    assert play.ask(Confirm("t2", BOB)) == []
    assert play.step.wake_at == 70.0
    assert play.told(wish("t2", BOB, 2, confirm_s=5.0)).expires_at == 74.0
    play.refused(WrongPhase, "ticket t3 is not granted yet", Confirm("t3", CY))


def test_asking_again_confirms_and_withdrawing_gives_back() -> None:
    assert confirming().ask(wish("t2", BOB, 2)) == [("confirmed", "bob")]
    assert confirming().ask(Withdraw("t2", BOB)) == [("released", "bob"), ("granted", "cy")]


def test_a_confirmation_at_its_deadline_is_too_late() -> None:
    play = confirming()
    play.refused(LeaseLost, "not confirmed in time", Confirm("t2", BOB), 15.0)
    play.refused(LeaseLost, "no permits are held under", Renew(BOB, SECOND), 15.0)
    with pytest.raises(LeaseLost, match="was not confirmed in time"):
        check_renewal(play.state, BOB, SECOND, 15.0)
    assert answer(play.state, Check(SECOND), 15.0) == CheckResult(
        valid=False, reason="the grant was not confirmed in time"
    )


def test_a_ticket_is_given_up_at_its_deadline() -> None:
    play = full()
    late = wish("t2", BOB, deadline_at=20.0)
    play.ask(late, 1.0)
    assert play.step.wake_at == 20.0
    assert play.ask(Release(ANN, "t1"), 20.0) == [("abandoned", "bob"), ("released", "ann")]
    result = play.told(late, 30.0)
    assert (play.step.events, result.status, result.reason) == ((), "abandoned", "its deadline passed")


def test_a_deadline_that_has_passed_is_told_before_any_timer_fired() -> None:
    play = full()
    play.ask(wish("t2", BOB, deadline_at=20.0), 1.0)
    result = answer(play.state, wish("t2", BOB, deadline_at=20.0), 20.0)
    assert isinstance(result, PermitResult)
    assert (result.status, result.pending) == ("abandoned", False)


def test_permits_come_back_when_their_time_is_over() -> None:
    play = full()
    play.ask(wish("t2", BOB, 2), 1.0)
    assert play.ask(Expire({FIRST: 70.0}), 60.0) == [("checked", None)]
    assert play.step.wake_at == 70.0
    assert play.ask(Expire({FIRST: 70.0}), 70.0) == [("expired", "ann"), ("granted", "bob")]
    assert play.step.events[0].data["expires_at"] == 70.0
    assert play.step.wake_at == 130.0


def test_it_is_looked_at_again_when_the_first_of_the_remaining_times_is_over() -> None:
    play = Play()
    for ticket, ttl_s in (("t1", 5.0), ("t2", 40.0), ("t3", 90.0)):
        play.ask(wish(ticket, ANN, ttl_s=ttl_s))
    assert play.step.wake_at == 5.0
    assert play.ask(Expire({}), 5.0) == [("expired", "ann"), ("checked", None)]
    play.ask(Look())
    assert play.step.wake_at == 40.0


def test_a_plain_wake_ends_nothing_that_may_have_been_renewed() -> None:
    play = full()
    assert play.ask(Wake(), 70.0) == []
    assert play.step.wake_at == 70.0 + WAKE_AGAIN_S


def test_at_rest_nothing_is_written_however_long_it_is_renewed() -> None:
    play = full()
    play.ask(Expire({FIRST: 90.0}), 60.0)
    assert play.ask(Expire({FIRST: 120.0}), 90.0) == []
    assert play.step.wake_at == 120.0


# agents that are gone


def test_who_is_gone_waits_no_longer_and_holds_until_its_time_is_over() -> None:
    play = full()
    play.ask(wish("t2", BOB, 2))
    play.ask(wish("t3", CY))
    assert play.ask(Lost(BOB, "killed")) == [("dropped", "bob")]
    assert play.ask(Lost(ANN, "no heartbeat")) == [("holder_lost", "ann")]
    assert play.ask(Lost(ANN, "no heartbeat")) == []
    assert play.told(wish("t3", CY)).held_by[0].gone == "no heartbeat"
    assert play.ask(Found(ANN)) == [("holder_found", "ann")]
    assert play.ask(Found(ANN)) == []
    assert play.ask(wish("t2", BOB, 2)) == [("queued", "bob")]


def test_what_the_gone_has_not_confirmed_passes_on_at_once() -> None:
    assert confirming().ask(Lost(BOB, "killed")) == [("lapsed", "bob"), ("granted", "cy")]
