"""Laws of decisions: one end, only by the rule, a function of the log's prefix; no ballot lost or counted twice."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.decision import (
    Await,
    Cancel,
    Create,
    Decision,
    Request,
    Vote,
    answer,
    decide,
    evolve,
    waits,
    wakes,
)
from concerted.consensus.decisions.rule import Rule
from concerted.consensus.decisions.state import certify
from concerted.consensus.decisions.tally import count, open_tally, settled
from concerted.errors import ConcertedError
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.values import AgentId

ANN, BOB, CY, DEE = AGENTS = tuple(AgentId(name) for name in ("ann", "bob", "cy", "dee"))

agents = st.sampled_from(AGENTS)
creations = st.builds(
    Create,
    id=st.just("d1"),
    by=st.just(DEE),
    question=st.just("ship it?"),
    electorate=st.dictionaries(st.sampled_from(AGENTS[:3]), st.integers(1, 3), min_size=1),
    rule=st.sampled_from([
        Rule(), Rule(base="cast"), Rule(quorum="2/3"), Rule(silence="accept"), Rule(threshold="1", comparison=">="),
    ]),
    deadline_at=st.sampled_from([None, 5.0, 20.0]),
)  # fmt: skip
votes = st.builds(Vote, agents, st.sampled_from(["accept", "reject", "abstain"]), st.sampled_from(["", "so"]))
requests: st.SearchStrategy[Request] = st.one_of(
    votes,
    votes,
    votes,
    st.builds(Await, agents),
    st.builds(Cancel, st.sampled_from([ANN, DEE])),
    st.just(Wake()),
    st.just(Look()),
    st.builds(Lost, agents, st.just("gone")),
    st.builds(Found, agents),
)
stories = st.tuples(creations, st.lists(st.tuples(requests, st.floats(0.0, 3.0)), max_size=12))


def told(story: tuple[Create, list[tuple[Request, float]]]) -> tuple[list[tuple[Event, float]], list[Decision]]:
    """Return the log of a story, and the state after each entry."""
    first, others = story
    state: Decision | None = None
    log: list[tuple[Event, float]] = []
    states: list[Decision] = []
    now = 1.0
    for request, later in [(first, 0.0), *others]:
        now += later
        try:
            step = decide(state, request, now)
        except ConcertedError:
            continue
        for event in step.events:
            state = evolve(state, event, now)
            log.append((event, now))
            states.append(state)
    return log, states


@given(stories)
def test_the_state_is_a_function_of_the_log(story: Any) -> None:
    log, states = told(story)
    state: Decision | None = None
    for (event, at), expected in zip(log, states, strict=True):
        as_read = msgspec.json.decode(msgspec.json.encode(event.data))
        state = evolve(state, Event(event.kind, event.agent, event.ref, as_read), at)
        assert state == expected


@given(stories)
def test_there_is_one_end_and_it_is_what_the_ballots_before_it_come_to(story: Any) -> None:
    log, states = told(story)
    closed = [number for number, (event, _) in enumerate(log) if event.kind == "decision.closed"]
    assert len(closed) <= 1
    for number in closed:
        before = [event.kind for event, _ in log[number:]]
        assert "decision.ballot_cast" not in before
        certificate = certify(states[number])
        assert verify(certificate).problems == ()
        assert log[number][0].data["status"] == certificate.outcome == states[-1].status


@given(stories)
def test_it_is_closed_the_moment_it_is_settled_and_never_before(story: Any) -> None:
    log, states = told(story)
    for number, state in enumerate(states):
        is_settled = settled(state.opening.rule, state.tally) is not None
        if is_settled and state.closing is None:
            assert log[number + 1][0].kind == "decision.closed"
        if state.closing is not None and state.closing.cause in ("settled", "complete"):
            assert is_settled


@given(stories)
def test_every_voter_counts_once_and_by_the_first_ballot(story: Any) -> None:
    log, states = told(story)
    first: dict[str, str] = {}
    for event, _ in log:
        if event.kind.startswith("decision.ballot"):
            first.setdefault(str(event.agent), event.data["choice"])
    state = states[-1]
    assert {voter: state.ballots[voter].choice for voter in state.ballots} == first
    tally = open_tally(state.opening.electorate, state.opening.options, state.opening.rule)
    for voter, choice in first.items():
        tally = count(tally, state.opening.rule, AgentId(voter), choice, state.opening.electorate[AgentId(voter)])
    assert tally == state.tally


@given(stories, requests)
def test_who_waits_is_woken_by_what_ends_the_wait(story: Any, request: Request) -> None:
    log, states = told(story)
    for (event, _), state in zip(log, states, strict=True):
        if state.closing is not None:
            assert not answer(state, request, 50.0).pending
            assert waits(state, request, 50.0) is None
        is_end = event.kind == "decision.closed"
        assert bool(list(wakes(event))) == is_end
