"""Laws of elections: one leader at a time as seen by tokens, tokens only grow, and time is never cut short."""

from dataclasses import replace
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.board.elections.election import (
    Campaign,
    Confirm,
    Create,
    Election,
    Expire,
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
    is_leader,
    waits,
)
from concerted.errors import Conflict, LeaseLost, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

agents = st.sampled_from([AgentId("ann"), AgentId("bob"), AgentId("cy")])
tickets = st.integers(1, 2)
tokens = st.sampled_from(["", "", "", *(f"{number:016d}" for number in range(1, 4))])  # "": the leader's own
scores = st.sampled_from([0.0, 0.0, 1.0])


def ticket_of(agent: AgentId, number: int) -> str:
    return f"{agent}{number}"


@st.composite
def requests(draw: st.DrawFn) -> Any:
    agent = draw(agents)
    ticket = ticket_of(agent, draw(tickets))
    match draw(st.integers(0, 11)):
        case 0 | 1 | 2 | 3:
            return Campaign(agent, ticket, draw(st.sampled_from([5.0, 20.0])), None, draw(st.booleans()), draw(scores))
        case 4:
            return Confirm(ticket, agent)
        case 5:
            return Withdraw(ticket, agent)
        case 6:
            return Resign(agent, draw(tokens))
        case 7:
            return Renew(agent, draw(tokens))
        case 8:
            return Proclaim(agent, draw(tokens), draw(st.integers(0, 2)))
        case 9:
            return Lost(agent, "killed")
        case 10:
            return Found(agent)
        case _:
            return "time"


pauses = st.sampled_from([0.0, 0.5, 2.0, 6.0])
histories = st.lists(st.tuples(pauses, requests()), min_size=8, max_size=40)


class Course:
    """An election as the engine keeps it: its log, and a store that knows the renewals."""

    def __init__(self) -> None:
        self.log: list[tuple[float, Event]] = []
        self.state: Election | None = None
        self.held: dict[str, float] = {}
        self.wake_at: float | None = None
        self.ask(Create("boss", AgentId("cy"), confirm_s=3.0), 0.0)

    def ask(self, request: Any, now: float) -> None:
        step = decide(self.state, request, now)
        for event in step.events:
            if event.kind == "election.expired":
                assert self.held[event.data["token"]] <= now, "its time was cut short"
            self.log.append((now, event))
            self.state = evolve(self.state, event, now)
            for token, _ in ends(event):
                del self.held[token]
            self.held |= dict(begins(event))
        self.wake_at = step.wake_at

    def now_comes(self, now: float) -> None:
        """Wake the election as often as it asks for."""
        for _ in range(20):
            if self.wake_at is None or self.wake_at > now:
                return
            self.ask(Expire(dict(self.held)), now)
        raise AssertionError("it asks to be woken for ever")

    def renew(self, request: Renew, now: float) -> None:
        assert self.state is not None
        until = self.held.get(request.token)
        leader = check_renewal(self.state, request.holder, request.token, now, until)
        self.held[leader.token] = max(self.held[leader.token], now + leader.ttl_s)


def meant(request: Any, state: Election | None) -> Any:
    """Return the request with the leader and its token where it names none."""
    if getattr(request, "token", None) != "" or state is None or state.leader is None:
        return request
    who = "holder" if isinstance(request, Renew) else "leader"
    return replace(request, **{who: state.leader.agent, "token": state.leader.token})


def live(history: list[tuple[float, Any]], in_time: bool) -> Course:
    """Let an election live through requests, wrong ones included; in_time: no timer is ever late."""
    course, now = Course(), 0.0
    for pause, request in history:
        now += pause
        if in_time or request == "time":
            course.now_comes(now)
        asked = meant(request, course.state)
        try:
            if isinstance(asked, Renew):
                course.renew(asked, now)
            elif asked != "time":
                course.ask(asked, now)
        except (Conflict, LeaseLost, NotAllowed, NotFound, WrongPhase):
            continue
        check(course)
    return course


def check(course: Course) -> None:
    """See that the state makes sense."""
    state = course.state
    assert state is not None
    assert state.leader is None or state.offer is None
    assert state.leader is not None or state.offer is not None or not state.queue
    assert list(state.queue) == sorted(state.queue, key=lambda one: one.place)
    open_ = [one.candidate for one in state.queue]
    open_ += [state.offer.candidacy.candidate] if state.offer is not None else []
    open_ += [state.leader.agent] if state.leader is not None else []
    assert len(open_) == len(set(open_)), "somebody is a candidate twice"
    assert set(course.held) == ({state.leader.token} if state.leader is not None else set())


