"""Laws of deadlocks: a wait is reported if and only if nothing that anybody may do could ever end it."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerted.board.waits import Waiter, blocked_by_gone, by_agent, closes_cycle, explain
from concerted.machine import Wait
from concerted.values import AgentId

pytestmark = pytest.mark.pure

AGENTS = [AgentId(name) for name in ("ann", "bob", "cy", "dee", "eve")]


@st.composite
def waiters(draw: st.DrawFn, agent: AgentId | None = None) -> Waiter:
    named = tuple(draw(st.lists(st.sampled_from(AGENTS), max_size=4)))
    needed = draw(st.integers(1, max(1, len(set(named)) + 1)) if draw(st.integers(0, 9)) == 0 else st.integers(1, 3))
    who = agent if agent is not None else draw(st.sampled_from(AGENTS))
    return Waiter(who, f"s{draw(st.integers(0, 3))}", Wait(f"some of {', '.join(named)}", 1.0, named, needed))


graphs = st.lists(waiters(), max_size=8)


def can_end(waits: list[Waiter], new: Waiter) -> bool:
    """Play every order of what agents can do, and see whether the new wait ends in any of them.

    An agent acts if it waits for nothing, or has seen one of its waits end; a wait ends when enough have acted.
    """
    blocked_at_first = {waiter.agent for waiter in waits}
    start = frozenset[int]()
    to_play, played = [start], {start}
    while to_play:
        ended = to_play.pop()
        active = {agent for agent in AGENTS if agent not in blocked_at_first} | {waits[n].agent for n in ended}
        for n, waiter in enumerate(waits):
            helpers = len(active & set(waiter.wait.unblocked_by))
            if n in ended or (waiter.wait.unblocked_by and helpers < waiter.wait.needed):
                continue
            if waiter is new:
                return True
            after = ended | {n}
            if after not in played:
                played.add(after)
                to_play.append(after)
    return False


def has_blocking_set(waits: list[Waiter], new: Waiter) -> bool:
    """Look for a set of agents that block each other and the new wait: the definition, over all sets."""

    def blocked(waiter: Waiter, among: set[AgentId]) -> bool:
        names = set(waiter.wait.unblocked_by)
        return bool(names) and len(names - among) < waiter.wait.needed

    everybody = sorted({waiter.agent for waiter in waits})
    for size in range(len(everybody) + 1):
        for some in combinations(everybody, size):
            among = set(some)
            if blocked(new, among) and all(blocked(waiter, among) for waiter in waits if waiter.agent in among):
                return True
    return False


@given(graphs, waiters())
@settings(max_examples=settings().max_examples * 4)
def test_a_wait_is_reported_iff_no_play_ends_it(graph: list[Waiter], new: Waiter) -> None:
    waits = [*graph, new]
    assert (closes_cycle(by_agent(graph), new) is not None) == (not can_end(waits, new))


@given(graphs, waiters())
def test_a_wait_is_reported_iff_agents_block_each_other(graph: list[Waiter], new: Waiter) -> None:
    waits = [*graph, new]
    assert (closes_cycle(by_agent(graph), new) is not None) == has_blocking_set(waits, new)


@given(graphs, waiters())
def test_what_is_reported_is_a_way_through_waits_that_are_there(graph: list[Waiter], new: Waiter) -> None:
    waits = [*graph, new]
    cycle = closes_cycle(by_agent(graph), new)
    if cycle is None:
        return
    of_agent = by_agent(waits)
    assert (cycle.links[0].agent, cycle.links[0].subject) == (new.agent, new.subject)
    for n, link in enumerate(cycle.links):
        walked = [waiter.wait for waiter in of_agent[link.agent] if waiter.subject == link.subject]
        assert link.waiting_for in [wait.waiting_for for wait in walked]
        if link.on is not None:
            assert any(link.on in wait.unblocked_by for wait in walked)
            following = cycle.links[n + 1].agent if n + 1 < len(cycle.links) else None
            assert link.on == following if following is not None else link.on in cycle.agents
    assert len(cycle.agents) == len(cycle.links)
    assert explain(cycle).count("waits for") == len(cycle.links)


@given(st.lists(waiters(), max_size=10))
def test_if_every_wait_that_closes_a_cycle_is_refused_somebody_can_always_go_on(asked: list[Waiter]) -> None:
    granted: list[Waiter] = []
    for new in asked:
        if closes_cycle(by_agent(granted), new) is None:
            granted.append(new)
    assert all(can_end(granted, waiter) for waiter in granted)


@given(graphs, st.sets(st.sampled_from(AGENTS)))
def test_a_wait_is_hopeless_iff_without_the_gone_too_few_are_left(graph: list[Waiter], gone: set[AgentId]) -> None:
    found = [hopeless.waiter for hopeless in blocked_by_gone(by_agent(graph), dict.fromkeys(gone, "killed"))]
    expected = [
        waiter
        for waiter in graph
        if waiter.agent not in gone
        and set(waiter.wait.unblocked_by) & gone
        and len(set(waiter.wait.unblocked_by) - gone) < waiter.wait.needed
    ]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
