"""A semaphore: permits, its queue, its times, its size, and every wrong turn."""

from dataclasses import replace
from typing import Any

import pytest

from concerted.board.semaphores.semaphore import (
    KINDS,
    PERMITS_MAX,
    Acquire,
    Check,
    CheckResult,
    Create,
    Expire,
    Find,
    PermitResult,
    Release,
    Renew,
    Request,
    Resize,
    Semaphore,
    SemaphoreResult,
    Withdraw,
    answer,
    begins,
    check_renewal,
    decide,
    ends,
    evolve,
    holds,
    topic,
    wakes,
)
from concerted.errors import (
    ConcertedError,
    Conflict,
    Invalid,
    LeaseLost,
    NotAllowed,
    NotFound,
    Overloaded,
    TimedOut,
    WrongPhase,
)
from concerted.machine import Event, Found, Look, Lost, Result, Step, Wake
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


# creation


def test_it_is_created_with_all_that_was_said_of_it() -> None:
    play = Play()
    (event,) = play.step.events
    assert (event.kind, event.agent) == ("semaphore.created", "ann")
    assert event.data == {
        "id": "gpus", "permits": 3, "total": 3, "name": "the GPUs", "metadata": {"rack": 7}, "status": "active"
    }  # fmt: skip
    assert answer(play.state, Look(), 0.0) == SemaphoreResult(
        id="gpus", name="the GPUs", creator=ANN, created_at=0.0, metadata={"rack": 7}, total=3, in_use=0, free=3
    )


def test_creating_it_again_changes_nothing_also_after_a_resize() -> None:
    play = Play()
    assert play.ask(replace(GPUS, by=BOB)) == []
    play.ask(Resize(ANN, 5))
    assert play.ask(GPUS) == []


@pytest.mark.parametrize("other", [replace(GPUS, permits=4), replace(GPUS, name="x"), replace(GPUS, metadata={})])
def test_creating_it_otherwise_is_a_conflict(other: Create) -> None:
    Play().refused(Conflict, "semaphore gpus was created by ann with 3 permits", other)


@pytest.mark.parametrize(
    ("create", "why"),
    [
        (replace(GPUS, id=""), "cannot name a semaphore"),
        (replace(GPUS, permits=0), "cannot have 0 permits; it has 1 to 1,000,000"),
        (replace(GPUS, permits=PERMITS_MAX + 1), "cannot have 1000001 permits"),
        (replace(GPUS, metadata={"x": "y" * 70_000}), "metadata of semaphore gpus is over 65,536 bytes"),
    ],
)
def test_a_malformed_semaphore_is_refused(create: Create, why: str) -> None:
    Play(None).refused(Invalid, why, create)


def test_what_does_not_exist_is_created_first() -> None:
    play = Play(None)
    for request in (wish("t", ANN), Release(ANN, "t"), Look(), Find(), Check("1"), Resize(ANN, 2)):
        play.refused(NotFound, "there is no such semaphore; create it first", request)
    for request in (Wake(), Expire({}), Lost(ANN, "x"), Found(ANN)):
        assert play.ask(request) == []
    assert answer(None, Look(), 0.0) == Result()


# permits


def test_permits_are_granted_while_there_are_enough() -> None:
    play = Play()
    result = play.told(wish("t1", ANN, 2), 5.0)
    assert (result.granted, result.status, result.permits, result.free, result.total) == (True, "granted", 2, 1, 3)
    assert (result.token, result.since, result.expires_at, result.pending) == (FIRST, 5.0, 65.0, False)
    assert play.told(wish("t2", BOB)).granted
    assert play.told(wish("t3", CY)).status == "waiting"


def test_who_waits_is_told_its_position_and_who_holds_permits() -> None:
    play = full(purpose="train")
    play.ask(wish("t2", BOB), 1.0)
    result = play.told(wish("t3", CY, 2), 3.0)
    assert (result.pending, result.position, result.free, result.reason) == (True, 2, 0, "it waits for 2 permits")
    assert [(one.holder, one.permits, one.purpose) for one in result.held_by] == [("ann", 3, "train")]


def test_who_does_not_want_to_wait_is_refused_and_nothing_happens() -> None:
    play = full()
    result = play.told(wish("t2", BOB, wait=False))
    assert (play.step.events, result.status, result.pending, result.granted) == ((), "refused", False, False)
    assert result.reason == "0 of 3 permits are free"
    play.ask(wish("t3", BOB))
    assert play.told(wish("t2", BOB, wait=False)).reason == "0 of 3 permits are free, and 1 wait already"


