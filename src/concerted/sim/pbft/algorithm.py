"""PBFT, as everything that plays replicated logs asks for a protocol."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Message, NewView, ViewChange
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import STORAGE, Stored
from concerted.consensus.quorum import NodeId
from concerted.sim.cluster.algorithm import Algorithm, Spare
from concerted.sim.cluster.checks import Checks
from concerted.sim.cluster.replica import Beginning, Replica
from concerted.sim.pbft.replica import beginning_in
from concerted.sim.pbft.walk import draw_settings

__all__ = ["pbft"]


def pbft(
    group: Callable[[], Group],
    checks: Callable[[Mapping[NodeId, Replica[Pbft]]], Checks[Pbft]],
    gone: Callable[[], AbstractSet[NodeId]],
    *,
    settings: Callable[[random.Random], Settings] = draw_settings,
    state: Callable[[Pbft], str] = lambda core: f"view {core.term}",
) -> Algorithm[Pbft]:
    """Return the protocol as one group plays it.  gone: who lies, or has lost its disk; with the dead at most f."""

    def begin(beginning: Beginning) -> Pbft:
        return beginning_in(group())(beginning)

    def can_spare(dead: AbstractSet[NodeId]) -> bool:
        return len(gone() | dead) <= group().faulty

    def spare(_: object) -> Spare:
        return can_spare

    return Algorithm(
        name="pbft",
        storage=STORAGE,
        message=Message,
        election=(ViewChange, NewView),
        first=lambda _: Stored(),
        start=begin,
        checks=checks,
        walk_settings=settings,
        world_settings=settings,
        plain_settings=Settings,
        state=state,
        leads=lambda core: core.leader == core.id,
        compacted=lambda core: core.replica.stable,
        spare=spare,
    )
