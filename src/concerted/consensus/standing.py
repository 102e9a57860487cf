"""How the replicas of a group stand, as its coordinator sees it: the part of `replica_group` that is about that.

whole --some do not answer, or do not follow who leads the rest--> divided --they are back--> whole
While it is divided and too few are left, nothing can be decided: it is stalled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.machine import Event
from concerted.values import AgentId, Instant

__all__ = ["KINDS", "WHOLE", "Stand", "Standing", "evolve", "picture_of", "stand"]

KINDS: Mapping[str, str] = {
    "replica_group.divided": (
        "Replicas do not answer, or do not follow who leads the rest: silent, apart (their agents), decides"
        " (whether enough are left)."
    ),
    "replica_group.whole": "All of its replicas answer, and follow one that leads, again.",
}


@dataclass(frozen=True, slots=True)
class Stand:
    """Take note of how the replicas stand.

    silent: the agents whose replicas do not answer.  apart: those whose replicas do, and do not follow who leads most
    of them; where nobody leads, all of these.  decides: whether enough follow one leader.
    """

    silent: tuple[AgentId, ...]
    apart: tuple[AgentId, ...]
    decides: bool


class Standing(msgspec.Struct, frozen=True):
    """What was noted last.  stalled_at: since when too few are left; None: enough are."""

    silent: tuple[AgentId, ...] = ()
    apart: tuple[AgentId, ...] = ()
    stalled_at: Instant | None = None

    def differs(self, request: Stand) -> bool:
        """Say whether there is something new to be noted."""
        return (self.silent, self.apart, self.stalled_at is None) != (request.silent, request.apart, request.decides)


WHOLE = Standing()


def picture_of(leaders: Mapping[AgentId, tuple[NodeId | None, int] | None], quorum: int) -> Stand:
    """Return how replicas stand.  leaders: host -> whom its replica follows in which term; None: no answer.

    It is for the many to say who leads: one that lies, or leads a term that is over, does not change it.
    """
    silent = tuple(sorted(agent for agent, said in leaders.items() if said is None))
    votes = Counter(said for said in leaders.values() if said is not None and said[0] is not None)
    led = max(votes, key=lambda said: (votes[said], said[1]), default=None)
    apart = tuple(sorted(agent for agent, said in leaders.items() if said is not None and said != led))
    return Stand(silent, apart, decides=len(leaders) - len(silent) - len(apart) >= quorum)


def stand(state: Standing, request: Stand) -> tuple[Event, ...]:
    """Return what is to be noted: nothing, if it is known."""
    if not state.differs(request):
        return ()
    if request.decides and not request.silent and not request.apart:
        return (Event("replica_group.whole"),)
    data = {"silent": list(request.silent), "apart": list(request.apart), "decides": request.decides}
    return (Event("replica_group.divided", None, None, data),)


def evolve(state: Standing, event: Event, at: Instant) -> Standing:
    """Return how the replicas stand after an event that happened at `at`."""
    if event.kind == "replica_group.whole":
        return WHOLE
    data = event.data
    stalled_at = None if data["decides"] else at if state.stalled_at is None else state.stalled_at
    return Standing(tuple(data["silent"]), tuple(data["apart"]), stalled_at)
