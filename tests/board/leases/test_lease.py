"""Leases: what is asked, granted, refused and given back; tokens; every wrong turn."""

import pytest

from concerted.board.leases.lease import (
    KINDS,
    Acquire,
    AskedResult,
    AskRelease,
    Check,
    CheckResult,
    Confirm,
    Expire,
    Find,
    LeaseResult,
    Leases,
    Release,
    Renew,
    Request,
    Reserve,
    ReserveResult,
    Revoke,
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
    with_block,
)
from concerted.board.leases.space import EMPTY
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

ANN, BOB, CY, ROOT = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("root")


class Space:
    """A space of leases that is asked one thing after the other."""

    def __init__(self, state: Leases | None = None) -> None:
        self.state = state
        self.now: Instant = 0.0
        self.step = Step()

    def ask(self, request: Request, at: Instant | None = None) -> Result:
        self.now = self.now if at is None else at
        self.step = decide(self.state, request, self.now)
        for event in self.step.events:
            assert event.kind in KINDS
            self.state = evolve(self.state, event, self.now)
        return answer(self.state, request, self.now)

    def take(self, ticket: str, holder: AgentId, *names: str, at: Instant | None = None) -> LeaseResult:
        result = self.ask(Acquire(ticket, holder, names), at)
        assert isinstance(result, LeaseResult)
        return result

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.step.events]

    def refused(self, error: type[ConcertedError], why: str, request: Request, at: Instant | None = None) -> None:
        self.now = self.now if at is None else at
        with pytest.raises(error, match=why):
            decide(self.state, request, self.now)


def held() -> tuple[Space, str]:
    """Return a space in which ann holds `a`, and her token."""
    space = Space()
    return space, space.take("t1", ANN, "a").token


# taking


def test_what_is_free_is_granted_at_once_under_a_token() -> None:
    space = Space()
    result = space.take("t1", ANN, "src/b", "./src/a", at=10.0)
    assert (result.granted, result.status, result.pending, result.success) == (True, "granted", False, True)
    assert (result.names, result.holder, result.mode) == (("src/a", "src/b"), "ann", "exclusive")
    assert (result.ttl_s, result.since, result.expires_at) == (60.0, 10.0, 70.0)
    assert (result.token, result.position, result.held_by) == ("0000000000000001", 0, ())


def test_the_first_lease_creates_the_space() -> None:
    space = Space()
    space.take("t1", ANN, "a")
    assert space.kinds == ["leases.created", "lease.granted"]
    space.take("t2", BOB, "b")
    assert space.kinds == ["lease.granted"]


def test_what_is_not_asked_of_an_empty_space_leaves_it_empty() -> None:
    space = Space()
    for request in (Look(), Wake(), Expire({}), Find(), Lost(ANN, "x"), Found(ANN), Check("a", "1")):
        space.ask(request)
        assert space.step == Step()
    assert space.state is None


def test_what_somebody_holds_is_waited_for() -> None:
    space, _ = held()
    result = space.take("t2", BOB, "a")
    assert (result.granted, result.pending, result.status, result.position) == (False, True, "waiting", 1)
    assert [(one.holder, one.token) for one in result.held_by] == [("ann", "0000000000000001")]
    assert space.kinds == ["lease.queued"]


def test_who_does_not_want_to_wait_is_told_who_holds_it_and_nothing_happens() -> None:
    space = Space()
    space.ask(Acquire("t1", ANN, ("a",), purpose="build"))
    result = space.ask(Acquire("t2", BOB, ("a", "b"), wait=False))
    assert isinstance(result, LeaseResult)
    assert space.step.events == ()
    assert (result.status, result.granted, result.pending, result.success) == ("refused", False, False, False)
    assert [(one.holder, one.purpose, one.expires_at) for one in result.held_by] == [("ann", "build", 60.0)]
    assert result.reason == "a is held by ann (for 'build')"


def test_of_several_names_all_are_granted_or_none() -> None:
    space, token = held()
    assert not space.take("t2", BOB, "a", "b").granted
    assert space.take("t3", CY, "c").granted
    space.ask(Release(ANN, token))
    assert space.kinds == ["lease.released", "lease.granted"]
    assert space.step.events[1].data["names"] == ["a", "b"]


