"""A group by name: who is in it, with which value, seen by all in the same order of versions.

    (outside) --Join--> present --Leave | its lease ends--> outside
              present --Lost--> suspect --Found | Join--> present
                                suspect --grace_s passed | Leave | its lease ends--> outside

A member with a time to live stays as long as it renews; renewals are no events (`holding`), so only `Expire` ends
such a membership.  A member without one stays until it leaves or is lost.  What a member that is lost comes to is
the group's to say: it goes at once (grace_s 0), after grace_s, or not for that reason (None).

Every change raises the version by one.  Whoever watches names the version that it knows, and gets the changes after
it; all members, if these are no longer kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from concerted.board.holding import TTL_MAX_S, TTL_MIN_S, WAKE_AGAIN_S, Course, Expire, Renew, due
from concerted.board.memberships.state import Change, Group, Member, evolve
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded
from concerted.machine import Event, Found, Look, Lost, Result, Step, Wait, Wake
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "GRACE_S", "KINDS", "MEMBERS_MAX", "VALUE_BYTES", "AwaitSize", "Create", "Expire", "Group", "GroupResult", "Join",
    "Leave", "MemberView", "Renew", "Request", "State", "Update", "Watch", "answer", "begins", "check_renewal",
    "decide", "ends", "evolve", "holds", "topic", "waits", "wakes",
]  # fmt: skip

MEMBERS_MAX = 10_000  # members of one group
VALUE_BYTES = 4 << 10  # the longest value of a member, as JSON
GRACE_S = 10.0  # how long a lost member stays in a group that does not say
GRACE_MAX_S = 7 * 86_400.0

NOTHING = "there is no such group; create it, or join it together with its name"

KINDS: Mapping[str, str] = {
    "membership.created": "There is a group: name, status, grace_s (null: who is lost stays).",
    "membership.joined": "The agent is a member: value, ttl_s, expires_at, version, arrived (members now),"
    " participants.",
    "membership.left": "The agent is no member any more, by its own will or by somebody's: version, arrived, by.",
    "membership.changed": "The member has another value: value, version; and another time to live: ttl_s, expires_at.",
    "membership.suspected": "The member is lost and a suspect: version, reason, remove_at.",
    "membership.recovered": "The member that was a suspect is back: version.",
    "membership.lost": "The agent is no member any more, since it is gone or its lease has ended: version, arrived,"
    " how (gone | expired), reason, deadline_at.",
    "membership.checked": "By the renewals known now no membership ends before this instant: next_at.",
}

State = Group


@dataclass(frozen=True, slots=True)
class Create:
    """Make a group.  grace_s: how long a member that is lost stays as a suspect; None: until its lease ends."""

    name: str
    by: AgentId
    grace_s: float | None = GRACE_S


@dataclass(frozen=True, slots=True)
class Join:
    """Be a member; one that is may set its value and time to live anew.  name: make the group if there is none."""

    agent: AgentId
    value: Any = None
    ttl_s: float | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    """Be a member no more.  by: who takes it out, if not itself: the creator, or an admin."""

    agent: AgentId
    by: AgentId | None = None
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Set a member's value."""

    agent: AgentId
    value: Any


@dataclass(frozen=True, slots=True)
class Watch:
    """Wait until the version is higher than this."""

    version: int = 0


@dataclass(frozen=True, slots=True)
class AwaitSize:
    """Wait until so many members are present; suspects do not count."""

    count: int


Request: TypeAlias = (
    Create | Join | Leave | Update | Watch | AwaitSize | Renew | Expire | Wake | Look | Lost | Found
)  # fmt: skip


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """One member as others see it."""

    agent: AgentId
    value: Any = None
    status: Literal["present", "suspect"] = "present"
    reason: str = ""
    since: Instant


class GroupResult(Result, frozen=True, kw_only=True):
    """What a caller is told.

    is_member: whether the caller is one now.  size: all members; present: those who are no suspects.  members: by
    name; None where they are not asked for.  changes: to a watch, all after the version that it knows; None if they
    are no longer kept, and then `members` has all.
    """

    name: str
    success: bool = True
    version: int
    size: int
    present: int
    is_member: bool = False
    ttl_s: float | None = None
    members: tuple[MemberView, ...] | None = None
    changes: tuple[Change, ...] | None = None
    reason: str = ""


