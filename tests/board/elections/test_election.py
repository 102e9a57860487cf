"""Leader election: one leader under a token that only grows, a queue, offers, and terms that end by time alone."""

from dataclasses import replace
from typing import Any

import pytest

from concerted.board.elections import election
from concerted.board.elections.election import (
    CANDIDATES_MAX,
    VALUE_BYTES,
    Campaign,
    Check,
    Confirm,
    Create,
    Election,
    Expire,
    Observe,
    Proclaim,
    Renew,
    Resign,
    Withdraw,
    answer,
    begins,
    check_renewal,
    decide,
    ends,
    evolve,
    holds,
    is_leader,
)
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
FIRST, SECOND, THIRD = "0000000000000001", "0000000000000002", "0000000000000003"


def after(state: Election | None, *steps: tuple[float, Any]) -> Election:
    """Return the state after requests at instants."""
    for at, request in steps:
        for event in decide(state, request, at).events:
            assert event.kind in election.KINDS
            state = evolve(state, event, at)
    assert state is not None
    return state


def events(state: Election | None, request: Any, at: float) -> list[tuple[str, Any, dict[str, Any]]]:
    return [(event.kind, event.agent, event.data) for event in decide(state, request, at).events]


def kinds(state: Election | None, request: Any, at: float) -> list[str]:
    return [f"{event.kind.removeprefix('election.')} {event.agent}" for event in decide(state, request, at).events]


VACANT = after(None, (0.0, Create("boss", CY)))
LED = after(VACANT, (1.0, Campaign(ANN, "a1", ttl_s=30.0, value="host-a")))
QUEUED = after(LED, (2.0, Campaign(BOB, "b1")), (3.0, Campaign(CY, "c1")))
OFFERED = after(QUEUED, (4.0, Resign(ANN, FIRST)))


# making an election


def test_an_election_is_created_with_nobody_leading() -> None:
    assert events(None, Create("boss", CY, 5.0, (BOB, ANN)), 0.0) == [
        (
            "election.created", CY,
            {
                "name": "boss", "status": "vacant", "confirm_s": 5.0, "candidates": ["ann", "bob"],
                "participants": ["ann", "bob"],
            },
        )
    ]  # fmt: skip
    shown = answer(VACANT, Look(), 0.0)
    assert (shown.name, shown.status, shown.leader, shown.epoch) == ("boss", "vacant", None, 0)


def test_the_same_creation_again_changes_nothing_and_another_is_a_conflict() -> None:
    assert events(LED, Create("boss", BOB), 2.0) == []
    with pytest.raises(Conflict, match="boss was created by cy with another confirm_s or other candidates"):
        decide(LED, Create("boss", CY, candidates=(ANN,)), 2.0)


def test_a_candidate_that_names_the_election_makes_it() -> None:
    made = after(None, (1.0, Campaign(ANN, "a1", name="boss")))
    assert (made.creator, made.leader and made.leader.agent) == (ANN, ANN)


@pytest.mark.parametrize("request_", [Look(), Campaign(ANN, "a1"), Observe(), Check(FIRST), Resign(ANN, FIRST)])
def test_what_does_not_exist_is_not_found(request_: Any) -> None:
    with pytest.raises(NotFound, match="there is no such election; create it, or campaign together with its name"):
        decide(None, request_, 1.0)


@pytest.mark.parametrize("request_", [Wake(), Expire({}), Lost(ANN, "killed"), Found(ANN)])
def test_time_and_losses_find_nothing_where_there_is_nothing(request_: Any) -> None:
    assert decide(None, request_, 1.0).events == ()