@pytest.mark.parametrize(
    ("mine", "other"), [("src/", "src/a.py"), ("src/*.py", "src/a*"), ("a", "./a"), ("**", "gpu:0")]
)
def test_names_that_overlap_are_not_held_by_two(mine: str, other: str) -> None:
    for one, two in ((mine, other), (other, mine)):
        space = Space()
        assert space.take("t1", ANN, one).granted
        assert not space.take("t2", BOB, two).granted


def test_who_shares_holds_together_and_who_wants_it_alone_waits() -> None:
    space = Space()
    one = space.ask(Acquire("t1", ANN, ("a",), "shared"))
    two = space.ask(Acquire("t2", BOB, ("a",), "shared"))
    alone = space.take("t3", CY, "a")
    assert isinstance(one, LeaseResult)
    assert isinstance(two, LeaseResult)
    assert (one.granted, two.granted, alone.granted) == (True, True, False)
    space.ask(Release(ANN, one.token))
    assert space.kinds == ["lease.released"]
    space.ask(Release(BOB, two.token))
    assert space.kinds == ["lease.released", "lease.granted"]


def test_the_holder_itself_gets_a_name_only_once() -> None:
    space, _ = held()
    assert not space.take("t2", ANN, "a").granted


# the ticket


def test_the_same_ticket_again_is_the_same_wish() -> None:
    space, token = held()
    again = space.take("t1", ANN, "./a", at=5.0)
    assert (space.step.events, again.granted, again.token) == ((), True, token)


def test_the_same_ticket_again_goes_on_waiting_in_its_place() -> None:
    space, _ = held()
    space.take("t2", BOB, "a", at=1.0)
    space.take("t3", CY, "a", at=2.0)
    again = space.take("t2", BOB, "a", at=3.0)
    assert (space.step.events, again.position, again.wait_s, again.since) == ((), 1, 2.0, 1.0)


def test_who_only_looks_after_a_ticket_that_waits_is_not_kept() -> None:
    space, _ = held()
    space.take("t2", BOB, "a")
    again = space.ask(Acquire("t2", BOB, ("a",), wait=False))
    assert isinstance(again, LeaseResult)
    assert (again.status, again.pending) == ("waiting", False)


@pytest.mark.parametrize(
    "other",
    [
        Acquire("t1", BOB, ("a",)),
        Acquire("t1", ANN, ("b",)),
        Acquire("t1", ANN, ("a",), "shared"),
        Acquire("t1", ANN, ("a",), ttl_s=5.0),
        Acquire("t1", ANN, ("a",), purpose="else"),
    ],
)
def test_a_ticket_never_stands_for_something_else(other: Acquire) -> None:
    space, token = held()
    space.refused(Conflict, "ticket t1 stands for exclusive a of ann", other)
    space.ask(Release(ANN, token))
    space.refused(Conflict, "take a new ticket", other)


def test_a_ticket_whose_lease_was_released_is_over() -> None:
    space, token = held()
    space.ask(Release(ANN, token))
    late = space.take("t1", ANN, "a")
    assert (space.step.events, late.granted, late.success, late.status) == ((), False, False, "released")


def test_a_ticket_whose_lease_expired_may_ask_anew_and_gets_a_greater_token() -> None:
    space, token = held()
    space.ask(Expire({}), 60.0)
    again = space.take("t1", ANN, "a")
    assert again.granted
    assert again.token > token


def test_a_new_ticket_whose_deadline_has_passed_is_refused() -> None:
    space, _ = held()
    space.refused(TimedOut, "ticket t2 had passed", Acquire("t2", BOB, ("a",), deadline_at=5.0), 5.0)


# giving back


def test_a_released_lease_goes_to_the_next_in_the_same_step() -> None:
    space, token = held()
    space.take("t2", BOB, "a", at=1.0)
    result = space.ask(Release(ANN, token), 3.0)
    assert isinstance(result, LeaseResult)
    assert (result.success, result.status) == (True, "released")
    assert space.kinds == ["lease.released", "lease.granted"]
    got = space.take("t2", BOB, "a")
    assert (got.granted, got.token, got.wait_s, got.expires_at) == (True, "0000000000000002", 2.0, 63.0)


