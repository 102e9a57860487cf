"""A host of a group of replicas is replaced by another: the part of `replica_group` that is about that.

    Replace --> replacing --Joining: it has an address--> joining --Replaced: it is a member, the old one is not--> done
                    |--Unable: the agent refuses--> refused, until another agent is named
    another Replace of the same host while it lasts: the agent that was named before is given up

The new replica has an id of its own, which nobody ever had: what its predecessor has promised it has not.  It is sent
the log first and votes when it has caught up; then one change of members, by joint consensus, takes it in and leaves
the old one out.  Nothing here says how far that is: whoever tends the group asks the group.

Source: Ongaro & Ousterhout 2014, section 6; Ongaro's thesis 2014, sections 4.2.1 and 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.consensus.keeping import Replicated
from concerted.errors import Conflict, Invalid, NotFound
from concerted.machine import Event
from concerted.values import AgentId, is_name

if TYPE_CHECKING:
    from concerted.consensus.replica_group import ReplicaGroup

__all__ = [
    "KINDS", "Joining", "Replace", "Replaced", "Replacing", "Unable", "begin", "evolve", "joining", "replaced",
    "unable",
]  # fmt: skip

KINDS: Mapping[str, str] = {
    "replica_group.replacing": (
        "The agent is to host a new replica, in the place of another's, for good: old, old_node, node, participants."
    ),
    "replica_group.joining": "The agent's new replica has an address, and begins to catch up: node, group.",
    "replica_group.replacement_refused": "The agent cannot host a replica; another one must be named: node, reason.",
    "replica_group.host_replaced": (
        "The agent's replica is a member now, and the other one is not any more: old, old_node, node, group."
    ),
}


class Replacing(msgspec.Struct, frozen=True):
    """A replacement under way.

    old, new: the agents, which may be one that has lost its files; old_node, node: their replicas.  is_joining: whether
    the description has the new one already.  refusal: why the new agent cannot; another one must be named.
    """

    old: AgentId
    new: AgentId
    old_node: int
    node: int
    is_joining: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """Have a new host take the place of one that is gone for good."""

    by: AgentId
    old: AgentId
    new: AgentId
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Joining:
    """Take note that the new replica has an address.  group: the description with it."""

    node: int
    group: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unable:
    """Take note that the new host refuses."""

    node: int
    reason: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Take note that the group has changed its members.  group: the description from now on."""

    node: int
    group: dict[str, Any]


def begin(
    group: str, algorithm: Replicated, request: Replace, *, hosts: Mapping[int, AgentId], last_node: int,
    now: Replacing | None,
) -> tuple[Event, ...]:  # fmt: skip
    """Return what a request to replace a host comes to; the same one again comes to nothing.

    hosts: who hosts which replica.  last_node: the highest id that was ever given.  now: the replacement under way.

    Raises:
        Invalid: the protocol cannot do it, or the new agent hosts a replica already.
        NotFound: the old one hosts none.  Conflict: another host is being replaced.
    """
    old, new = request.old, request.new
    if algorithm != "raft":
        raise Invalid(
            f"group {group} keeps its log by {algorithm}, whose replicas are those that it was made with; make another "
            "group for what is decided next"
        )
    if now is not None and old != now.old:
        raise Conflict(f"{now.new} is taking the place of {now.old} in group {group}; wait for that, then ask again")
    if now is not None and new == now.new and not now.refusal:
        return ()
    node = next((node for node, host in sorted(hosts.items()) if host == old), None)
    if node is None:
        raise NotFound(f"{old} hosts no replica of group {group}; {', '.join(hosts.values())} do")
    if new != old and new in hosts.values():
        raise Invalid(f"{new} hosts a replica of group {group} already; two beside one agent would be lost together")
    if not is_name(new):
        raise Invalid(f"{new!r} cannot name an agent")
    data = {"old": old, "old_node": node, "node": last_node + 1, "participants": [new]}
    return (Event("replica_group.replacing", new, None, data),)


def joining(now: Replacing | None, request: Joining) -> tuple[Event, ...]:
    """Return what it comes to that the new replica has an address."""
    if now is None or now.node != request.node or now.is_joining:
        return ()
    return (Event("replica_group.joining", now.new, None, {"node": now.node, "group": request.group}),)


def unable(now: Replacing | None, request: Unable) -> tuple[Event, ...]:
    """Return what it comes to that the new host refuses."""
    if now is None or now.node != request.node or now.is_joining or now.refusal:
        return ()
    data = {"node": now.node, "reason": request.reason}
    return (Event("replica_group.replacement_refused", now.new, None, data),)


def replaced(now: Replacing | None, request: Replaced) -> tuple[Event, ...]:
    """Return what it comes to that the group has changed its members."""
    if now is None or now.node != request.node:
        return ()
    data = {"old": now.old, "old_node": now.old_node, "node": now.node, "group": request.group}
    return (Event("replica_group.host_replaced", now.new, None, data),)


def evolve(state: ReplicaGroup, event: Event) -> ReplicaGroup:
    """Return the group after one of these events."""
    data, agent, now = event.data, event.agent or AgentId(""), state.replacement
    if event.kind == "replica_group.replacing":
        retired = state.retired if now is None else state.retired.set(now.node, now.new)
        begun = Replacing(data["old"], agent, data["old_node"], data["node"])
        return replace(state, replacement=begun, retired=retired, last_node=data["node"])
    assert now is not None, event
    if event.kind == "replica_group.joining":
        return replace(state, replacement=msgspec.structs.replace(now, is_joining=True), group=data["group"])
    if event.kind == "replica_group.replacement_refused":
        return replace(state, replacement=msgspec.structs.replace(now, refusal=data["reason"]))
    assert event.kind == "replica_group.host_replaced", event.kind
    return replace(
        state,
        group=data["group"],
        nodes=state.nodes.without(now.old_node).set(now.node, agent),
        replacement=None,
        replaced=(now.old, agent),
        retired=state.retired.set(now.old_node, now.old),
        lost=state.lost.without(now.old),
        leader=None if state.leader == now.old_node else state.leader,
    )