def decide(state: Group | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to; suspects whose grace is over by `now` have gone before it.

    Raises:
        NotFound: there is no such group, or the agent is no member.  Conflict: it was created otherwise.
        NotAllowed: somebody is taken out by who may not.  LeaseLost: the membership to be renewed is over.
        Invalid: malformed or out of bounds.  Overloaded: the group is full.
    """
    created: tuple[Event, ...] = ()
    if state is None:
        if isinstance(request, Wake | Expire | Lost | Found):
            return Step()
        created = (_creation(request),)
        state = evolve(None, created[0], now)
    course = Course(evolve, state, now)
    _let_pass(course, now)
    next_at = _act(course, request, now)
    state = course.state
    if not isinstance(request, Expire):
        next_at = state.due_at
        if isinstance(request, Wake) and next_at is not None and next_at <= now:
            next_at = now + WAKE_AGAIN_S  # only an `Expire` can tell
    timer = state.timers.first
    wake_at = min((at for at in (next_at, timer and timer[0]) if at is not None), default=None)
    return Step((*created, *course.events), (), wake_at)


def answer(state: Group, request: Request, now: Instant) -> GroupResult:  # noqa: ARG001
    """Return what the caller is told; who watches, or waits for a size, waits until it has come."""
    match request:
        case Join(agent=agent) | Leave(agent=agent) | Update(agent=agent) | Renew(holder=agent):
            member = state.members.get(agent)
            return _shown(state, is_member=member is not None, ttl_s=None if member is None else member.ttl_s)
        case Watch(version):
            if state.version <= version:
                return _shown(state, pending=True)
            if 0 < version >= state.version - len(state.changes):
                return _shown(state, changes=tuple(change for change in state.changes if change.version > version))
            return _shown(state, members=_all(state))
        case AwaitSize(count):
            missing = count - state.present
            return _shown(state, pending=missing > 0, reason=f"{missing} more must join" if missing > 0 else "")
        case _:
            return _shown(state, members=_all(state))


def topic(request: Request) -> str:
    """Name what a caller waits for: a size, or any change."""
    return "size" if isinstance(request, AwaitSize) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name whom an event concerns: all who watch, and those who wait for a size if there is one more."""
    if event.kind in ("membership.joined", "membership.recovered"):
        return ("", "size")
    return ("",) if "version" in event.data else ()


def waits(state: Group, request: Request, now: Instant) -> Wait | None:
    """Return for what a watcher waits, or who waits for a size.  It is nobody's turn: anybody may join."""
    if not answer(state, request, now).pending:
        return None
    since = state.created_at if state.changed_at is None else state.changed_at
    if isinstance(request, AwaitSize):
        what = f"{request.count - state.present} more members of {state.name}; {state.present} are present"
        return Wait(f"{what}, {state.suspects} suspect" if state.suspects else what, since)
    return Wait(f"a change of {state.name} after version {state.version}", since)


def begins(event: Event) -> Iterable[tuple[str, Instant]]:
    """Name the member that stays until then from this event on, unless it renews."""
    if event.agent is not None and event.data.get("ttl_s") is not None:
        return ((event.agent, event.data["expires_at"]),)
    return ()


def ends(event: Event) -> Iterable[tuple[str, bool]]:
    """Name the member whose lease counts no more from this event on, and whether that is because time is over."""
    if event.agent is None:
        return ()
    if event.kind in ("membership.left", "membership.lost"):
        return ((event.agent, event.data.get("how") == "expired"),)
    is_unbound = event.kind == "membership.changed" and event.data.get("ttl_s", 0.0) is None
    return ((event.agent, False),) if is_unbound else ()


def holds(state: Group | None, now: Instant) -> tuple[tuple[str, Instant], ...]:
    """Return who is held, and until when if all their time begins now: for a store that has forgotten the renewals."""
    members = () if state is None else state.members.items()
    return tuple(
        (agent, max(member.expires_at, now + member.ttl_s))
        for agent, member in members
        if member.ttl_s is not None and member.expires_at is not None
    )


def check_renewal(
    state: Group | None, holder: AgentId, token: str, now: Instant, until: Instant | None = None
) -> Member:
    """Return the membership that this agent may renew; its token is the agent's name.

    until: what the store says; given, a membership whose time is over is refused also before its `Expire`.

    Raises:
        LeaseLost: it is over, or has no time to live.  NotFound: there is no such group.
    """
    group = _existing(state)
    member = group.members.get(holder)
    if member is None or member.expires_at is None or token not in ("", holder):
        raise LeaseLost(f"{holder} is no member of {group.name} that renews; join it with a time to live", token=token)
    if until is not None and max(until, member.expires_at) <= now:
        raise LeaseLost(f"time is over for {holder} in {group.name}; join anew", token=token)
    return member


# what is asked


def _creation(request: Request) -> Event:
    """Return the event that makes a group; a member makes what it names."""
    match request:
        case Create(name, by, grace_s):
            pass
        case Join(agent=by, name=name) if name:
            grace_s = GRACE_S
        case _:
            raise NotFound(NOTHING)
    if not is_name(name):
        raise Invalid(f"{name[:100]!r} cannot name a group: 1..200 printable bytes, no outer spaces")
    if grace_s is not None and not 0 <= grace_s <= GRACE_MAX_S:
        raise Invalid(f"{name}: grace_s is {grace_s}; it must be 0 to {GRACE_MAX_S:.0f} seconds, or none")
    return Event("membership.created", by, None, {"name": name, "status": "active", "grace_s": grace_s})


def _act(course: Course[Group], request: Request, now: Instant) -> Instant | None:
    """Let the request have its effect; of an `Expire`, return when the next lease ends."""
    match request:
        case Create(grace_s=grace_s):
            if grace_s != course.state.grace_s:
                what = f"{course.state.name} was created by {course.state.creator} with another grace_s"
                raise Conflict(f"{what}; look at it, or choose another name", name=course.state.name)
        case Join():
            _join(course, request, now)
        case Leave():
            _leave(course, request)
        case Update(agent, value):
            member = course.state.members.get(agent)
            if member is None:
                raise NotFound(f"{agent} is no member of {course.state.name}; join it first")
            _change(course, agent, _plain(value, agent), member.ttl_s, now)
        case AwaitSize(count):
            if not 1 <= count <= MEMBERS_MAX:
                raise Invalid(f"{count} members cannot be waited for; 1 to {MEMBERS_MAX} can")
        case Renew(holder, token):
            check_renewal(course.state, holder, token, now)
        case Expire(held):
            return _expire(course, held, now)
        case Lost(agent, reason):
            _suspect(course, agent, reason, now)
        case Found(agent):
            _recover(course, agent)
    return None


def _join(course: Course[Group], request: Join, now: Instant) -> None:
    agent, ttl_s, state = request.agent, request.ttl_s, course.state
    if not is_name(agent):
        raise Invalid(f"{agent[:100]!r} cannot name a member: 1..200 printable bytes, no outer spaces")
    if ttl_s is not None and not TTL_MIN_S <= ttl_s <= TTL_MAX_S:
        raise Invalid(f"ttl_s is {ttl_s}; it must be {TTL_MIN_S} to {TTL_MAX_S:.0f} seconds, or none")
    value = _plain(request.value, agent)
    if agent in state.members:
        _recover(course, agent)
        _change(course, agent, value, ttl_s, now)
        return
    if len(state.members) >= MEMBERS_MAX:
        raise Overloaded(f"{state.name} has {MEMBERS_MAX:,} members, the most it may; make another", bound=MEMBERS_MAX)
    data = {
        "value": value,
        "ttl_s": ttl_s,
        "expires_at": None if ttl_s is None else now + ttl_s,
        "arrived": len(state.members) + 1,
        "participants": [agent],
    }
    _add(course, "membership.joined", agent, data)


def _change(course: Course[Group], agent: AgentId, value: Any, ttl_s: float | None, now: Instant) -> None:
    member = course.state.members[agent]
    data: dict[str, Any] = {"value": value}
    if member.ttl_s != ttl_s:
        data |= {"ttl_s": ttl_s, "expires_at": None if ttl_s is None else now + ttl_s}
    elif encode(member.value) == encode(value):
        return
    _add(course, "membership.changed", agent, data)


def _leave(course: Course[Group], request: Leave) -> None:
    agent, state = request.agent, course.state
    by = agent if request.by is None else request.by
    if by not in (agent, state.creator) and not request.is_admin:
        whose = f"{by} may not take {agent} out of {state.name}"
        raise NotAllowed(f"{whose}; {agent} can leave, and its creator {state.creator} can take it out")
    if agent in state.members:
        _add(course, "membership.left", agent, {"by": by, "arrived": len(state.members) - 1})


# what happens by itself


def _let_pass(course: Course[Group], now: Instant) -> None:
    """Let go the suspects whose grace is over."""
    while (first := course.state.timers.first) is not None and first[0] <= now:
        agent = AgentId(first[2])
        _remove(course, agent, "gone", course.state.members[agent].suspect, first[0])


def _expire(course: Course[Group], held: Mapping[str, Instant], now: Instant) -> Instant | None:
    """Let go those whose lease has ended by the renewals that the store knows; return when the next one ends."""
    members = course.state.members.unordered() if course.state.leased else ()
    logged = ((agent, one.expires_at) for agent, one in members if one.expires_at is not None)
    over, rest = due(logged, held, now)
    for until, agent in over:
        _remove(course, AgentId(agent), "expired", "its lease has ended", until)
    state = course.state
    if rest is not None and state.due_at is not None and state.due_at <= now and state.moved:
        course.events.append(Event("membership.checked", None, None, {"next_at": rest}))
    return rest


def _suspect(course: Course[Group], agent: AgentId, reason: str, now: Instant) -> None:
    member, grace_s = course.state.members.get(agent), course.state.grace_s
    if member is None or member.suspect:
        return
    why = reason or "it is gone"
    if grace_s == 0:
        _remove(course, agent, "gone", why, now)
        return
    remove_at = None if grace_s is None else now + grace_s
    _add(course, "membership.suspected", agent, {"reason": why, "remove_at": remove_at})


def _recover(course: Course[Group], agent: AgentId) -> None:
    member = course.state.members.get(agent)
    if member is not None and member.suspect:
        _add(course, "membership.recovered", agent, {})


def _remove(course: Course[Group], agent: AgentId, how: str, reason: str, deadline_at: Instant) -> None:
    data = {"how": how, "reason": reason, "deadline_at": deadline_at, "arrived": len(course.state.members) - 1}
    _add(course, "membership.lost", agent, data)


def _add(course: Course[Group], kind: str, agent: AgentId, data: dict[str, Any]) -> None:
    course.events.append(Event(kind, agent, None, {**data, "version": course.state.version + 1}))


# what is shown, and what is refused


def _existing(state: Group | None) -> Group:
    if state is None:
        raise NotFound(NOTHING)
    return state


def _shown(state: Group, **more: Any) -> GroupResult:
    size, present = len(state.members), state.present
    return GroupResult(name=state.name, version=state.version, size=size, present=present, **more)


def _all(state: Group) -> tuple[MemberView, ...]:
    return tuple(
        MemberView(
            agent=AgentId(agent),
            value=one.value,
            status="suspect" if one.suspect else "present",
            reason=one.suspect,
            since=one.since,
        )
        for agent, one in state.members.items()
    )


def _plain(value: Any, agent: AgentId) -> Any:
    try:
        data = encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the value of {agent} has no JSON form: {error}") from error
    if len(data) > VALUE_BYTES:
        raise Invalid(f"the value of {agent} has {len(data)} bytes, at most {VALUE_BYTES}; keep a reference instead")
    return msgspec.json.decode(data)