@given(histories, st.booleans())
def test_tokens_only_grow_and_one_leadership_ends_before_the_next_begins(
    history: list[tuple[float, Any]], in_time: bool
) -> None:
    course = live(history, in_time)
    leading: list[str] = []
    given_out: list[str] = []
    for _, event in course.log:
        if event.kind == "election.won":
            assert not leading
            leading, given_out = [event.data["token"]], [*given_out, event.data["token"]]
        if event.kind in ("election.resigned", "election.expired", "election.replaced"):
            assert leading == [event.data["token"]]
            leading = []
    assert given_out == sorted(set(given_out))
    assert len({len(token) for token in given_out}) <= 1
    state = course.state
    assert state is not None
    assert [token for token in given_out if is_leader(state, token)] == leading


@given(histories, st.booleans())
def test_an_old_token_is_good_for_nothing(history: list[tuple[float, Any]], in_time: bool) -> None:
    course = live(history, in_time)
    state = course.state
    assert state is not None
    for at, event in course.log:
        if event.kind != "election.won" or is_leader(state, event.data["token"]):
            continue
        assert event.agent is not None
        with pytest.raises(LeaseLost):
            check_renewal(state, event.agent, event.data["token"], at)
        with pytest.raises(LeaseLost):
            decide(state, Proclaim(event.agent, event.data["token"], "mine"), at)


@given(histories, st.booleans())
def test_whoever_is_offered_it_comes_before_all_others_who_wait(
    history: list[tuple[float, Any]], in_time: bool
) -> None:
    course = live(history, in_time)
    state: Election | None = None
    for at, event in course.log:
        if event.kind == "election.offered":
            assert state is not None
            assert min(state.queue, key=lambda one: (-one.score, one.number)).ticket == event.data["ticket"]
        state = evolve(state, event, at)


@given(histories)
def test_an_offer_stands_as_long_as_the_election_says(
    history: list[tuple[float, Any]],
) -> None:
    course = live(history, in_time=True)
    offered: float | None = None
    for at, event in course.log:
        if event.kind == "election.offered":
            offered = at
        if event.kind == "election.lapsed":
            assert offered is not None
            assert event.data["confirm_at"] == offered + 3.0 <= at


@given(histories, st.booleans())
def test_every_ticket_is_answered_and_every_wait_names_who_can_end_it(
    history: list[tuple[float, Any]], in_time: bool
) -> None:
    state = live(history, in_time).state
    assert state is not None
    elected = []
    for name in ("ann", "bob", "cy"):
        for number in (1, 2):
            request = Campaign(AgentId(name), ticket_of(AgentId(name), number))
            told = answer(state, request, 0.0)
            wait = waits(state, request, 0.0)
            elected += [told.token] if told.elected else []
            assert told.pending == (wait is not None)
            if wait is not None:
                assert request.candidate not in wait.unblocked_by
                assert wait.needed == len(wait.unblocked_by) == len(set(wait.unblocked_by)) >= 1
    assert elected == ([state.leader.token] if state.leader is not None else [])


@given(histories, st.booleans(), st.data())
def test_the_events_alone_lead_to_the_same_state_through_a_fold_at_any_place(
    history: list[tuple[float, Any]], in_time: bool, data: st.DataObject
) -> None:
    course = live(history, in_time)
    fold_at = data.draw(st.integers(0, len(course.log)))
    again: Election | None = None
    for n, (at, event) in enumerate(course.log):
        if n == fold_at and again is not None:
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(again, enc_hook=dict)))
            again = msgspec.convert(plain, Election, dec_hook=typed)
        again = evolve(again, msgspec.json.decode(msgspec.json.encode(event), type=Event), at)
    assert again == course.state


@given(histories)
def test_a_plain_wake_never_ends_a_leadership(history: list[tuple[float, Any]]) -> None:
    course = live(history, in_time=False)
    step = decide(course.state, Wake(), 1_000.0)
    assert all(event.kind != "election.expired" for event in step.events)
    assert step.wake_at is None or step.wake_at > 1_000.0


def typed(kind: Any, value: Any) -> Any:
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]