def test_more_than_there_are_is_refused_at_once() -> None:
    play = Play()
    play.refused(Invalid, "ticket t1 asks for 4 permits of gpus, which has 3", wish("t1", ANN, 4))
    play.refused(Invalid, "asks for 0 permits", wish("t1", ANN, 0))
    play.refused(Invalid, "ttl_s is 0", wish("t1", ANN, ttl_s=0))
    play.refused(Invalid, "cannot name a ticket", wish("", ANN))


def test_the_same_ticket_again_is_the_same_wish_and_never_another() -> None:
    play = full()
    assert play.told(wish("t1", ANN, 3)).token == FIRST
    assert play.step.events == ()
    play.refused(Conflict, "ticket t1 stands for 3 permits for ann", wish("t1", ANN, 2))
    play.refused(Conflict, "take a new ticket", wish("t1", BOB, 3))
    assert play.told(wish("t2", BOB), 1.0).position == 1
    assert play.told(wish("t2", BOB), 2.0).wait_s == 1.0
    assert play.told(wish("t2", BOB, wait=False)).pending is False
    play.refused(TimedOut, "ticket t3 had passed", wish("t3", BOB, deadline_at=2.0))


def test_what_is_released_goes_to_those_who_are_next() -> None:
    play = full()
    play.ask(wish("t2", BOB, 2))
    play.ask(wish("t3", CY))
    play.ask(wish("t4", DAN))
    result = play.told(Release(ANN, "t1"), 9.0)
    assert (result.success, result.status) == (True, "released")
    assert [(event.kind, event.ref, event.data["in_use"]) for event in play.step.events] == [
        ("semaphore.released", "t1", 0), ("semaphore.granted", "t2", 2), ("semaphore.granted", "t3", 3)
    ]  # fmt: skip
    assert play.told(wish("t2", BOB, 2)).wait_s == 9.0


def test_who_wants_few_does_not_overtake_who_wants_many() -> None:
    play = Play()
    play.ask(wish("t1", ANN))
    play.ask(wish("t2", BOB, 3))
    assert play.ask(wish("t3", CY)) == [("queued", "cy")]
    assert play.ask(Release(ANN, "t1")) == [("released", "ann"), ("granted", "bob")]


def test_a_higher_priority_comes_first_and_takes_what_is_free() -> None:
    play = Play()
    play.ask(wish("t1", ANN))
    play.ask(wish("t2", BOB, 3))
    assert play.ask(wish("t3", CY, priority="critical")) == [("granted", "cy")]
    play.ask(wish("t4", DAN, 2, priority="high"))
    assert play.ask(Release(ANN, "t1")) == [("released", "ann"), ("granted", "dan")]


def test_a_repeated_release_is_harmless_and_an_old_ticket_is_over() -> None:
    play = full()
    play.ask(Release(ANN, "t1"))
    assert play.ask(Release(ANN, "t1")) == []
    result = play.told(wish("t1", ANN, 3))
    assert (play.step.events, result.status, result.success) == ((), "released", False)


def test_one_releases_what_one_holds() -> None:
    play = full()
    play.ask(wish("t2", BOB))
    play.refused(NotAllowed, "ticket t1 is ann's, not bob's", Release(BOB, "t1"))
    play.refused(NotFound, "there is no ticket t9 at gpus", Release(BOB, "t9"))
    play.refused(WrongPhase, "ticket t2 is not granted yet; withdraw it", Release(BOB, "t2"))
    play.ask(Expire({}), 60.0)
    play.refused(LeaseLost, "the permits of ticket t1 are over: its time was over", Release(ANN, "t1"))


def test_who_withdraws_lets_those_behind_pass() -> None:
    play = Play()
    play.ask(wish("t1", ANN))
    play.ask(wish("t2", BOB, 3))
    play.ask(wish("t3", CY))
    play.refused(NotAllowed, "ticket t2 is bob's", Withdraw("t2", CY))
    assert play.told(Withdraw("t2", BOB)).success
    assert [event.kind for event in play.step.events] == ["semaphore.withdrawn", "semaphore.granted"]
    assert play.ask(Withdraw("t2", BOB)) == []
    play.refused(WrongPhase, "ticket t1 was granted; release it", Withdraw("t1", ANN))


# its size


def test_more_permits_are_granted_at_once() -> None:
    play = full()
    play.ask(wish("t2", BOB, 2))
    assert play.ask(Resize(ANN, 5)) == [("resized", "ann"), ("granted", "bob")]
    assert play.ask(Resize(ANN, 5)) == []


