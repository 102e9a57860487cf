"""Where a group stands: its members, who of them is a suspect, and the newest changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from concerted.board.queue import EMPTY, Queue
from concerted.machine import Event
from concerted.persistent import Map
from concerted.values import AgentId, Instant

__all__ = ["CHANGES_KEPT", "Change", "Group", "Member", "What", "evolve"]

CHANGES_KEPT = 64  # changes that a watch can be told one by one

What: TypeAlias = Literal["joined", "left", "changed", "suspected", "recovered", "lost"]


@dataclass(frozen=True, slots=True)
class Member:
    """A member.  expires_at: as logged; the store may know of renewals.  suspect: why it is one; "" if not."""

    value: Any
    since: Instant
    ttl_s: float | None = None
    expires_at: Instant | None = None
    suspect: str = ""
    remove_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What made a version."""

    version: int
    agent: AgentId
    what: What


@dataclass(frozen=True, slots=True)
class Group:
    """Where a group stands.

    suspects, leased: how many members are suspects, how many have a time to live.  timers: when suspects are
    removed.  due_at: before it no lease ends, as far as was known when it was set.  moved: something has happened
    since then.  changes: the newest last.
    """

    name: str
    creator: AgentId
    created_at: Instant
    grace_s: float | None
    version: int = 0
    members: Map[str, Member] = field(default_factory=Map)
    suspects: int = 0
    leased: int = 0
    timers: Queue = EMPTY
    due_at: Instant | None = None
    moved: bool = False
    changed_at: Instant | None = None
    changes: tuple[Change, ...] = ()

    @property
    def present(self) -> int:
        """How many members are no suspects."""
        return len(self.members) - self.suspects


def evolve(state: Group | None, event: Event, at: Instant) -> Group:
    """Return the state after an event of this group, which happened at `at`."""
    data, agent = event.data, event.agent or AgentId("")
    if event.kind == "membership.created":
        return Group(data["name"], agent, at, data["grace_s"])
    assert state is not None, f"{event.kind} in a group that was never created"
    old = state.members.get(agent)
    match event.kind:
        case "membership.checked":
            return replace(state, due_at=data["next_at"], moved=False)
        case "membership.joined":
            new: Member | None = Member(data["value"], at, data["ttl_s"], data["expires_at"])
        case "membership.changed" if old is not None:
            new = replace(old, **{name: data[name] for name in ("value", "ttl_s", "expires_at") if name in data})
        case "membership.suspected" if old is not None:
            new = replace(old, suspect=data["reason"], remove_at=data["remove_at"])
        case "membership.recovered" if old is not None:
            new = replace(old, suspect="", remove_at=None)
        case "membership.left" | "membership.lost":
            new = None
        case _:
            return state
    what: What = event.kind[len("membership.") :]  # type: ignore[assignment]
    changes = (*state.changes, Change(data["version"], agent, what))[-CHANGES_KEPT:]
    state = replace(state, version=data["version"], changed_at=at, changes=changes)
    return _with_member(state, agent, old, new)


def _with_member(state: Group, agent: AgentId, old: Member | None, new: Member | None) -> Group:
    """Return the state in which a member stands otherwise; None: it is outside."""
    timers = state.timers
    if old is not None and old.remove_at is not None:
        timers = timers.without((old.remove_at, 0, agent))
    if new is not None and new.remove_at is not None:
        timers = timers.put((new.remove_at, 0, agent))
    leased = state.leased + _is_leased(new) - _is_leased(old)
    due_at = state.due_at if leased else None
    if new is not None and new.expires_at is not None and (old is None or new.expires_at != old.expires_at):
        due_at = new.expires_at if due_at is None else min(due_at, new.expires_at)
    return replace(
        state,
        members=state.members.without(agent) if new is None else state.members.set(agent, new),
        suspects=state.suspects + _is_suspect(new) - _is_suspect(old),
        leased=leased,
        timers=timers,
        due_at=due_at,
        moved=True,
    )


def _is_leased(member: Member | None) -> bool:
    return member is not None and member.expires_at is not None


def _is_suspect(member: Member | None) -> bool:
    return member is not None and member.suspect != ""
