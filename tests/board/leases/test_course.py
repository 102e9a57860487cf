"""How leases begin and end in the course of time: turns, confirmations, deadlines, renewals, agents that are gone."""

from typing import Any

import pytest

from concerted.board.holding import CHECKS_UNWRITTEN, WAKE_AGAIN_S
from concerted.board.leases.lease import (
    Acquire,
    Confirm,
    Expire,
    Find,
    LeaseResult,
    Leases,
    Release,
    Renew,
    Request,
    Withdraw,
    answer,
    decide,
    evolve,
)
from concerted.board.queue import AGEING_S
from concerted.errors import ConcertedError, LeaseLost, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Priority, Step, Wake
from concerted.values import AgentId, Instant

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")
FIRST, SECOND, THIRD = (f"{number:016d}" for number in (1, 2, 3))


class Space:
    """A space of leases that is asked one thing after the other."""

    def __init__(self) -> None:
        self.state: Leases | None = None
        self.step = Step()

    def ask(self, request: Request, at: Instant = 0.0) -> list[tuple[str, str | None]]:
        """Return the events: kind and agent."""
        self.step = decide(self.state, request, at)
        for event in self.step.events:
            self.state = evolve(self.state, event, at)
        return [(event.kind, event.agent) for event in self.step.events]

    def look(self, request: Request, at: Instant = 0.0) -> LeaseResult:
        result = answer(self.state, request, at)
        assert isinstance(result, LeaseResult)
        return result

    def refused(self, error: type[ConcertedError], why: str, request: Request, at: Instant) -> None:
        with pytest.raises(error, match=why):
            decide(self.state, request, at)


def wish(ticket: str, holder: AgentId, *names: str, **more: Any) -> Acquire:
    return Acquire(ticket, holder, names or ("a",), **more)


def queue_of(*waiting: tuple[str, AgentId, Priority, Instant]) -> Space:
    """Return a space in which ann holds `a` and these wait for it."""
    space = Space()
    space.ask(wish("t1", ANN, ttl_s=1000.0))
    for ticket, holder, priority, at in waiting:
        space.ask(wish(ticket, holder, priority=priority), at)
    return space


# turns


def test_of_one_priority_who_asked_first_is_next() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0), ("t3", CY, "medium", 2.0))
    assert space.ask(Release(ANN, FIRST), 9.0) == [("lease.released", "ann"), ("lease.granted", "bob")]


def test_a_higher_priority_is_next_before_a_lower_one() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0), ("t3", CY, "high", 2.0))
    assert space.ask(Release(ANN, FIRST), 9.0)[1] == ("lease.granted", "cy")


def test_who_has_waited_long_enough_is_next_before_a_higher_priority() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0), ("t3", CY, "high", 2.0 + AGEING_S))
    assert space.ask(Release(ANN, FIRST), 9.0 + AGEING_S)[1] == ("lease.granted", "bob")


def test_a_clock_that_goes_back_does_not_change_who_asked_first() -> None:
    space = queue_of(("t2", BOB, "medium", 50.0), ("t3", CY, "medium", 20.0))
    assert space.ask(Release(ANN, FIRST), 51.0)[1] == ("lease.granted", "bob")


def test_those_who_share_do_not_overtake_one_who_waits_to_have_it_alone() -> None:
    space = Space()
    space.ask(wish("t1", ANN, mode="shared"))
    space.ask(wish("t2", BOB))
    assert space.ask(wish("t3", CY, mode="shared")) == [("lease.queued", "cy")]
    assert space.ask(Release(ANN, FIRST)) == [("lease.released", "ann"), ("lease.granted", "bob")]
    assert space.ask(Release(BOB, SECOND)) == [("lease.released", "bob"), ("lease.granted", "cy")]


def test_all_who_share_are_granted_together() -> None:
    space = queue_of()
    for ticket, holder in (("t2", BOB), ("t3", CY)):
        space.ask(wish(ticket, holder, mode="shared"))
    space.ask(wish("t4", DAN))
    granted = [("lease.granted", "bob"), ("lease.granted", "cy")]
    assert space.ask(Release(ANN, FIRST)) == [("lease.released", "ann"), *granted]


def test_who_wants_something_else_passes_those_who_wait() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0))
    assert space.ask(wish("t3", CY, "b"), 2.0) == [("lease.granted", "cy")]