def test_fewer_permits_take_nothing_away_but_grant_nothing_until_enough_came_back() -> None:
    play = Play()
    for ticket in ("t1", "t2", "t3"):
        play.ask(wish(ticket, ANN))
    play.ask(wish("t4", BOB))
    assert play.ask(Resize(ANN, 1)) == [("resized", "ann")]
    result = answer(play.state, Look(), 0.0)
    assert isinstance(result, SemaphoreResult)
    assert (result.in_use, result.total, result.free) == (3, 1, 0)
    assert play.ask(Release(ANN, "t1")) == [("released", "ann")]
    assert play.ask(Release(ANN, "t2")) == [("released", "ann")]
    assert play.ask(Release(ANN, "t3")) == [("released", "ann"), ("granted", "bob")]


def test_who_waits_for_more_than_there_are_now_is_dropped_and_no_longer_in_the_way() -> None:
    play = Play()
    play.ask(wish("t1", ANN))
    play.ask(wish("t2", BOB, 3))
    play.ask(wish("t3", CY))
    assert play.ask(Resize(ANN, 2)) == [("resized", "ann"), ("dropped", "bob"), ("granted", "cy")]
    result = answer(play.state, wish("t2", BOB, 3), 0.0)
    assert isinstance(result, PermitResult)
    assert (result.pending, result.reason) == (False, "it asks for 3 permits, and there are 2 now")


def test_its_creator_or_an_administrator_resizes_it() -> None:
    play = Play()
    play.refused(NotAllowed, "bob may not resize gpus; its creator ann or an administrator can", Resize(BOB, 9))
    play.refused(Invalid, "cannot have 0 permits", Resize(ANN, 0))
    assert play.ask(Resize(BOB, 9, is_admin=True)) == [("resized", "bob")]


# renewals and tokens


def test_what_is_held_can_be_renewed_by_its_holder() -> None:
    play = full()
    assert play.told(Renew(ANN, FIRST), 30.0).expires_at == 90.0
    assert check_renewal(play.state, ANN, FIRST, 70.0, until=71.0).ask.permits == 3
    play.refused(NotAllowed, "the permits 0000000000000001 are ann's, not bob's", Renew(BOB, FIRST))
    with pytest.raises(LeaseLost, match="time is over for the permits"):
        check_renewal(play.state, ANN, FIRST, 71.0, until=71.0)
    with pytest.raises(LeaseLost):
        check_renewal(None, ANN, FIRST, 0.0)


def test_a_token_is_valid_while_it_is_held() -> None:
    play = full()
    assert answer(play.state, Check(FIRST), 0.0) == CheckResult(valid=True, holder=ANN, permits=3)
    play.ask(Release(ANN, "t1"))
    assert answer(play.state, Check(FIRST), 0.0) == CheckResult(
        valid=False, reason=f"no permits are held under {FIRST}"
    )
    play.ask(wish("t2", ANN))
    assert play.step.events[0].data["token"] == SECOND


# what the engine reads off, and bounds


def test_the_engine_learns_who_is_concerned_and_what_the_store_is_to_hold() -> None:
    play = full()
    granted = play.step.events[0]
    play.ask(wish("t2", BOB))
    assert topic(wish("t2", BOB)) == "t2"
    assert topic(Look()) == ""
    assert list(wakes(granted)) == ["t1"]
    assert list(wakes(Event("semaphore.resized", data={"permits": 1}))) == []
    assert list(begins(granted)) == [(FIRST, 60.0)]
    assert list(ends(granted)) == []
    assert holds(play.state, 100.0) == ((FIRST, 160.0),)
    assert holds(None, 0.0) == ()
    play.ask(Expire({}), 60.0)
    assert [list(ends(event)) for event in play.step.events] == [[(FIRST, True)], []]
    play.ask(Release(BOB, "t2"))
    assert list(ends(play.step.events[0])) == [(SECOND, False)]


def test_holders_and_tickets_that_wait_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.board.semaphores.semaphore.HELD_MAX", 1)
    monkeypatch.setattr("concerted.board.semaphores.semaphore.QUEUE_MAX", 1)
    play = Play()
    play.ask(wish("t1", ANN))
    play.refused(Overloaded, "1 tickets hold permits of gpus", wish("t2", BOB))
    play.ask(wish("t3", CY, 3))
    play.refused(Overloaded, "1 tickets wait for gpus", wish("t4", DAN))
