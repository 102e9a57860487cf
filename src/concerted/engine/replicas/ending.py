"""A group of replicas that ends while something that it keeps is open: refused, and told of what was left so by force.

The outcome of what a group keeps is that of the group's log alone.  So nothing of it can be decided here once the group
is over, not even that it has lapsed: it stays as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from concerted.consensus import replica_group
from concerted.consensus.replica_group import ReplicaGroup
from concerted.engine.replicas.groups import KIND, LOOK_S, Groups
from concerted.errors import ConcertedError, TimedOut, WrongPhase
from concerted.ports.primitive import Caller
from concerted.ports.replica_groups import EndReplicaGroup

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator
    from concerted.engine.replicas.tended import Tended

__all__ = ["KEEPER", "require_nothing_open"]

KEEPER = "keeper"
NAMED = 10  # of what is open


async def require_nothing_open(
    coordinator: Coordinator, groups: Groups, command: EndReplicaGroup, caller: Caller
) -> None:  # fmt: skip
    """Make sure that a group which is to end keeps nothing that is not over, unless that is forced.

    Raises:
        WrongPhase: it does.  NotAllowed: the caller may not end it.
    """
    state: ReplicaGroup | None = (await coordinator.primitives.host.reach(KIND, command.id)).state
    if state is None or state.status != "ready" or command.force:
        return
    replica_group.decide(state, command.request(caller), caller.now)
    tended = None
    with contextlib.suppress(ConcertedError):  # it does not answer: what was copied counts
        tended = await groups.ready(command.id)
    found = await _still_open(coordinator, state, tended)
    if found:
        raise WrongPhase(
            f"group {command.id} keeps {_named(found)}, which nobody could decide or append to any more; wait until "
            "that is over (a log never is), withdraw decisions, or end the group by force",
            open=found[:NAMED],
        )


def _named(streams: Sequence[str]) -> str:
    """Name what is open as people call it; of more than NAMED it is said that there are more."""
    words = [stream.replace("decision_log:", "log:").replace(":", " ", 1) for stream in streams[:NAMED]]
    return ", ".join(words) + (" and more" if len(streams) > NAMED else "")


async def _still_open(coordinator: Coordinator, state: ReplicaGroup, tended: Tended | None) -> list[str]:
    """Return what a group keeps and is not over, by its own word if it answers; at most one more than is named."""
    found: list[str] = []
    for stream, _ in sorted(state.objects.unordered()):
        kind, _, id = stream.partition(":")
        held = await coordinator.primitives.host.reach(kind, id)
        if tended is not None and not getattr(held.state, "is_over", False):
            try:
                await tended.copy(stream, timeout_s=LOOK_S)
            except TimedOut:
                tended = None  # nor will it answer about the others
            held = await coordinator.primitives.host.reach(kind, id)
        if held.state is not None and not getattr(held.state, "is_over", False):
            found.append(stream)
        if len(found) > NAMED:
            break
    return found