def test_a_repeated_release_is_harmless() -> None:
    space, token = held()
    space.ask(Release(ANN, token))
    result = space.ask(Release(ANN, token))
    assert isinstance(result, LeaseResult)
    assert (space.step.events, result.success) == ((), True)


def test_somebody_elses_lease_is_not_released_or_renewed() -> None:
    space, token = held()
    space.refused(NotAllowed, f"lease {token} on a is ann's, not bob's", Release(BOB, token))
    space.refused(NotAllowed, "ann's, not bob's", Renew(BOB, token))


def test_an_old_token_is_refused_with_who_has_it_now() -> None:
    space, token = held()
    space.take("t2", BOB, "a")
    space.ask(Expire({}), 60.0)
    why = f"lease {token} of ann on a is over: its time was over; it is held by bob now, under 0000000000000002"
    space.refused(LeaseLost, why, Release(ANN, token))
    with pytest.raises(LeaseLost) as lost:
        decide(space.state, Renew(ANN, token), 60.0)
    assert lost.value.facts == {
        "token": token, "ended": "expired", "holder": "bob", "current_token": "0000000000000002"
    }  # fmt: skip


def test_an_old_token_of_what_nobody_holds_now_is_refused_too() -> None:
    space, token = held()
    space.ask(Expire({}), 60.0)
    space.refused(LeaseLost, "nobody holds it now", Release(ANN, token))


def test_a_token_that_was_never_given_is_refused() -> None:
    space, _ = held()
    space.refused(LeaseLost, "no lease is held under 9: it ended long ago, or never was", Release(ANN, "9"))


def test_a_release_by_one_who_had_it_revoked_is_refused() -> None:
    space, token = held()
    space.ask(Revoke(ROOT, token, "needed", is_admin=True))
    space.refused(LeaseLost, "root took it away: needed", Release(ANN, token))


def test_who_waits_may_withdraw_and_lets_those_behind_pass() -> None:
    space = Space()
    space.ask(Acquire("t1", ANN, ("a",), "shared"))
    space.take("t2", BOB, "a")
    space.ask(Acquire("t3", CY, ("a",), "shared"))
    result = space.ask(Withdraw("t2", BOB))
    assert isinstance(result, LeaseResult)
    assert (result.status, result.success) == ("withdrawn", True)
    assert space.kinds == ["lease.withdrawn", "lease.granted"]
    assert space.step.events[1].agent == "cy"
    space.ask(Withdraw("t2", BOB))
    assert space.step.events == ()


def test_what_was_granted_is_released_and_not_withdrawn() -> None:
    space, token = held()
    space.refused(WrongPhase, f"ticket t1 was granted; release its lease {token}", Withdraw("t1", ANN))


def test_one_withdraws_ones_own_tickets_only() -> None:
    space, _ = held()
    space.take("t2", BOB, "a")
    space.refused(NotAllowed, "ticket t2 is bob's, not cy's", Withdraw("t2", CY))
    space.refused(NotFound, "there is no ticket t9", Withdraw("t9", CY))


# asking for it, taking it away


def test_the_holder_is_told_that_somebody_asks_for_its_release_once_by_each() -> None:
    space, token = held()
    result = space.ask(AskRelease(BOB, "a", reason="urgent"))
    assert isinstance(result, AskedResult)
    assert [one.asked_by for one in result.leases] == [("bob",)]
    (event,), (send,) = space.step.events, space.step.sends
    assert (event.kind, event.agent, event.ref) == ("lease.release_asked", "bob", token)
    assert (event.data["holder"], event.data["reason"]) == ("ann", "urgent")
    assert (send.to, send.type) == (("ann",), "LEASE_RELEASE_REQUESTED")
    assert send.content == {"token": token, "names": ["a"], "by": "bob", "reason": "urgent"}
    space.ask(AskRelease(BOB, token=token))
    assert space.step == Step((), (), 60.0)
    space.ask(AskRelease(CY, token=token))
    assert space.kinds == ["lease.release_asked"]