def test_who_wants_what_an_earlier_one_waits_for_waits_behind_it_though_it_is_free() -> None:
    space = Space()
    space.ask(wish("t1", ANN, "a"))
    space.ask(wish("t2", BOB, "a", "b"))
    assert space.ask(wish("t3", CY, "b")) == [("lease.queued", "cy")]
    assert space.ask(Release(ANN, FIRST)) == [("lease.released", "ann"), ("lease.granted", "bob")]


def test_a_higher_priority_takes_what_is_free_before_a_lower_one_that_waits_for_more() -> None:
    space = Space()
    space.ask(wish("t1", ANN, "a"))
    space.ask(wish("t2", BOB, "a", "b"))
    assert space.ask(wish("t3", CY, "b", priority="critical")) == [("lease.granted", "cy")]
    assert space.ask(Release(ANN, FIRST)) == [("lease.released", "ann")]
    assert space.ask(Release(CY, SECOND)) == [("lease.released", "cy"), ("lease.granted", "bob")]


def test_patterns_wait_and_are_waited_for_like_names() -> None:
    space = Space()
    space.ask(wish("t1", ANN, "src/a.py"))
    assert space.ask(wish("t2", BOB, "src/")) == [("lease.queued", "bob")]
    assert space.ask(wish("t3", CY, "src/b.py")) == [("lease.queued", "cy")]
    assert space.ask(wish("t4", DAN, "lib/b.py")) == [("lease.granted", "dan")]
    assert space.ask(Release(ANN, FIRST)) == [("lease.released", "ann"), ("lease.granted", "bob")]
    assert space.ask(Release(BOB, THIRD)) == [("lease.released", "bob"), ("lease.granted", "cy")]


# confirmations


def confirming() -> Space:
    """Return a space in which bob has just been granted what he must confirm by 15, and cy waits for it."""
    space = Space()
    space.ask(wish("t1", ANN))
    space.ask(wish("t2", BOB, confirm_s=5.0))
    space.ask(wish("t3", CY))
    space.ask(Release(ANN, FIRST), 10.0)
    return space


def test_a_grant_to_who_is_there_needs_no_confirmation() -> None:
    space = Space()
    space.ask(wish("t1", ANN, confirm_s=5.0))
    assert "confirm_at" not in space.step.events[-1].data


def test_a_grant_to_who_has_waited_is_to_be_confirmed_in_time() -> None:
    space = confirming()
    assert space.step.events[-1].data["confirm_at"] == 15.0
    assert space.step.wake_at == 15.0
    assert space.look(wish("t2", BOB), 10.0).confirm_at == 15.0


def test_a_confirmed_grant_lives_from_then_on() -> None:
    space = confirming()
    assert space.ask(Confirm("t2", BOB), 14.0) == [("lease.confirmed", "bob")]
    assert space.step.events[0].data == {"ticket": "t2", "token": SECOND, "expires_at": 74.0}
    assert space.ask(Confirm("t2", BOB), 14.5) == []
    assert space.ask(Expire({}), 15.0) == []
    assert space.look(wish("t2", BOB), 15.0).expires_at == 74.0


def test_who_asks_again_is_there_and_confirms_by_that() -> None:
    space = confirming()
    assert space.ask(wish("t2", BOB), 14.0) == [("lease.confirmed", "bob")]


def test_a_grant_that_is_not_confirmed_in_time_passes_to_the_next() -> None:
    space = confirming()
    assert space.ask(Wake(), 15.0) == [("lease.lapsed", "bob"), ("lease.granted", "cy")]
    assert space.step.events[0].data["confirm_at"] == 15.0
    assert space.step.events[1].ref == THIRD


def test_a_confirmation_that_comes_at_its_deadline_is_too_late_even_if_no_timer_fired() -> None:
    space = confirming()
    space.refused(LeaseLost, "the grant was not confirmed in time; it is held by cy now", Confirm("t2", BOB), 15.0)
    space.refused(LeaseLost, "not confirmed in time", Renew(BOB, SECOND), 15.0)


def test_who_comes_back_too_late_joins_the_queue_anew() -> None:
    space = confirming()
    space.ask(Wake(), 15.0)
    assert space.ask(wish("t2", BOB, confirm_s=5.0), 16.0) == [("lease.queued", "bob")]


def test_a_grant_is_confirmed_by_who_got_it() -> None:
    space = confirming()
    space.refused(NotAllowed, "ticket t2 is bob's, not cy's", Confirm("t2", CY), 11.0)
    space.refused(WrongPhase, "ticket t3 is not granted yet", Confirm("t3", CY), 11.0)
    space.refused(NotFound, "nothing was granted to ticket t9", Confirm("t9", CY), 11.0)


