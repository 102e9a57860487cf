"""How a coordinator has a host of a group replaced: one step at a time, each told by how the group stands.

    no address yet --the new host is asked for one--> joining --the leader takes it in as a learner--> it catches up
        --the leader changes the members, by joint consensus--> a replica knows that to be committed --noted--> done

A coordinator that is killed between two steps, or a second one on the same database, looks how the group stands and
goes on from there: each step may be done twice.  What the coordinator goes by is what is committed, and no replica
forgets that.

Source: Ongaro & Ousterhout 2014, section 6; Ongaro's thesis 2014, section 4.2.1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.consensus.replacing import Joining, Replaced, Replacing, Unable
from concerted.errors import ConcertedError
from concerted.messages import PrepareReplica
from concerted.replicas.status import Status

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator
    from concerted.engine.replicas.tended import Tended

__all__ = ["replace_host"]

PREPARE_S = 10.0  # how long an agent may take to say where its replica would listen
CHANGE_S = 5.0  # how long the group may take to begin a change of its members, before we look again


async def replace_host(tended: Tended, coordinator: Coordinator, now: Replacing, stand: Sequence[Status]) -> None:
    """Do the next step of a replacement.  stand: how each replica that answers stands."""
    with contextlib.suppress(ConcertedError):  # it has ended, or changed meanwhile: we look again
        if not now.is_joining:
            await _prepare(tended, coordinator, now)
            return
        done = next((each for each in stand if each.is_settled and now.node in each.voters), None)
        if done is not None:
            group = tended.group.with_members(done.voters)
            await _note(tended, coordinator, Replaced(now.node, msgspec.to_builtins(group, str_keys=True)))
            tended.look_soon()
            await tended.dismiss(tended.id)
            return
        leader = max((each for each in stand if each.leader == each.node), key=lambda each: each.term, default=None)
        if leader is None or not leader.is_settled:
            return
        if now.node not in leader.learners:
            await tended.client.change_members(leader.voters, (now.node,), timeout_s=CHANGE_S)
        else:
            await tended.client.change_members(_wanted(tended, now, leader), (), timeout_s=CHANGE_S)
        tended.look_soon()


async def _prepare(tended: Tended, coordinator: Coordinator, now: Replacing) -> None:
    """Have the new host say where its replica would listen."""
    request = PrepareReplica(group=tended.group.id, node=now.node, folder=tended.folder)
    reply = await coordinator.asker.ask(now.new, request, deadline=PREPARE_S)
    if reply.status in ("refused", "failed"):
        reason = f"{now.new} cannot host a replica: {reply.error}; name another agent"
        await _note(tended, coordinator, Unable(now.node, reason))
    elif reply.ok:
        group = tended.group.with_joining(now.node, str(reply.value["address"]), now.new)
        await _note(tended, coordinator, Joining(now.node, msgspec.to_builtins(group, str_keys=True)))
        tended.look_soon()


def _wanted(tended: Tended, now: Replacing, leader: Status) -> list[int]:
    """Return who are to be the members: as many as ever, the new replica for the old one.

    An agent that was named before, and then given up, may have become a member; then it is in the place of the old one.
    """
    given_up = {now.old_node, *tended.group.joining} - {now.node}
    return sorted(({*leader.voters} - given_up) | {now.node})


async def _note(tended: Tended, coordinator: Coordinator, request: Any) -> None:
    await coordinator.primitives.host.decide("replica_group", tended.id, request)