def test_all_who_hold_something_of_it_are_asked() -> None:
    space = Space()
    space.take("t1", ANN, "src/a.py")
    space.take("t2", BOB, "src/b.py")
    space.take("t3", CY, "lib/c.py")
    space.ask(AskRelease(ROOT, "src/"))
    assert [send.to for send in space.step.sends] == [("ann",), ("bob",)]


def test_what_nobody_holds_cannot_be_asked_for() -> None:
    space, _ = held()
    space.refused(NotFound, "nobody holds b; acquire it", AskRelease(BOB, "b"))
    space.refused(LeaseLost, "no lease is held under 7", AskRelease(BOB, token="7"))
    space.refused(Invalid, "name the thing", AskRelease(BOB))
    space.refused(Invalid, "the reason has", AskRelease(BOB, "a", reason="x" * 501))


def test_an_administrator_takes_a_lease_away_and_the_holder_is_told() -> None:
    space, token = held()
    space.take("t2", BOB, "a")
    result = space.ask(Revoke(ROOT, token, "stuck", is_admin=True))
    assert isinstance(result, LeaseResult)
    assert (result.status, result.success, result.reason) == ("revoked", True, "root took it away: stuck")
    assert space.kinds == ["lease.revoked", "lease.granted"]
    (send,) = space.step.sends
    assert (send.to, send.type) == (("ann",), "LEASE_LOST")
    assert send.content == {"token": token, "names": ["a"], "by": "root", "reason": "stuck"}
    space.ask(Revoke(ROOT, token, "stuck", is_admin=True))
    assert space.step.events == ()


def test_nobody_else_takes_a_lease_away() -> None:
    space, token = held()
    space.refused(NotAllowed, "bob may not revoke leases", Revoke(BOB, token, "mine"))
    space.refused(LeaseLost, "never was", Revoke(ROOT, "7", "", is_admin=True))
    space.ask(Release(ANN, token))
    space.refused(LeaseLost, "it was released", Revoke(ROOT, token, "", is_admin=True))


# renewals and tokens


def test_a_renewal_is_granted_to_the_holder_and_writes_nothing() -> None:
    space, token = held()
    result = space.ask(Renew(ANN, token), 30.0)
    assert isinstance(result, LeaseResult)
    assert (space.step.events, result.expires_at) == ((), 90.0)
    assert check_renewal(space.state, ANN, token, 30.0).token == token


def test_a_lease_whose_time_is_over_by_what_the_store_says_is_not_renewed() -> None:
    space, token = held()
    assert check_renewal(space.state, ANN, token, 60.0, until=61.0).token == token
    with pytest.raises(LeaseLost, match="time is over for lease"):
        check_renewal(space.state, ANN, token, 61.0, until=61.0)
    with pytest.raises(LeaseLost):
        check_renewal(None, ANN, token, 0.0)


def test_a_token_is_valid_while_it_is_held_and_for_its_names() -> None:
    space = Space()
    token = space.take("t1", ANN, "src/", "gpu:0").token
    for name in ("src/a.py", "gpu:0", "src/"):
        assert space.ask(Check(name, token)) == CheckResult(valid=True, holder=ANN, current_token=token)
    for name in ("gpu:1", "src", "src/*.py"):
        result = space.ask(Check(name, token))
        assert isinstance(result, CheckResult)
        assert not result.valid
        assert f"{token} is of gpu:0, src/, and not of {name}" in result.reason


def test_an_old_token_is_not_valid_and_the_current_one_is_named() -> None:
    space, token = held()
    space.take("t2", BOB, "a")
    space.ask(Release(ANN, token))
    result = space.ask(Check("a", token))
    assert isinstance(result, CheckResult)
    assert (result.valid, result.holder, result.current_token) == (False, "bob", "0000000000000002")
    assert "it was released" in result.reason
    space.refused(Invalid, "names nothing", Check(".", token))