@pytest.mark.parametrize(
    ("create", "problem"),
    [
        (Create(" ", CY), "cannot name an election"),
        (Create("boss", CY, confirm_s=0.0), "boss: confirm_s is 0.0; it must be above 0"),
        (
            Create("boss", CY, candidates=tuple(AgentId(f"a{n}") for n in range(1_001))),
            "names 1001 candidates, at most",
        ),
    ],
)
def test_a_malformed_creation_is_refused(create: Create, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        decide(None, create, 0.0)


# campaigning


def test_whoever_campaigns_where_nobody_leads_leads_at_once() -> None:
    step = decide(VACANT, Campaign(ANN, "a1", ttl_s=30.0, value="host-a"), 1.0)
    assert [(event.kind, event.agent, event.ref) for event in step.events] == [("election.won", ANN, FIRST)]
    assert step.events[0].data == {
        "ticket": "a1", "token": FIRST, "epoch": 1, "ttl_s": 30.0, "value": "host-a", "expires_at": 31.0, "version": 1,
        "status": "led", "participants": ["ann"],
    }  # fmt: skip
    assert step.wake_at == 31.0
    told = answer(LED, Campaign(ANN, "a1"), 1.0)
    assert (told.elected, told.token, told.ttl_s, told.expires_at) == (True, FIRST, 30.0, 31.0)
    assert (told.leader, told.epoch, told.value, told.pending) == (ANN, 1, "host-a", False)


def test_the_same_ticket_again_is_answered_as_the_first_time() -> None:
    again = Campaign(ANN, "a1", ttl_s=30.0, value="host-a")
    assert events(LED, again, 2.0) == []
    assert answer(LED, again, 2.0).token == FIRST


def test_who_comes_while_somebody_leads_waits_in_line() -> None:
    assert events(LED, Campaign(BOB, "b1", ttl_s=9.0, value=7, score=2.0), 2.0) == [
        (
            "election.queued", BOB,
            {
                "ticket": "b1", "ttl_s": 9.0, "value": 7, "score": 2.0, "number": 1, "since": 2.0,
                "participants": ["bob"],
            },
        )
    ]  # fmt: skip
    told = [answer(QUEUED, Campaign(agent, ticket), 3.0) for agent, ticket in ((BOB, "b1"), (CY, "c1"))]
    assert [(one.pending, one.position, one.waiting, one.leader) for one in told] == [
        (True, 1, 2, ANN),
        (True, 2, 2, ANN),
    ]
    assert events(QUEUED, Campaign(BOB, "b1"), 4.0) == []


def test_who_does_not_want_to_wait_is_told_who_leads() -> None:
    asked = Campaign(BOB, "b1", wait=False)
    assert events(LED, asked, 2.0) == []
    told = answer(LED, asked, 2.0)
    assert (told.elected, told.success, told.pending, told.reason) == (False, False, False, "ann leads boss")
    assert told.token is None


def test_a_higher_score_comes_before_an_earlier_candidate() -> None:
    state = after(QUEUED, (4.0, Campaign(AgentId("dee"), "d1", score=1.0)))
    assert [one.ticket for one in state.queue] == ["d1", "b1", "c1"]


def test_a_ticket_belongs_to_one_candidate() -> None:
    for state in (LED, QUEUED, OFFERED):
        with pytest.raises(Conflict, match=r"ticket .1 is (ann|bob)'s; dee needs one of its own"):
            decide(state, Campaign(AgentId("dee"), "a1" if state is LED else "b1"), 5.0)


def test_only_those_who_are_named_may_campaign() -> None:
    state = after(None, (0.0, Create("boss", CY, candidates=(ANN,))))
    with pytest.raises(NotAllowed, match="bob may not lead boss; its creator cy has named who may: ann"):
        decide(state, Campaign(BOB, "b1"), 1.0)
    assert after(state, (1.0, Campaign(ANN, "a1"))).epoch == 1


@pytest.mark.parametrize(
    ("campaign", "problem"),
    [
        (Campaign(ANN, ""), "cannot name a ticket"),
        (Campaign(AgentId(" "), "a1"), "cannot name a candidate"),
        (Campaign(ANN, "a1", ttl_s=0.0), "ttl_s is 0.0; it must be"),
        (Campaign(ANN, "a1", ttl_s=float("nan")), "ttl_s is nan; it must be"),
        (Campaign(ANN, "a1", score=float("nan")), "the score of ann is nan; it must be a finite number"),
        (Campaign(ANN, "a1", value=object()), "the value has no JSON form"),
        (Campaign(ANN, "a1", value="x" * VALUE_BYTES), "the value of boss has"),
    ],
)
def test_a_malformed_campaign_is_refused(campaign: Campaign, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        decide(VACANT, campaign, 1.0)


def test_the_queue_has_a_greatest_length() -> None:
    one = QUEUED.queue[0]
    many = tuple(replace(one, ticket=f"t{n}", candidate=AgentId(f"a{n}")) for n in range(CANDIDATES_MAX))
    full = replace(QUEUED, queue=many)
    with pytest.raises(Overloaded, match="1,000 candidates wait to lead boss; come back later"):
        decide(full, Campaign(AgentId("dee"), "d1"), 5.0)
    assert kinds(full, Campaign(AgentId("a5"), "new"), 5.0) == ["withdrawn a5", "queued a5"]


# the next one


def test_when_a_leader_resigns_the_first_in_line_is_offered_the_leadership() -> None:
    step = decide(QUEUED, Resign(ANN, FIRST), 4.0)
    assert [(event.kind, event.agent, event.ref, event.data) for event in step.events] == [
        (
            "election.resigned", ANN, FIRST, {"ticket": "a1", "token": FIRST, "version": 2, "status": "vacant"}
        ),
        ("election.offered", BOB, "b1", {"ticket": "b1", "confirm_at": 14.0}),
    ]  # fmt: skip
    assert step.wake_at == 14.0
    told = answer(OFFERED, Campaign(BOB, "b1"), 4.0)
    assert (told.offered, told.confirm_at, told.elected, told.pending, told.token) == (True, 14.0, False, False, None)
    assert answer(OFFERED, Campaign(CY, "c1"), 4.0).position == 1


@pytest.mark.parametrize("yes", [Confirm("b1", BOB), Campaign(BOB, "b1")])
def test_an_offer_that_is_confirmed_makes_a_leader_with_the_next_token(yes: Any) -> None:
    state = after(OFFERED, (5.0, yes))
    assert state.leader is not None
    assert (state.leader.agent, state.leader.token, state.leader.expires_at) == (BOB, SECOND, 20.0)
    assert answer(state, yes, 5.0).token == SECOND
    assert events(state, yes, 6.0) == []


def test_an_offer_that_is_not_confirmed_in_time_passes_on() -> None:
    assert events(OFFERED, Wake(), 14.0) == [
        ("election.lapsed", BOB, {"ticket": "b1", "reason": "it was not confirmed in time", "confirm_at": 14.0}),
        ("election.offered", CY, {"ticket": "c1", "confirm_at": 24.0}),
    ]
    assert events(OFFERED, Wake(), 13.9) == []


def test_a_confirmation_at_the_deadline_is_too_late_even_if_no_timer_has_fired() -> None:
    with pytest.raises(LeaseLost, match="ticket b1 of bob is over: lapsed; campaign anew"):
        decide(OFFERED, Confirm("b1", BOB), 14.0)
    assert kinds(OFFERED, Campaign(BOB, "b1"), 14.0) == ["lapsed bob", "offered cy", "queued bob"]


def test_no_token_is_given_before_the_confirmation() -> None:
    state = after(OFFERED, (14.0, Wake()), (15.0, Confirm("c1", CY)))
    assert state.leader is not None
    assert state.leader.token == SECOND


@pytest.mark.parametrize(
    ("confirm", "error", "problem"),
    [
        (Confirm("b1", CY), NotAllowed, "ticket b1 is bob's, not cy's"),
        (Confirm("c1", CY), WrongPhase, "ticket c1 still waits to lead boss; confirm when it is offered"),
        (Confirm("x", CY), NotFound, "there is no ticket x in boss; campaign first"),
        (Confirm("a1", ANN), LeaseLost, "ticket a1 of ann is over: resigned"),
    ],
)
def test_only_what_is_offered_is_confirmed_and_by_its_candidate(confirm: Confirm, error: Any, problem: str) -> None:
    with pytest.raises(error, match=problem):
        decide(OFFERED, confirm, 5.0)


def test_nobody_leads_before_the_offer_is_confirmed() -> None:
    assert OFFERED.leader is None
    assert kinds(OFFERED, Campaign(AgentId("dee"), "d1", score=99.0), 5.0) == ["queued dee"]


# withdrawing


def test_who_waits_may_withdraw_and_is_not_asked_again() -> None:
    state = after(QUEUED, (4.0, Withdraw("b1", BOB)))
    assert [one.ticket for one in state.queue] == ["c1"]
    told = answer(state, Campaign(BOB, "b1"), 5.0)
    assert (told.success, told.pending, told.reason) == (False, False, "withdrawn: bob withdrew")
    assert events(state, Withdraw("b1", BOB), 5.0) == []
    assert events(state, Campaign(BOB, "b1"), 5.0) == []


def test_an_offer_that_is_declined_goes_to_the_next() -> None:
    assert kinds(OFFERED, Withdraw("b1", BOB), 5.0) == ["withdrawn bob", "offered cy"]


@pytest.mark.parametrize(
    ("withdraw", "error", "problem"),
    [
        (Withdraw("b1", CY), NotAllowed, "ticket b1 is bob's, not cy's"),
        (Withdraw("a1", ANN), WrongPhase, "ticket a1 leads boss; resign instead"),
        (Withdraw("x", ANN), NotFound, "there is no ticket x in boss"),
    ],
)
def test_only_who_waits_withdraws(withdraw: Withdraw, error: Any, problem: str) -> None:
    with pytest.raises(error, match=problem):
        decide(QUEUED, withdraw, 5.0)


# time


def test_a_leadership_ends_when_the_store_says_that_its_time_is_over() -> None:
    step = decide(QUEUED, Expire({FIRST: 40.0}), 40.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        (
            "election.expired", ANN,
            {
                "ticket": "a1", "token": FIRST, "version": 2, "expires_at": 40.0, "status": "vacant",
                "reason": "its time was over",
            },
        ),
        ("election.offered", BOB, {"ticket": "b1", "confirm_at": 50.0}),
    ]  # fmt: skip
    (send,) = step.sends
    assert (send.to, send.type, send.priority) == ((ANN,), "LEADERSHIP_LOST", "high")
    assert send.content == {"election": "boss", "token": FIRST, "expires_at": 40.0, "reason": "its time was over"}


def test_a_renewed_leadership_goes_on() -> None:
    step = decide(QUEUED, Expire({FIRST: 60.0}), 40.0)
    assert (step.events, step.wake_at) == ((), 60.0)


def test_what_was_never_renewed_ends_by_the_time_of_its_grant() -> None:
    assert kinds(LED, Expire({}), 30.9) == []
    assert kinds(LED, Expire({}), 31.0) == ["expired ann"]
    assert kinds(LED, Expire({FIRST: 20.0}), 30.9) == []  # a lease is never shorter than granted


def test_a_plain_wake_ends_no_leadership_since_it_knows_of_no_renewals() -> None:
    for at in (31.0, 50.0):
        step = decide(QUEUED, Wake(), at)
        assert (step.events, step.wake_at) == ((), at + 1.0)


def test_what_is_held_begins_with_the_election_and_ends_with_the_leadership() -> None:
    def of(kind: str) -> Event:
        return Event(kind, ANN, FIRST, {"ticket": "a1", "token": FIRST, "expires_at": 31.0})

    assert list(begins(of("election.won"))) == [(FIRST, 31.0)]
    assert list(begins(of("election.expired"))) == []
    assert list(ends(of("election.expired"))) == [(FIRST, True)]
    assert list(ends(of("election.resigned"))) == [(FIRST, False)]
    assert list(ends(of("election.replaced"))) == [(FIRST, False)]
    assert list(ends(of("election.won"))) == []


def test_a_store_that_has_forgotten_the_renewals_holds_for_a_whole_time_anew() -> None:
    assert holds(LED, 100.0) == ((FIRST, 130.0),)
    assert holds(LED, 0.5) == ((FIRST, 31.0),)
    assert holds(VACANT, 100.0) == ()
    assert holds(None, 100.0) == ()


def test_the_leader_may_renew_and_nobody_else() -> None:
    assert check_renewal(LED, ANN, FIRST, 5.0).ttl_s == 30.0
    assert decide(LED, Renew(ANN, FIRST), 5.0).events == ()
    with pytest.raises(NotAllowed, match=f"leadership {FIRST} of boss is ann's, not bob's"):
        check_renewal(LED, BOB, FIRST, 5.0)
    with pytest.raises(LeaseLost, match=f"leadership {FIRST} is over, resigned; nobody leads boss; campaign anew"):
        check_renewal(OFFERED, ANN, FIRST, 5.0)
    with pytest.raises(LeaseLost, match="time is over for leadership"):
        check_renewal(LED, ANN, FIRST, 40.0, until=39.0)
    assert check_renewal(LED, ANN, FIRST, 40.0, until=41.0).token == FIRST
    with pytest.raises(NotFound):
        check_renewal(None, ANN, FIRST, 5.0)


# the leader's own


def test_a_leader_proclaims_a_value() -> None:
    assert events(LED, Proclaim(ANN, FIRST, "host-b"), 2.0) == [
        ("election.proclaimed", ANN, {"token": FIRST, "value": "host-b", "version": 2})
    ]
    state = after(LED, (2.0, Proclaim(ANN, FIRST, "host-b")))
    assert answer(state, Look(), 3.0).value == "host-b"
    assert events(state, Proclaim(ANN, FIRST, "host-b"), 3.0) == []


def test_an_old_token_proclaims_nothing() -> None:
    state = after(OFFERED, (5.0, Confirm("b1", BOB)))
    with pytest.raises(
        LeaseLost, match=f"leadership {FIRST} is over, resigned; bob leads boss; campaign anew"
    ) as caught:
        decide(state, Proclaim(ANN, FIRST, "x"), 6.0)
    assert caught.value.facts == {"token": FIRST, "epoch": 2}


def test_a_resignation_that_is_repeated_changes_nothing() -> None:
    assert events(OFFERED, Resign(ANN, FIRST), 5.0) == []
    assert events(after(OFFERED, (5.0, Confirm("b1", BOB))), Resign(ANN, FIRST), 6.0) == []


@pytest.mark.parametrize(
    ("resign", "error"),
    [(Resign(BOB, FIRST), NotAllowed), (Resign(ANN, SECOND), LeaseLost), (Resign(BOB, ""), LeaseLost)],
)
def test_only_the_leader_resigns_and_under_its_token(resign: Resign, error: Any) -> None:
    with pytest.raises(error):
        decide(LED, resign, 5.0)


def test_a_resignation_after_time_was_over_is_refused() -> None:
    with pytest.raises(LeaseLost, match="is over, expired: its time was over; nobody leads boss"):
        decide(after(LED, (31.0, Expire({}))), Resign(ANN, FIRST), 32.0)


# coming back


def test_a_leader_that_campaigns_under_a_new_ticket_leads_on_under_a_new_token() -> None:
    """Its process has started anew and does not know its old ticket; the old process is fenced off."""
    again = Campaign(ANN, "a2", ttl_s=5.0, value="new")
    assert kinds(QUEUED, again, 5.0) == ["replaced ann", "won ann"]
    state = after(QUEUED, (5.0, again))
    assert answer(state, again, 5.0).token == SECOND
    assert not is_leader(state, FIRST)
    told = answer(state, Campaign(ANN, "a1"), 6.0)
    assert (told.elected, told.reason) == (False, "replaced: ann campaigned anew")
    assert events(state, Campaign(ANN, "a1"), 6.0) == []


def test_a_candidate_that_campaigns_under_a_new_ticket_keeps_its_place() -> None:
    state = after(QUEUED, (9.0, Campaign(BOB, "b2")))
    assert [(one.ticket, one.since) for one in state.queue] == [("b2", 2.0), ("c1", 3.0)]
    assert answer(state, Campaign(BOB, "b1"), 9.0).reason == "withdrawn: bob campaigned anew under ticket b2"


def test_a_candidate_to_whom_it_was_offered_leads_at_once_under_a_new_ticket() -> None:
    assert kinds(OFFERED, Campaign(BOB, "b2"), 5.0) == ["withdrawn bob", "won bob"]


def test_whoever_has_lost_its_turn_may_use_its_ticket_again() -> None:
    state = after(LED, (31.0, Expire({})))
    assert kinds(state, Campaign(ANN, "a1"), 32.0) == ["won ann"]


# the gone


def test_a_leader_that_is_gone_leads_until_its_time_is_over() -> None:
    assert events(QUEUED, Lost(ANN, "no heartbeat for 20 s"), 5.0) == [
        ("election.leader_lost", ANN, {"token": FIRST, "reason": "no heartbeat for 20 s"})
    ]
    state = after(QUEUED, (5.0, Lost(ANN, "no heartbeat for 20 s")))
    assert is_leader(state, FIRST)
    assert events(state, Lost(ANN, "no heartbeat for 20 s"), 6.0) == []
    assert decide(state, Expire({}), 31.0).events[0].data["reason"] == "ann is gone: no heartbeat for 20 s"
    back = after(state, (7.0, Found(ANN)))
    assert back.leader == QUEUED.leader
    assert events(back, Found(ANN), 8.0) == []


def test_a_candidate_that_is_gone_is_dropped_at_once() -> None:
    assert events(QUEUED, Lost(BOB, "killed"), 5.0) == [
        ("election.dropped", BOB, {"ticket": "b1", "reason": "bob is gone: killed"})
    ]
    assert kinds(after(QUEUED, (5.0, Lost(BOB, "killed"))), Resign(ANN, FIRST), 6.0) == ["resigned ann", "offered cy"]


def test_an_offer_to_who_is_gone_goes_to_the_next() -> None:
    assert kinds(OFFERED, Lost(BOB, "killed"), 5.0) == ["dropped bob", "offered cy"]


def test_strangers_that_are_gone_or_back_change_nothing() -> None:
    assert events(QUEUED, Lost(AgentId("dee"), "killed"), 5.0) == []
    assert events(QUEUED, Found(AgentId("dee")), 5.0) == []


# checking


def test_a_token_is_good_as_long_as_its_leadership_has_not_ended() -> None:
    good = answer(LED, Check(FIRST), 5.0)
    assert (good.valid, good.leader, good.epoch, good.reason) == (True, ANN, 1, "")
    old = answer(OFFERED, Check(FIRST), 5.0)
    assert (old.valid, old.leader, old.epoch) == (False, None, 1)
    assert old.reason == f"leadership {FIRST} is over, resigned; nobody leads boss"
    assert answer(LED, Check("x"), 5.0).reason == "x is not the token of the leader; ann leads boss"


# observing


@pytest.mark.parametrize(
    ("state", "epoch", "pending"),
    [(VACANT, 0, True), (LED, 0, False), (LED, 1, True), (OFFERED, 1, False), (OFFERED, 0, True)],
)
def test_an_observer_waits_until_another_or_nobody_leads(state: Election, epoch: int, pending: bool) -> None:
    assert answer(state, Observe(epoch), 5.0).pending is pending


def test_an_observer_may_wait_for_another_value_too() -> None:
    assert answer(LED, Observe(1, known_version=1), 2.0).pending
    assert not answer(after(LED, (2.0, Proclaim(ANN, FIRST, "b"))), Observe(1, known_version=1), 3.0).pending
    assert answer(after(LED, (2.0, Proclaim(ANN, FIRST, "b"))), Observe(1), 3.0).pending


def test_a_change_wakes_the_tickets_it_concerns_and_the_observers() -> None:
    def woken(state: Election, request: Any, at: float) -> list[list[str]]:
        return [list(election.wakes(event)) for event in decide(state, request, at).events]

    assert woken(QUEUED, Resign(ANN, FIRST), 4.0) == [["ticket a1", ""], ["ticket b1"]]
    assert woken(OFFERED, Confirm("b1", BOB), 5.0) == [["ticket b1", ""]]
    assert woken(LED, Proclaim(ANN, FIRST, "b"), 5.0) == [[""]]
    assert woken(QUEUED, Lost(BOB, "killed"), 5.0) == [["ticket b1"]]
    assert (election.topic(Campaign(BOB, "b1")), election.topic(Observe())) == ("ticket b1", "")
