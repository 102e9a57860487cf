"""What a protocol brings to the simulator: how its replicas begin, what must be true of them, what else they may do.

Everything else (disks, deaths, clients, networks, walks, worlds) is the same for all that keep a replicated log.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.storage import Storage
from concerted.sim.cluster.checks import Checks
from concerted.sim.cluster.replica import Beginning, Replica

__all__ = ["ELECTION_TIMEOUT_S", "HEAL_TIMEOUTS", "PIECE_BYTES", "Act", "Algorithm", "Spare", "Stage"]

ELECTION_TIMEOUT_S = 10.0  # of all settings that are drawn
PIECE_BYTES = 32  # of a snapshot in one message, in all of them: a few pieces each
HEAL_TIMEOUTS = 30.0  # election timeouts within which a healed cluster must answer

C = TypeVar("C", bound=ReplicatedLog[Any, Any])

Spare = Callable[[AbstractSet[NodeId]], bool]


class Stage(Protocol[C]):
    """A walk or a world, as an act sees it."""

    rng: random.Random
    replicas: dict[NodeId, Replica[C]]
    checks: Checks[C]

    def leader(self) -> Replica[C] | None:
        """Find a replica that lives and leads."""

    def join(self, node: NodeId) -> None:
        """Start another replica, which knows of no members yet."""

    def give(self, replica: Replica[C], act: Callable[[C], Ready[Any, Any]]) -> Ready[Any, Any]:
        """Give a core an input."""

    def note(self, what: Callable[[], str]) -> None:
        """Add a line to the transcript, if anybody wants one."""


@dataclass(frozen=True, slots=True)
class Act(Generic[C]):
    """Something that only this protocol can do.

    weights: one of them is drawn for each while of a walk.  counts: one of them is drawn for each world.
    """

    do: Callable[[Stage[C]], None]
    weights: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Algorithm(Generic[C]):
    """One protocol.

    storage: how its replicas are kept.  message: the type of all that they say to each other.  election: the types of
    what is said to find a leader.  first: what the disk of a member of this configuration holds at first.  start: make
    a core.  checks: its invariants, over these replicas.  walk_settings, world_settings: draw settings.  leads: whether
    a core takes itself for the leader.  compacted: up to which index a core's log is a snapshot.  spare: given cores,
    return a function that says whether these can be dead and the rest still goes on.  without: kinds of faults that it
    does not promise to survive.  drift: how far clocks may run apart, as a share, under these settings; None: without
    bound, and they may jump.  members: the newest that a core knows of; when all is healed, those who live catch up.
    heal: what else to ask for then.  done: whether that has come.
    plain_settings: what they are where nothing is drawn.  state: what a core is now, in words.  steps: what only this
    protocol has in a scenario.
    """

    name: str
    storage: Storage[Any, Any]
    message: Any
    election: tuple[type, ...]
    first: Callable[[Configuration], Any]
    start: Callable[[Beginning], C]
    checks: Callable[[Mapping[NodeId, Replica[C]]], Checks[C]]
    walk_settings: Callable[[random.Random], Any]
    world_settings: Callable[[random.Random], Any]
    plain_settings: Callable[[], Any]
    state: Callable[[C], str]
    leads: Callable[[C], bool]
    compacted: Callable[[C], int]
    spare: Callable[[Sequence[C]], Spare]
    acts: tuple[Act[C], ...] = ()
    without: tuple[str, ...] = ()
    drift: Callable[[Any], float | None] = lambda _settings: None
    members: Callable[[C], Sequence[NodeId]] = lambda _core: ()
    heal: Callable[[Stage[C]], None] = lambda _stage: None
    done: Callable[[Stage[C]], bool] = lambda _stage: True
    steps: Mapping[str, Callable[[Any, list[str]], None]] = field(default_factory=dict)