def test_what_was_granted_and_not_confirmed_may_be_given_back() -> None:
    space = confirming()
    assert space.ask(Withdraw("t2", BOB), 11.0) == [("lease.released", "bob"), ("lease.granted", "cy")]
    assert space.step.wake_at == 71.0


# deadlines of those who wait


def test_a_ticket_is_given_up_at_its_deadline_and_lets_those_behind_pass() -> None:
    space = Space()
    space.ask(wish("t1", ANN, mode="shared", ttl_s=1000.0))
    space.ask(wish("t2", BOB, deadline_at=20.0), 1.0)
    assert space.step.wake_at == 20.0
    space.ask(wish("t3", CY, mode="shared"), 2.0)
    assert space.ask(Wake(), 20.0) == [("lease.abandoned", "bob"), ("lease.granted", "cy")]
    assert space.step.events[0].data["give_up_at"] == 20.0


def test_what_is_released_at_the_deadline_of_who_waits_does_not_go_to_it() -> None:
    space = queue_of()
    space.ask(wish("t2", BOB, deadline_at=20.0), 1.0)
    assert space.ask(Release(ANN, FIRST), 20.0) == [("lease.abandoned", "bob"), ("lease.released", "ann")]


def test_a_ticket_that_was_given_up_is_answered_so_again_and_again() -> None:
    space = queue_of()
    again = wish("t2", BOB, deadline_at=20.0)
    space.ask(again, 1.0)
    assert space.look(again, 20.0).status == "abandoned"
    space.ask(Wake(), 20.0)
    assert space.ask(again, 30.0) == []
    result = space.look(again, 30.0)
    assert (result.status, result.pending, result.granted) == ("abandoned", False, False)
    assert result.reason == "its deadline passed"


def test_who_leaves_the_queue_leaves_no_timer_behind() -> None:
    space = queue_of()
    space.ask(wish("t2", BOB, deadline_at=20.0), 1.0)
    space.ask(Withdraw("t2", BOB), 2.0)
    assert space.step.wake_at == 1000.0
    assert space.ask(Wake(), 20.0) == []


# the end of time


def test_a_lease_ends_when_its_time_is_over_and_goes_to_the_next() -> None:
    space = Space()
    space.ask(wish("t1", ANN))
    space.ask(wish("t2", BOB), 1.0)
    assert space.step.wake_at == 60.0
    assert space.ask(Expire({}), 59.9) == []
    assert space.ask(Expire({}), 60.0) == [("lease.expired", "ann"), ("lease.granted", "bob")]
    assert space.step.events[0].data["expires_at"] == 60.0
    assert space.step.wake_at == 120.0


def test_a_renewed_lease_lives_as_long_as_the_store_says() -> None:
    space = Space()
    space.ask(wish("t1", ANN))
    space.ask(Expire({FIRST: 80.0}), 60.0)
    assert space.step.wake_at == 80.0
    assert space.ask(Expire({FIRST: 80.0}), 80.0)[0] == ("lease.expired", "ann")
    assert space.step.events[0].data["expires_at"] == 80.0


def test_what_the_store_says_never_shortens_a_lease() -> None:
    space = Space()
    space.ask(wish("t1", ANN))
    assert space.ask(Expire({FIRST: 5.0}), 30.0) == []
    assert space.step.wake_at == 60.0


def test_a_plain_wake_ends_no_lease_and_asks_for_an_expire_soon() -> None:
    space = Space()
    space.ask(wish("t1", ANN))
    assert space.ask(Wake(), 70.0) == []
    assert space.step.wake_at == 70.0 + WAKE_AGAIN_S


def test_that_nothing_was_due_is_written_down_once_something_has_happened() -> None:
    space = Space()
    space.ask(wish("t1", ANN))
    assert space.ask(Expire({FIRST: 90.0}), 60.0) == [("leases.checked", None)]
    assert space.step.events[0].data == {"next_at": 90.0}
    space.ask(Look(), 61.0)
    assert space.step == Step((), (), 90.0)


def test_a_small_space_at_rest_writes_nothing_however_long_it_is_renewed() -> None:
    space = Space()
    space.ask(wish("t1", ANN))
    space.ask(Expire({FIRST: 90.0}), 60.0)
    for at in range(90, 900, 30):
        assert space.ask(Expire({FIRST: at + 30.0}), float(at)) == []
        assert space.step.wake_at == at + 30.0


