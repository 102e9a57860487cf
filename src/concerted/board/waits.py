"""The wait-for graph: who waits for whom, and whether one more wait could ever end.

One model for sync points, barriers, leases, task dependencies and awaited replies: a wait ends when any
`needed` of the agents in `unblocked_by` act; if it names nobody, somebody unknown may end it.  An agent that
waits for nothing can act.  One that waits for several things at once goes on as soon as one of them comes,
so it counts as unable to act only if none of its waits can end.  Deadlines count for nothing here: what only
its deadline would end is a deadlock, and is told at once.

So no deadlock is reported that is none as long as the waits name everybody who can end them; an agent
that could act but is busy, slow or gone counts as able (`blocked_by_gone` finds those that wait for the gone).

Source: Bracha & Toueg 1987, "Distributed deadlock detection", section 2 (the k-out-of-n model) and section 3
(reduction: whoever can act is taken out of the graph, until nobody is left who can).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

from concerted.errors import Deadlock
from concerted.machine import Wait
from concerted.values import AgentId, Instant

__all__ = [
    "Cycle",
    "Hopeless",
    "Link",
    "Waiter",
    "Waiters",
    "blocked_by_gone",
    "blocked_with",
    "by_agent",
    "closes_cycle",
    "deadlock",
    "explain",
]

NAMED_MAX = 10  # agents named in one sentence


@dataclass(frozen=True, slots=True)
class Waiter:
    """An agent that waits.  subject: what it waits at, as in `sync_point:stand-up`."""

    agent: AgentId
    subject: str
    wait: Wait


Waiters: TypeAlias = Mapping[AgentId, Sequence[Waiter]]


@dataclass(frozen=True, slots=True)
class Link:
    """One wait of a deadlock.  on: the agent in it that cannot act either; None: too few could ever end it."""

    agent: AgentId
    subject: str
    waiting_for: str
    since: Instant
    on: AgentId | None


@dataclass(frozen=True, slots=True)
class Cycle:
    """A deadlock: each waits for the next.

    The last waits for the first, or for another before it (then the first has joined the deadlock of others),
    or for more agents than there are.
    """

    links: tuple[Link, ...]

    @property
    def agents(self) -> tuple[AgentId, ...]:
        """Who is in it, in its order."""
        return tuple(dict.fromkeys(link.agent for link in self.links))


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A wait that cannot end, because too few of those who could end it are left.  why: in words."""

    waiter: Waiter
    left: tuple[AgentId, ...]
    gone: tuple[AgentId, ...]
    why: str


def closes_cycle(waiters: Waiters, new: Waiter) -> Cycle | None:
    """Return the deadlock that a new wait is in; None if it can end.

    It may be among `waiters` already.  Only those whom the new waiter waits for, and they in turn, are looked at,
    and no further than until it is seen that the wait can end; waits that share their `unblocked_by` (the same
    tuple) cost as one.
    """
    stuck = _Reduction(waiters, new).stuck()
    if stuck is None:
        return None
    return Cycle(_way_round(new, stuck) or _way_down(new, stuck))


def blocked_with(waiters: Waiters, new: Waiter) -> Mapping[AgentId, Sequence[Waiter]] | None:
    """Return, if a new wait can never end, the agents on whose waits that rests, with these; None if it can end."""
    return _Reduction(waiters, new).stuck()


def explain(cycle: Cycle) -> str:
    """Say it: `ann waits for bob at sync point s1, bob waits for ann's lease on src/a.py`."""
    return ", ".join(_sentence(link) for link in cycle.links)


def deadlock(cycle: Cycle) -> Deadlock:
    """Return the error with which the wait that closes the cycle is answered; the others stay as they are."""
    first = cycle.links[0]
    return Deadlock(
        f"{first.agent} would wait for ever: {explain(cycle)}; one of them must let go of what the others wait for",
        cycle=[asdict(link) for link in cycle.links],
        agents=list(cycle.agents),
    )


def blocked_by_gone(waiters: Waiters, gone: Mapping[AgentId, str]) -> tuple[Hopeless, ...]:
    """Return the waits that cannot end because too few of those who could end them are left, by agent.

    gone: agent -> why it is.  The waits of agents that are gone themselves are left out.  O(waits) if
    somebody is gone.
    """
    if not gone:
        return ()
    found = []
    for agent in sorted(waiters):
        if agent not in gone:
            found += [hopeless for waiter in waiters[agent] if (hopeless := _hopeless(waiter, gone)) is not None]
    return tuple(found)


def by_agent(waiters: Iterable[Waiter]) -> dict[AgentId, list[Waiter]]:
    """Return each agent's waits, in the order in which they come."""
    found: dict[AgentId, list[Waiter]] = {}
    for waiter in waiters:
        found.setdefault(waiter.agent, []).append(waiter)
    return found


# reduction

_Condition: TypeAlias = tuple[int, int]  # the identity of an `unblocked_by`, and how many of it are needed


