"""A latch: tickets counted once, obligations that end or come back, and every wrong turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from concerted.board.latches import latch
from concerted.board.latches.latch import (
    COUNT_MAX,
    KINDS,
    TTL_MAX_S,
    Await,
    Cancel,
    CountDown,
    Create,
    GiveBack,
    Latch,
    LatchResult,
    Renew,
    Request,
    Take,
    answer,
    decide,
    evolve,
)
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


@dataclass
class Play:
    """A latch as it lives through requests."""

    state: Latch | None = None
    log: list[Event] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    wake_at: float | None = None

    def ask(self, request: Request, now: float = 0.0) -> list[str]:
        step = decide(self.state, request, now)
        for event in step.events:
            assert all(name in KINDS[event.kind] for name in event.data), event
            self.state = evolve(self.state, event, now)
        self.log += step.events
        self.sends += step.sends
        self.wake_at = step.wake_at
        return [event.kind.removeprefix("latch.") for event in step.events]

    def told(self, request: Request, now: float = 0.0) -> LatchResult:
        self.ask(request, now)
        return self.look_again(request, now)

    def look_again(self, request: Request, now: float = 0.0) -> LatchResult:
        assert self.state is not None
        return answer(self.state, request, now)


def made(count: int = 2, now: float = 0.0, **terms: Any) -> Play:
    play = Play()
    play.ask(Create("docs", ANN, count, **terms), now)
    play.log.clear()
    return play


# counting down


def test_a_latch_opens_with_its_last_count_and_stays_open() -> None:
    play = made(2)
    assert play.told(Await(CY), 1.0).pending
    assert play.ask(CountDown(ANN, "t1"), 2.0) == ["counted"]
    assert play.told(Await(CY), 2.0).remaining == 1
    assert play.ask(CountDown(BOB, "t2"), 3.0) == ["counted", "opened"]
    told = play.told(Await(CY), 9.0)
    assert (told.pending, told.success, told.status, told.remaining, told.total) == (False, True, "open", 0, 2)
    assert (told.opened_at, told.duration_s) == (3.0, 3.0)
    assert play.wake_at is None


def test_a_ticket_counts_once_whoever_counts_it_again() -> None:
    play = made(2)
    play.ask(CountDown(ANN, "t1"))
    assert play.ask(CountDown(ANN, "t1")) == []
    assert play.ask(CountDown(BOB, "t1")) == []
    told = play.told(CountDown(BOB, "t1"))
    assert (told.remaining, told.counted_by, told.ticket) == (1, "ann", "t1")


def test_a_ticket_may_be_worth_more_than_one() -> None:
    play = made(5)
    play.ask(CountDown(ANN, "t1", 3))
    assert play.log[-1].data | {"remaining": 2, "arrived": 3, "total": 5, "count": 3} == play.log[-1].data
    with pytest.raises(Invalid, match="latch docs has 2 counts left, not 3"):
        play.ask(CountDown(ANN, "t2", 3))
    assert play.told(CountDown(ANN, "t2", 2)).success


def test_counting_at_an_open_latch_changes_nothing() -> None:
    play = made(1)
    play.ask(CountDown(ANN, "t1"))
    assert play.ask(CountDown(BOB, "t2")) == []
    assert play.told(CountDown(BOB, "t2")).counted_by is None


@pytest.mark.parametrize("request_", [CountDown(ANN, ""), CountDown(ANN, "t1", -1)])
def test_a_count_without_ticket_or_worth_is_refused(request_: CountDown) -> None:
    with pytest.raises(Invalid, match="ann cannot count"):
        made().ask(request_)


# making one


def test_the_event_of_creation_has_every_field_of_it() -> None:
    step = decide(None, Create("docs", ANN, 3, "d", 90.0, 60.0, {"k": 1}), 10.0)
    assert step.wake_at == 70.0
    assert (step.events[0].kind, step.events[0].agent) == ("latch.created", "ann")
    assert step.events[0].data == {
        "id": "docs",
        "name": "d",
        "count": 3,
        "total": 3,
        "deadline_at": 70.0,
        "stated_deadline_at": 90.0,
        "timeout_s": 60.0,
        "metadata": {"k": 1},
        "status": "closed",
    }


def test_making_the_same_again_changes_nothing_also_when_its_deadline_has_passed() -> None:
    play = made(2, deadline_at=50.0)
    assert play.ask(Create("docs", BOB, 2, deadline_at=50.0), 10.0) == []
    assert play.ask(Create("docs", ANN, 2, deadline_at=50.0), 60.0) == ["expired"]
    with pytest.raises(Conflict, match="latch docs exists and was made by ann with other settings"):
        play.ask(Create("docs", ANN, 3, deadline_at=50.0), 10.0)


@pytest.mark.parametrize(
    ("create", "problem"),
    [
        (Create("docs", ANN, 0), "a latch has 1 to 1,000,000 counts, not 0"),
        (Create("docs", ANN, COUNT_MAX + 1), "not 1,000,001"),
        (Create(" ", ANN, 1), "' ' cannot be an id"),
        (Create("docs", ANN, 1, timeout_s=0.0), "timeout_s must be more than 0"),
        (Create("docs", ANN, 1, deadline_at=5.0), "deadline_at must be in the future"),
    ],
)
def test_a_malformed_latch_is_not_made(create: Create, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        decide(None, create, 5.0)


def test_what_does_not_exist_can_only_be_made() -> None:
    for request in (Wake(), Lost(ANN, "killed"), Found(ANN)):
        assert decide(None, request, 0.0) == Step()
    for asked in (Look(), Await(ANN), CountDown(ANN, "t"), Take(ANN, "t", 5.0), Cancel(ANN)):
        with pytest.raises(NotFound, match="there is no latch of this id"):
            decide(None, asked, 0.0)


# obligations


def test_who_takes_a_ticket_is_obliged_until_its_lease_ends() -> None:
    play = made(2)
    told = play.told(Take(ANN, "t1", 5.5), 10.0)
    assert (told.agent, told.epoch, told.expires_at, told.available, told.taken_count) == ("ann", 1, 16.0, 1, 1)
    assert play.wake_at == 16.0
    assert play.ask(CountDown(ANN, "t1"), 12.0) == ["counted"]
    assert (play.wake_at, play.told(Look()).taken_count) == (None, 0)


def test_a_lease_is_never_shorter_than_granted() -> None:
    assert made().told(Take(ANN, "t1", 0.2), 10.9).expires_at == 12.0
    assert made().told(Take(ANN, "t1", 1.0), 10.0).expires_at == 11.0


def test_an_obligation_that_is_not_met_goes_back_and_somebody_else_can_take_it() -> None:
    play = made(1)
    play.ask(Take(ANN, "t1", 5.0), 10.0)
    assert play.ask(Wake(), 14.9) == []
    assert play.ask(Wake(), 15.0) == ["returned"]
    assert (play.log[-1].agent, play.log[-1].data["deadline_at"]) == ("ann", 15.0)
    assert (play.sends[-1].to, play.sends[-1].type) == ((ANN,), "LATCH_TICKET_RETURNED")
    told = play.told(Take(BOB, "t1", 5.0), 16.0)
    assert (told.agent, told.epoch) == ("bob", 2)


def test_all_leases_that_ended_while_nobody_looked_go_back_at_once() -> None:
    play = made(3)
    for number, ttl_s in enumerate((5.0, 3.0, 50.0)):
        play.ask(Take(ANN, f"t{number}", ttl_s), 0.0)
    assert play.wake_at == 3.0
    assert play.ask(Wake(), 9.0) == ["returned", "returned"]
    assert [event.ref for event in play.log[-2:]] == ["t1", "t0"]
    assert play.wake_at == 50.0


def test_a_dead_worker_is_free_of_its_obligations_at_once() -> None:
    play = made(2)
    play.ask(Take(ANN, "t1", 500.0))
    play.ask(Take(ANN, "t2", 500.0))
    assert play.ask(Lost(ANN, "killed"), 1.0) == ["returned", "returned"]
    assert play.log[-1].data["reason"] == "who is gone: killed"
    assert play.ask(Lost(ANN, "killed"), 1.0) == []
    assert play.ask(Found(ANN), 2.0) == []
    assert play.told(Take(BOB, "t2", 5.0), 3.0).agent == "bob"


def test_a_ticket_that_is_held_can_be_counted_by_its_holder_only() -> None:
    play = made(2)
    play.ask(Take(ANN, "t1", 5.0))
    with pytest.raises(NotAllowed, match="ticket t1 of latch docs is held by ann, not bob; only its holder can count"):
        play.ask(CountDown(BOB, "t1"))
    with pytest.raises(Conflict, match="ticket t1 of latch docs is held by ann for 1 under epoch 1; take another"):
        play.ask(Take(BOB, "t1", 5.0))


def test_counts_that_are_taken_are_kept_for_who_took_them() -> None:
    play = made(2)
    play.ask(Take(ANN, "t1", 5.0))
    play.ask(CountDown(BOB, "t2"))
    for request in (CountDown(BOB, "t3"), Take(BOB, "t3", 5.0)):
        with pytest.raises(
            Overloaded, match="of the 1 counts left of latch docs, 1 are taken; count down a ticket that"
        ):
            play.ask(request)
    assert play.told(CountDown(BOB, "t3"), 5.0).success


def test_a_late_worker_whose_ticket_nobody_took_may_still_count_it() -> None:
    play = made(1)
    play.ask(Take(ANN, "t1", 5.0))
    assert play.ask(CountDown(ANN, "t1"), 9.0) == ["returned", "counted", "opened"]


def test_a_late_worker_that_names_its_old_epoch_is_refused() -> None:
    play = made(2)
    play.ask(Take(ANN, "t1", 5.0))
    with pytest.raises(LeaseLost, match="ann does not hold ticket t1 of latch docs: it is free; take it"):
        play.ask(CountDown(ANN, "t1", epoch=1), 9.0)
    play.ask(Take(BOB, "t1", 5.0), 9.0)
    with pytest.raises(LeaseLost, match="it is held by bob under epoch 2"):
        play.ask(CountDown(ANN, "t1", epoch=1), 9.0)
    assert play.ask(CountDown(BOB, "t1", epoch=2), 9.0) == ["counted"]


def test_taking_twice_is_taking_once() -> None:
    play = made(3)
    play.ask(Take(ANN, "t1", 5.0, 2), 0.0)
    assert play.ask(Take(ANN, "t1", 5.0, 2), 3.0) == []
    assert play.told(Take(ANN, "t1", 5.0, 2), 3.0).expires_at == 5.0
    with pytest.raises(Conflict, match="ticket t1 of latch docs is held by ann for 2 under epoch 1"):
        play.ask(Take(ANN, "t1", 5.0, 1), 3.0)
    play.ask(CountDown(ANN, "t1"), 4.0)
    assert play.ask(Take(ANN, "t1", 5.0, 2), 4.0) == []
    with pytest.raises(Conflict, match="ticket t1 of latch docs has been counted down by ann; take another"):
        play.ask(Take(BOB, "t1", 5.0), 4.0)


def test_a_ticket_is_counted_for_what_it_was_taken_for() -> None:
    play = made(3)
    play.ask(Take(ANN, "t1", 5.0, 2))
    with pytest.raises(Invalid, match="and it was taken for 2"):
        play.ask(CountDown(ANN, "t1", 1))
    assert play.told(CountDown(ANN, "t1")).remaining == 1


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("nan"), TTL_MAX_S + 1])
def test_a_lease_has_a_sensible_length(ttl_s: float) -> None:
    play = made()
    with pytest.raises(Invalid, match="its ttl_s more than 0 and at most 86400"):
        play.ask(Take(ANN, "t1", ttl_s))
    play.ask(Take(ANN, "t1", 5.0))
    with pytest.raises(Invalid, match="ttl_s must be more than 0"):
        play.ask(Renew(ANN, "t1", ttl_s))


def test_an_agent_holds_a_bounded_number_of_tickets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latch, "TICKETS_PER_AGENT", 1)
    play = made(3)
    play.ask(Take(ANN, "t1", 5.0))
    with pytest.raises(Overloaded, match="ann holds 1 tickets of latch docs, as many as it may"):
        play.ask(Take(ANN, "t2", 5.0))


# renewing, giving back


def test_a_renewed_obligation_lasts_longer_and_never_shorter() -> None:
    play = made()
    play.ask(Take(ANN, "t1", 10.0), 0.0)
    assert play.ask(Renew(ANN, "t1"), 6.0) == ["renewed"]
    assert (play.wake_at, play.told(Renew(ANN, "t1"), 6.0).expires_at) == (16.0, 16.0)
    assert play.ask(Renew(ANN, "t1"), 6.0) == []
    assert play.told(Renew(ANN, "t1", 1.0), 7.0).expires_at == 16.0
    assert play.told(Renew(ANN, "t1", 100.0), 8.0).expires_at == 108.0
    assert play.ask(Wake(), 50.0) == []


def test_what_is_over_or_somebody_elses_cannot_be_renewed() -> None:
    play = made()
    play.ask(Take(ANN, "t1", 5.0))
    with pytest.raises(LeaseLost, match="bob does not hold ticket t1 of latch docs: it is held by ann under epoch 1"):
        play.ask(Renew(BOB, "t1"))
    with pytest.raises(LeaseLost, match="it is held by ann under epoch 1"):
        play.ask(Renew(ANN, "t1", epoch=7))
    with pytest.raises(LeaseLost, match="it is free; take it"):
        play.ask(Renew(ANN, "t1"), 5.0)
    play.ask(CountDown(ANN, "t1"), 6.0)
    assert play.ask(Renew(ANN, "t1"), 6.0) == []
    with pytest.raises(LeaseLost, match="it has been counted down by ann"):
        play.ask(Renew(BOB, "t1"), 6.0)


def test_a_ticket_is_given_back_by_its_holder() -> None:
    play = made()
    play.ask(Take(ANN, "t1", 5.0))
    assert play.ask(GiveBack(ANN, "t1")) == ["returned"]
    assert play.log[-1].data["reason"] == "given back by ann"
    assert play.sends == []
    with pytest.raises(LeaseLost, match="it is free; take it"):
        play.ask(GiveBack(ANN, "t1"))
    play.ask(CountDown(BOB, "t1"))
    assert play.ask(GiveBack(ANN, "t1")) == []


# the deadline, calling off


def test_a_latch_that_is_not_open_by_its_deadline_expires() -> None:
    play = made(2, timeout_s=30.0)
    play.ask(CountDown(ANN, "t1"), 10.0)
    assert play.ask(Wake(), 29.9) == []
    assert play.ask(Wake(), 99.0) == ["expired"]
    assert play.log[-1].data | {"deadline_at": 30.0, "status": "expired", "remaining": 1} == play.log[-1].data
    told = play.look_again(Await(CY), 100.0)
    assert (told.pending, told.success, told.reason) == (False, False, "1 of 2 counts were not made in time")
    assert told.duration_s == 30.0
    assert play.wake_at is None


def test_a_count_at_the_deadline_is_too_late_even_if_no_timer_fired() -> None:
    play = made(1, timeout_s=30.0)
    with pytest.raises(
        WrongPhase, match=r"latch docs is expired \(1 of 1 counts.*; ann comes too late to count t1 down"
    ):
        play.ask(CountDown(ANN, "t1"), 30.0)


def test_an_open_latch_has_no_deadline_any_more() -> None:
    play = made(1, timeout_s=30.0)
    play.ask(CountDown(ANN, "t1"), 29.0)
    assert play.wake_at is None
    assert play.told(Await(CY), 99.0).success


def test_the_earlier_of_deadline_and_lease_is_looked_at_first() -> None:
    play = made(2, timeout_s=30.0)
    play.ask(Take(ANN, "t1", 60.0))
    assert play.wake_at == 30.0
    play.ask(Take(ANN, "t2", 7.0))
    assert play.wake_at == 7.0


def test_a_count_made_before_stays_a_success_after_the_end() -> None:
    play = made(2, timeout_s=30.0)
    play.ask(CountDown(ANN, "t1"), 10.0)
    assert play.ask(CountDown(ANN, "t1"), 40.0) == ["expired"]
    assert play.told(CountDown(ANN, "t1"), 40.0).counted_by == "ann"


def test_a_cancelled_latch_lets_nobody_wait() -> None:
    play = made()
    with pytest.raises(NotAllowed, match="bob cannot cancel latch docs; its creator ann or an admin can"):
        play.ask(Cancel(BOB))
    play.ask(Take(BOB, "t1", 5.0))
    assert play.ask(Cancel(BOB, "enough", is_admin=True), 1.0) == ["cancelled"]
    told = play.told(Await(CY), 1.0)
    assert (told.pending, told.status, told.reason, told.taken) == (False, "cancelled", "enough", ())
    assert (play.wake_at, play.ask(Cancel(ANN), 2.0)) == (None, [])
    with pytest.raises(WrongPhase, match=r"latch docs is cancelled \(enough\); bob cannot take a ticket of it"):
        play.ask(Take(BOB, "t2", 5.0))


def test_an_open_latch_can_be_neither_cancelled_nor_taken() -> None:
    play = made(1)
    play.ask(CountDown(ANN, "t1"))
    with pytest.raises(WrongPhase, match="latch docs is open; it is too late to cancel it"):
        play.ask(Cancel(ANN))
    with pytest.raises(WrongPhase, match="latch docs is open; bob cannot take a ticket of it"):
        play.ask(Take(BOB, "t2", 5.0))


# cost


def test_a_ticket_costs_the_same_among_thousands_as_among_ten(bytes_of: Callable[[Callable[[], object]], int]) -> None:
    costs = []
    for n in (10, 3_000):
        play = made(n)
        for number in range(n - 1):
            play.ask(Take(AgentId(f"agent-{number}"), f"t{number}", 60.0))
        requests = (Take(ANN, "t", 60.0), Renew(ANN, "t", 90.0), CountDown(ANN, "t"))
        costs.append(bytes_of(lambda play=play, requests=requests: [play.told(request) for request in requests]))  # type: ignore[misc]
    assert costs[1] < costs[0] + 8_000  # a copy of what thousands hold takes more