def test_reserved_tokens_are_skipped_and_told_to_who_reserved_them() -> None:
    space, _ = held()
    assert space.ask(Reserve(10, 30.0, "node-1")) == ReserveResult(start=2, end=12, grace_s=30.0)
    assert space.ask(Reserve(5, 30.0, "node-2")) == ReserveResult(start=12, end=17, grace_s=30.0)
    assert answer(space.state, Reserve(10, 30.0, "node-1"), 0.0) == ReserveResult(start=2, end=12, grace_s=30.0)
    assert space.take("t2", BOB, "b").token == "0000000000000017"
    space.refused(Invalid, "0 tokens cannot be reserved", Reserve(0, 1.0))


def test_leases_that_are_not_durable_live_over_a_block_of_tokens() -> None:
    space = Space(with_block(None, 5, 7))
    for ticket, name, token in (("t1", "a", "0000000000000005"), ("t2", "b", "0000000000000006")):
        result = space.ask(Acquire(ticket, ANN, (name,), durable=False))
        assert isinstance(result, LeaseResult)
        assert result.token == token
    space.refused(Overloaded, "reserved tokens are used up; reserve more", Acquire("t3", ANN, ("c",), durable=False))
    space.refused(Invalid, "not durable; ask with durable false", Acquire("t3", ANN, ("c",)))


def test_who_waits_while_tokens_are_lacking_is_granted_when_there_are_more() -> None:
    space = Space(with_block(None, 1, 2))
    token = space.ask(Acquire("t1", ANN, ("a",), durable=False)).token  # type: ignore[attr-defined]
    space.ask(Acquire("t2", BOB, ("a",), durable=False))
    space.ask(Release(ANN, token))
    assert space.kinds == ["lease.released"]
    space.ask(Wake())
    assert space.kinds == []
    space.state = with_block(space.state, 50, 60)
    space.ask(Wake())
    assert [(event.kind, event.ref) for event in space.step.events] == [("lease.granted", "0000000000000050")]


# bounds


def test_there_is_a_bound_to_what_is_held_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.board.leases.lease.HELD_MAX", 1)
    monkeypatch.setattr("concerted.board.leases.lease.QUEUE_MAX", 1)
    space, _ = held()
    space.refused(Overloaded, "1 leases are held; release some", Acquire("t2", BOB, ("b",)))
    space.take("t3", CY, "a")
    space.refused(Overloaded, "1 tickets wait for leases", Acquire("t4", BOB, ("a",)))


# what the engine reads off


def test_a_caller_waits_under_its_ticket_and_only_what_concerns_it_wakes_it() -> None:
    space, token = held()
    assert topic(Acquire("t2", BOB, ("a",))) == "t2"
    assert topic(Release(ANN, token)) == ""
    space.take("t2", BOB, "a")
    space.ask(Release(ANN, token))
    assert [list(wakes(event)) for event in space.step.events] == [["t1"], ["t2"]]
    assert list(wakes(Event("leases.checked", data={"next_at": 1.0}))) == []


def test_the_store_is_told_what_begins_and_ends_to_be_held() -> None:
    space, token = held()
    space.take("t2", BOB, "a")
    space.ask(Expire({}), 60.0)
    expired, granted = space.step.events
    assert (list(begins(expired)), list(ends(expired))) == ([], [(token, True)])
    assert (list(begins(granted)), list(ends(granted))) == ([("0000000000000002", 120.0)], [])
    space.ask(Release(BOB, "0000000000000002"))
    assert list(ends(space.step.events[0])) == [("0000000000000002", False)]


def test_a_store_that_has_forgotten_the_renewals_grants_everybody_a_whole_time() -> None:
    space, token = held()
    assert holds(space.state, 100.0) == ((token, 160.0),)
    assert holds(space.state, -100.0) == ((token, 60.0),)
    assert holds(None, 0.0) == ()
    assert holds(EMPTY, 0.0) == ()


def test_a_confirmation_of_what_needs_none_changes_nothing() -> None:
    space, token = held()
    result = space.ask(Confirm("t1", ANN))
    assert isinstance(result, LeaseResult)
    assert (space.step.events, result.token) == ((), token)