class _Reduction:
    """The part of the graph that can be reached from one wait, reduced while it is explored."""

    def __init__(self, waiters: Waiters, new: Waiter) -> None:
        self._waiters = waiters
        self._new = new
        self._missing: dict[_Condition, int] = {}  # how many more must be able to act
        self._owners: dict[_Condition, list[AgentId]] = {}
        self._named_in: dict[AgentId, list[_Condition]] = {}  # agents that were seen, and what they could end
        self._to_visit: deque[AgentId] = deque()
        self._able: set[AgentId] = set()

    def stuck(self) -> dict[AgentId, Sequence[Waiter]] | None:
        """Return the agents that can never act, each with its waits; None if the new wait can end."""
        root = _condition(self._new.wait)
        self._open(self._new.wait)
        visited: dict[AgentId, Sequence[Waiter]] = {}
        while self._missing[root] > 0 and self._to_visit:
            agent = self._to_visit.popleft()
            waits = visited[agent] = self._waits_of(agent)
            if not waits:
                self._enable(agent)
            for waiter in waits:
                self._owners.setdefault(self._open(waiter.wait), []).append(agent)
                if self._missing[_condition(waiter.wait)] <= 0:
                    self._enable(agent)
        if self._missing[root] <= 0:
            return None
        return {agent: waits for agent, waits in visited.items() if agent not in self._able}

    def _waits_of(self, agent: AgentId) -> Sequence[Waiter]:
        waits = self._waiters.get(agent, ())
        return [*waits, self._new] if agent == self._new.agent else waits

    def _open(self, wait: Wait) -> _Condition:
        """Take a wait into the graph, and those who can end it into what is to be visited."""
        condition = _condition(wait)
        if condition in self._missing:
            return condition
        if not wait.unblocked_by:
            self._missing[condition] = 0
            return condition
        names = dict.fromkeys(wait.unblocked_by)
        self._missing[condition] = wait.needed - sum(agent in self._able for agent in names)
        for agent in names:
            if agent not in self._named_in:
                self._named_in[agent] = []
                self._to_visit.append(agent)
            self._named_in[agent].append(condition)
        return condition

    def _enable(self, agent: AgentId) -> None:
        """Take an agent that can act out of the graph, and whoever can act because of it."""
        enabled = [agent]
        while enabled:
            agent = enabled.pop()
            if agent in self._able:
                continue
            self._able.add(agent)
            for condition in self._named_in.get(agent, ()):
                self._missing[condition] -= 1
                if self._missing[condition] <= 0:
                    enabled += self._owners.get(condition, ())


def _condition(wait: Wait) -> _Condition:
    return id(wait.unblocked_by), wait.needed


# the way through a deadlock


def _way_round(new: Waiter, stuck: Mapping[AgentId, Sequence[Waiter]]) -> tuple[Link, ...]:
    """Return the shortest way from the new wait back to its agent; none if it only waits for a deadlock of others."""
    came_by: dict[AgentId, Waiter] = {}
    looked_at: set[int] = set()
    to_visit = deque([new])
    while to_visit:
        waiter = to_visit.popleft()
        if id(waiter.wait.unblocked_by) in looked_at:
            continue
        looked_at.add(id(waiter.wait.unblocked_by))
        for agent in waiter.wait.unblocked_by:
            if agent in came_by or agent not in stuck:
                continue
            came_by[agent] = waiter
            if agent == new.agent:
                return _walked(new, came_by)
            to_visit += stuck[agent]
    return ()


def _walked(new: Waiter, came_by: Mapping[AgentId, Waiter]) -> tuple[Link, ...]:
    links: list[Link] = []
    agent = new.agent
    while not links or agent != new.agent:
        waiter = came_by[agent]
        links.append(_link(waiter, agent))
        agent = waiter.agent
    return tuple(reversed(links))


def _way_down(new: Waiter, stuck: Mapping[AgentId, Sequence[Waiter]]) -> tuple[Link, ...]:
    """Follow the waits until somebody comes again, or until there is nobody to follow."""
    links: list[Link] = []
    waiter, seen = new, {new.agent}
    while True:
        on = next((agent for agent in waiter.wait.unblocked_by if agent in stuck), None)
        links.append(_link(waiter, on))
        if on is None or on in seen:
            return tuple(links)
        seen.add(on)
        waiter = stuck[on][0]


def _link(waiter: Waiter, on: AgentId | None) -> Link:
    return Link(waiter.agent, waiter.subject, waiter.wait.waiting_for, waiter.wait.since, on)


# words


def _sentence(link: Link) -> str:
    said = f"{link.agent} waits for {link.waiting_for}"
    if link.on is None:
        return f"{said} (too few can end it)"
    return said if _names(link.waiting_for, link.on) else f"{said} (only with {link.on})"


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _hopeless(waiter: Waiter, gone: Mapping[AgentId, str]) -> Hopeless | None:
    wait = waiter.wait
    names = tuple(dict.fromkeys(wait.unblocked_by))
    left = tuple(agent for agent in names if agent not in gone)
    if len(left) >= wait.needed or len(left) == len(names):
        return None
    lost = tuple(agent for agent in names if agent in gone)
    reasons = [f"{agent} is gone: {gone[agent]}" for agent in lost[:NAMED_MAX]]
    if len(lost) > NAMED_MAX:
        reasons.append(f"and {len(lost) - NAMED_MAX} more are gone")
    short = f"; {wait.needed} are needed and {len(left)} left" if wait.needed > 1 else ""
    return Hopeless(waiter, left, lost, f"{waiter.agent} waits for {wait.waiting_for}; {'; '.join(reasons)}{short}")