def test_a_large_space_at_rest_writes_when_to_look_again() -> None:
    space = Space()
    for number in range(CHECKS_UNWRITTEN + 1):
        space.ask(wish(f"t{number}", ANN, f"n{number}"))
    tokens = list(space.state.held) if space.state else []
    for at in (60.0, 120.0):
        assert space.ask(Expire(dict.fromkeys(tokens, at + 60.0)), at) == [("leases.checked", None)]
        assert space.ask(Find(), at + 1) == []
        assert space.step.wake_at == at + 60.0


def test_it_is_looked_at_again_when_the_first_of_all_times_is_over() -> None:
    space = Space()
    space.ask(wish("t1", ANN, "a", ttl_s=5.0))
    space.ask(wish("t2", BOB, "b", ttl_s=40.0))
    assert space.step.wake_at == 5.0
    space.ask(Look())
    assert space.step.wake_at == 5.0


def test_several_that_are_over_end_in_the_order_of_their_times() -> None:
    space = Space()
    space.ask(wish("t1", ANN, "a", ttl_s=30.0))
    space.ask(wish("t2", BOB, "b", ttl_s=20.0))
    space.ask(wish("t3", CY, "a", "b"))
    assert space.ask(Expire({}), 100.0) == [("lease.expired", "bob"), ("lease.expired", "ann"), ("lease.granted", "cy")]


def test_when_nothing_is_held_nothing_is_looked_at_again() -> None:
    space = Space()
    space.ask(wish("t1", ANN))
    space.ask(Release(ANN, FIRST))
    assert space.step.wake_at is None
    assert space.ask(Expire({}), 60.0) == []
    assert space.step.wake_at is None


# agents that are gone


def test_who_is_gone_is_never_granted_what_it_waits_for() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0), ("t3", CY, "medium", 2.0))
    assert space.ask(Lost(BOB, "no heartbeat"), 3.0) == [("lease.dropped", "bob")]
    assert space.ask(Lost(BOB, "no heartbeat"), 4.0) == []
    assert space.ask(Release(ANN, FIRST), 5.0)[1] == ("lease.granted", "cy")
    assert space.look(wish("t2", BOB), 5.0).reason == "bob is gone: no heartbeat"


def test_when_one_who_waits_is_gone_those_behind_pass() -> None:
    space = Space()
    space.ask(wish("t1", ANN, mode="shared"))
    space.ask(wish("t2", BOB))
    space.ask(wish("t3", CY, mode="shared"))
    assert space.ask(Lost(BOB, "killed")) == [("lease.dropped", "bob"), ("lease.granted", "cy")]


def test_what_the_gone_was_granted_and_has_not_confirmed_passes_on_at_once() -> None:
    space = confirming()
    assert space.ask(Lost(BOB, "killed"), 11.0) == [("lease.lapsed", "bob"), ("lease.granted", "cy")]


def test_what_the_gone_holds_it_holds_until_its_time_is_over() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0))
    assert space.ask(Lost(ANN, "no heartbeat"), 3.0) == [("lease.holder_lost", "ann")]
    assert space.step.events[0].data == {"reason": "no heartbeat", "leases": [FIRST]}
    assert space.ask(Lost(ANN, "no heartbeat"), 4.0) == []
    assert space.look(wish("t2", BOB), 4.0).held_by[0].gone == "no heartbeat"
    assert space.ask(Expire({}), 1000.0)[0] == ("lease.expired", "ann")


def test_who_is_back_counts_as_gone_no_longer() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0))
    space.ask(Lost(ANN, "no heartbeat"), 3.0)
    assert space.ask(Found(ANN), 4.0) == [("lease.holder_found", "ann")]
    assert space.ask(Found(ANN), 4.0) == []
    assert space.look(wish("t2", BOB), 4.0).held_by[0].gone is None


def test_who_is_back_may_ask_anew_under_its_ticket() -> None:
    space = queue_of(("t2", BOB, "medium", 1.0))
    space.ask(Lost(BOB, "restart"), 2.0)
    assert space.ask(wish("t2", BOB), 3.0) == [("lease.queued", "bob")]


def test_the_gone_who_hold_nothing_any_more_are_forgotten() -> None:
    space = queue_of()
    space.ask(wish("t2", BOB, "b"))
    space.ask(Lost(ANN, "killed"))
    space.ask(Release(ANN, FIRST))
    space.ask(Lost(BOB, "killed"))
    assert space.state is not None
    assert list(space.state.gone) == ["bob"]


def test_who_neither_holds_nor_waits_is_not_noted() -> None:
    space = queue_of()
    assert space.ask(Lost(DAN, "killed")) == []


def test_an_event_of_another_kind_changes_nothing() -> None:
    space = queue_of()
    assert evolve(space.state, Event("task.done"), 1.0) == space.state
