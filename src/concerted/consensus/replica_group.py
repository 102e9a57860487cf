"""A group of replicas, as the coordinator knows it: who hosts them, whether it is ready, what is entrusted to it.

    forming --all hosts have an address--> ready --End--> ending --every host has dismissed its replica--> ended
            --End--> ending
    ready --a host is replaced by another, as `replacing` says--> ready

The group itself keeps its log without the coordinator; here stands what a coordinator must find again when it comes
back: where the replicas are, and which decisions, agreements and logs are theirs.  Who leads, and who of the hosts is
gone, is noted as it is learned, so that the story can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import msgspec

from concerted.consensus import replacing, standing
from concerted.consensus.keeping import ALGORITHMS, BOUNDS, SIZES, Bounds, Replicated, tolerates, warnings_for
from concerted.consensus.replacing import Joining, Replace, Replaced, Replacing, Unable
from concerted.consensus.standing import WHOLE, Stand, Standing
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import EVERYBODY, Event, Found, Look, Lost, Result, Step, Wait, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "KINDS", "OBJECTS_SHOWN", "SIZES", "Accuse", "Await", "Create", "Dismissed", "End", "Entrust", "Form", "Lead",
    "Release", "ReplicaGroup", "ReplicaGroupResult", "Request", "State", "answer", "decide", "evolve", "tolerates",
    "topic", "waits", "wakes",
]  # fmt: skip

OBJECTS_SHOWN = 1_000  # named in an answer
WAKING = (
    "replica_group.formed", "replica_group.ending", "replica_group.host_replaced", "replica_group.replacement_refused",
)  # fmt: skip

Status = Literal["forming", "ready", "ending", "ended"]

KINDS: Mapping[str, str] = {
    "replica_group.created": (
        "Agents are to host a group of replicas: name, uid, algorithm, participants (the hosts, replica 1 first), "
        "election_timeout_s, heartbeat_interval_s, batch_count, bounds, total, status."
    ),
    "replica_group.formed": "All of them have an address, and the group begins: group, status, arrived.",
    "replica_group.entrusted": "From now on the group keeps `ref`.",
    "replica_group.released": "What the group kept of `ref` is over and copied; it leaves the group in time.",
    "replica_group.led": "The agent's replica leads: node, term.",
    "replica_group.accused": "The agent's replica has signed two things of which an honest one signs one: node.",
    "replica_group.host_lost": "The agent is gone, and its replica with it: reason.",
    "replica_group.host_found": "The agent is back, and its replica is started again.",
    "replica_group.ending": "The group is over, its hosts are to dismiss their replicas: reason, status.",
    "replica_group.dismissed": "The agent's replica and its files are gone: node.",
    "replica_group.ended": "All of them are: reason, status, closed_at.",
    **standing.KINDS,
    **replacing.KINDS,
}


@dataclass(frozen=True, slots=True)
class Create:
    """Have agents host a group.  uid: tells it from all groups of this name that ever were."""

    id: str
    by: AgentId
    algorithm: Replicated
    hosts: tuple[AgentId, ...]
    uid: str = ""
    election_timeout_s: float = 10.0
    heartbeat_interval_s: float = 2.0
    batch_count: int = 100
    bounds: Bounds = BOUNDS


@dataclass(frozen=True, slots=True)
class Form:
    """Begin: all hosts have said where they listen.  group: the whole description, as `replicas.spec.Group`."""

    group: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entrust:
    """Let the group keep this stream."""

    stream: str


@dataclass(frozen=True, slots=True)
class Release:
    """Take note that a stream is over and copied in whole, and that the group knows it."""

    stream: str


@dataclass(frozen=True, slots=True)
class Lead:
    """Take note of who leads.  node: the replica's id."""

    node: int
    term: int


@dataclass(frozen=True, slots=True)
class Accuse:
    """Take note that a replica has provably lied."""

    node: int


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until the group is ready."""


@dataclass(frozen=True, slots=True)
class End:
    """Dismiss the group."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Dismissed:
    """Take note that a replica and its files are gone."""

    node: int


Request: TypeAlias = (
    Create | Form | Entrust | Release | Lead | Accuse | Await | End | Dismissed | Replace | Joining | Unable | Replaced
    | Stand | Look | Wake | Lost | Found
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReplicaGroup:
    """Where a group stands.

    group: its description, once it is formed.  objects: the streams that it keeps; past: those that have left it, or
    will.  leader: the id of the replica that leads in `term`, as far as was learned.  standing: which of them answer.
    lost: hosts that are gone -> why.  accused: replicas that have lied.  nodes: which replica is beside which agent.
    replacement: the one under way; replaced: the newest that is done, as the old and the new agent.  retired: replicas
    that are no members any more, and whose files may be there still.  dismissed: members whose replica is gone for
    good.  last_node: the highest id that was ever given.
    """

    terms: Create
    created_at: Instant
    status: Status = "forming"
    group: dict[str, Any] | None = None
    objects: Map[str, bool] = field(default_factory=Map)
    past: Map[str, bool] = field(default_factory=Map)
    leader: int | None = None
    term: int = 0
    lost: Map[str, str] = field(default_factory=Map)
    accused: tuple[int, ...] = ()
    nodes: Map[int, AgentId] = field(default_factory=Map)
    replacement: Replacing | None = None
    replaced: tuple[AgentId, AgentId] | None = None
    retired: Map[int, AgentId] = field(default_factory=Map)
    dismissed: tuple[int, ...] = ()
    last_node: int = 0
    standing: Standing = WHOLE
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it keeps nothing any more."""
        return self.status in ("ending", "ended")

    def has(self, stream: str) -> bool:
        """Say whether it keeps something, or has kept it."""
        return stream in self.objects or stream in self.past

    @property
    def has_room(self) -> bool:
        """Whether it may keep one thing more."""
        return self.terms.bounds.has_room(len(self.objects), len(self.past))

    @property
    def hosts(self) -> tuple[AgentId, ...]:
        """Return the agents beside which its members run, the oldest replica first."""
        return tuple(self.nodes.values())

    @property
    def to_dismiss(self) -> dict[int, AgentId]:
        """Return the replicas that are to go, and beside whom they are: all of them when it is over."""
        there = dict(self.retired) if self.replacement is None or self.is_over else {}
        if self.is_over:
            there |= dict(self.nodes)
            if self.replacement is not None:
                there[self.replacement.node] = self.replacement.new
        return {node: agent for node, agent in sorted(there.items()) if node not in self.dismissed}


State = ReplicaGroup


class ReplicaGroupResult(Result, frozen=True, kw_only=True):
    """What a caller is told.

    hosts: the agents, oldest replica first; replacement: which of them is being replaced, and by whom;
    lost_agents: those of them who are gone; accused: those whose replicas have provably lied.
    tolerates: how many may fail (of pbft, lie) at once.  survives: that in words.  group: the description with which a
    client reaches it, once it is formed.  leader: the agent whose replica leads, as far as was learned.  silent, apart:
    those whose replicas do not answer, or do not follow it; stalled_at: since when too few are left to decide anything.
    objects: what it keeps.  warnings: what somebody who relies on it should know.
    """

    id: str
    algorithm: Replicated
    status: Status
    hosts: tuple[AgentId, ...]
    replacement: Replacing | None = None
    lost_agents: tuple[AgentId, ...]
    accused: tuple[AgentId, ...]
    tolerates: int
    survives: str
    warnings: tuple[str, ...] = ()
    group: dict[str, Any] | None
    leader: AgentId | None
    term: int
    silent: tuple[AgentId, ...] = ()
    apart: tuple[AgentId, ...] = ()
    stalled_at: Instant | None = None
    objects: tuple[str, ...]
    objects_count: int
    reason: str
    created_at: Instant
    created_by: AgentId


def decide(state: ReplicaGroup | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to.

    Raises:
        NotFound: there is no such group.  Invalid: there cannot be one like this.
        Conflict: there is another one of this id.  WrongPhase: it is over, or not ready yet.
        NotAllowed: who ends it, or replaces a host, is neither its creator nor an admin.
    """
    if isinstance(request, Wake):
        return Step()
    if state is None:
        if isinstance(request, Create):
            return _create(request)
        if isinstance(request, Lost | Found):
            return Step()
        raise NotFound("there is no such group of replicas; create it, with the agents that host them")
    match request:
        case Create():
            return _require_same(state, request)
        case Form(group):
            return _form(state, group)
        case Entrust(stream):
            return _entrust(state, stream)
        case Release(stream) if stream in state.objects:
            return Step((Event("replica_group.released", None, stream),))
        case Lead(node, term) if state.status == "ready" and (node, term) != (state.leader, state.term):
            return Step((Event("replica_group.led", state.nodes.get(node), None, {"node": node, "term": term}),))
        case Accuse(node) if state.status == "ready" and node not in state.accused:
            return Step((Event("replica_group.accused", state.nodes.get(node), None, {"node": node}),))
        case Stand() if state.status == "ready":
            return Step(standing.stand(state.standing, request))
        case Lost(agent, reason) if _is_host(state, agent) and agent not in state.lost:
            return Step((Event("replica_group.host_lost", agent, None, {"reason": reason}),))
        case Found(agent) if not state.is_over and agent in state.lost:
            return Step((Event("replica_group.host_found", agent),))
        case End():
            return _end(state, request)
        case Dismissed(node) if node in state.to_dismiss:
            return _dismissed(state, node, now)
        case Replace() | Joining() | Unable() | Replaced():
            return Step(_replacing(state, request))
        case _:
            return Step()


def evolve(state: ReplicaGroup | None, event: Event, at: Instant) -> ReplicaGroup:
    """Return the state after an event of this group, which happened at `at`."""
    data, agent = event.data, event.agent or AgentId("")
    if state is None:
        assert event.kind == "replica_group.created", event.kind
        return _created(event, at)
    match event.kind:
        case "replica_group.formed":
            return replace(state, status="ready", group=data["group"])
        case "replica_group.entrusted":
            assert event.ref is not None, event
            return replace(state, objects=state.objects.set(event.ref, True))
        case "replica_group.released":
            assert event.ref is not None, event
            return replace(state, objects=state.objects.without(event.ref), past=state.past.set(event.ref, True))
        case "replica_group.led":
            return replace(state, leader=data["node"], term=data["term"])
        case "replica_group.accused":
            return replace(state, accused=(*state.accused, data["node"]))
        case "replica_group.host_lost":
            return replace(state, lost=state.lost.set(agent, data["reason"]))
        case "replica_group.host_found":
            return replace(state, lost=state.lost.without(agent))
        case kind if kind in standing.KINDS:
            return replace(state, standing=standing.evolve(state.standing, event, at))
        case kind if kind in replacing.KINDS:
            return replacing.evolve(state, event)
        case "replica_group.ending":
            return replace(state, status="ending", reason=data["reason"])
        case "replica_group.dismissed":
            if data["node"] in state.retired:
                return replace(state, retired=state.retired.without(data["node"]))
            return replace(state, dismissed=(*state.dismissed, data["node"]))
        case "replica_group.ended":
            return replace(state, status="ended")
        case _:
            return state


def answer(state: ReplicaGroup, request: Request, now: Instant) -> ReplicaGroupResult:  # noqa: ARG001
    """Return how the group stands; an `Await` is pending until it is ready or over, a `Replace` until that is done."""
    terms, count = state.terms, len(state.terms.hosts)
    return ReplicaGroupResult(
        pending=_is_pending(state, request),
        id=terms.id,
        algorithm=terms.algorithm,
        status=state.status,
        hosts=state.hosts,
        replacement=state.replacement,
        lost_agents=tuple(AgentId(name) for name in state.lost),
        accused=tuple(host for node in state.accused if (host := state.nodes.get(node)) is not None),
        tolerates=tolerates(terms.algorithm, count),
        survives=ALGORITHMS[terms.algorithm],
        warnings=warnings_for(terms.id, count),
        group=state.group,
        leader=None if state.leader is None else state.nodes.get(state.leader),
        term=state.term,
        silent=state.standing.silent,
        apart=state.standing.apart,
        stalled_at=None if state.is_over else state.standing.stalled_at,
        objects=tuple(name for name, _ in zip(state.objects, range(OBJECTS_SHOWN), strict=False)),
        objects_count=len(state.objects),
        reason=state.reason,
        created_at=state.created_at,
        created_by=terms.by,
    )


def topic(request: Request) -> str:  # noqa: ARG001
    """All who wait for a group wait for the same thing."""
    return ""


def wakes(event: Event) -> Iterable[str]:
    """Everybody, when it is ready or over, or a replacement is."""
    return (EVERYBODY,) if event.kind in WAKING else ()


def waits(state: ReplicaGroup, request: Request, now: Instant) -> Wait | None:  # noqa: ARG001
    """Say whose address is missing, or whose replica is to take another's place."""
    swap = state.replacement
    if swap is not None and isinstance(request, Replace) and _is_pending(state, request):
        text = f"group {state.terms.id}: {swap.new}'s replica is to catch up, and to take the place of {swap.old}'s"
        return Wait(text, state.created_at, (swap.new,), needed=1)
    if state.status != "forming" or not isinstance(request, Await | Create):
        return None
    text = f"group {state.terms.id}: its hosts have not all said where their replicas listen"
    return Wait(text, state.created_at, state.terms.hosts, needed=len(state.terms.hosts))


def _create(request: Create) -> Step:
    algorithm, hosts, sizes = request.algorithm, request.hosts, SIZES[request.algorithm]
    problems = []
    if not is_name(request.id):
        problems.append(f"{request.id!r} cannot name a group: 1 to 200 printable bytes, no outer spaces")
    if algorithm == "pbft" and len(hosts) < min(sizes):
        problems.append(f"{len(hosts)} hosts: with fewer than 4 replicas pbft survives no lie; name 4, 7, 10 or 13")
    elif len(hosts) not in sizes:
        problems.append(f"{len(hosts)} hosts: {algorithm} takes {', '.join(map(str, sizes))} replicas")
    if len(set(hosts)) < len(hosts):
        problems.append("a host is named twice; two replicas beside one agent would be lost together")
    if not 0 < request.heartbeat_interval_s < request.election_timeout_s < float("inf"):
        problems.append(
            f"an election timeout of {request.election_timeout_s} s with heartbeats every "
            f"{request.heartbeat_interval_s} s; several of them must come within it"
        )
    if problems:
        raise Invalid(f"group {request.id} cannot be: {'; '.join(problems)}", problems=problems)
    data = {
        "name": request.id,
        "uid": request.uid,
        "algorithm": algorithm,
        "participants": list(hosts),
        "election_timeout_s": request.election_timeout_s,
        "heartbeat_interval_s": request.heartbeat_interval_s,
        "batch_count": request.batch_count,
        "bounds": msgspec.to_builtins(request.bounds),
        "arrived": 0,
        "total": len(hosts),
        "status": "forming",
    }
    return Step((Event("replica_group.created", request.by, None, data),))


def _created(event: Event, at: Instant) -> ReplicaGroup:
    data = event.data
    terms = Create(
        id=data["name"],
        by=event.agent or AgentId(""),
        algorithm=data["algorithm"],
        hosts=tuple(AgentId(host) for host in data["participants"]),
        uid=data["uid"],
        election_timeout_s=data["election_timeout_s"],
        heartbeat_interval_s=data["heartbeat_interval_s"],
        batch_count=data["batch_count"],
        bounds=msgspec.convert(data.get("bounds", {}), Bounds),
    )
    return ReplicaGroup(terms, at, nodes=Map(enumerate(terms.hosts, 1)), last_node=len(terms.hosts))


def _require_same(state: ReplicaGroup, request: Create) -> Step:
    terms = state.terms
    if state.is_over:
        raise WrongPhase(f"group {terms.id} is over ({state.reason}); take another name")
    if (request.algorithm, request.hosts) != (terms.algorithm, terms.hosts):
        raise Conflict(
            f"{terms.by} has made group {terms.id} already, of {terms.algorithm} by {', '.join(terms.hosts)}; "
            "take that one, or another name"
        )
    return Step()


def _form(state: ReplicaGroup, group: dict[str, Any]) -> Step:
    if state.status != "forming":
        return Step()
    data = {"group": group, "status": "ready", "arrived": len(state.terms.hosts)}
    return Step((Event("replica_group.formed", None, None, data),))


def _entrust(state: ReplicaGroup, stream: str) -> Step:
    if state.has(stream):
        return Step()
    if state.status != "ready":
        raise WrongPhase(f"group {state.terms.id} is {state.status}; {stream} cannot be entrusted to it")
    return Step((Event("replica_group.entrusted", None, stream),))


def _end(state: ReplicaGroup, request: End) -> Step:
    terms = state.terms
    if request.by != terms.by and not request.is_admin:
        raise NotAllowed(f"{request.by} may not end group {terms.id}; {terms.by}, who made it, or an admin can")
    if state.is_over:
        return Step()
    reason = request.reason or f"ended by {request.by}"
    return Step((Event("replica_group.ending", request.by, None, {"reason": reason, "status": "ending"}),))


def _dismissed(state: ReplicaGroup, node: int, now: Instant) -> Step:
    gone = Event("replica_group.dismissed", state.to_dismiss[node], None, {"node": node})
    if not state.is_over or state.to_dismiss.keys() != {node}:
        return Step((gone,))
    data = {"reason": state.reason, "status": "ended", "closed_at": now}
    return Step((gone, Event("replica_group.ended", None, None, data)))


def _is_host(state: ReplicaGroup, agent: AgentId) -> bool:
    now = state.replacement
    return not state.is_over and (agent in state.hosts or (now is not None and agent == now.new))


def _is_pending(state: ReplicaGroup, request: Request) -> bool:
    now = state.replacement
    if isinstance(request, Replace):
        is_under_way = now is not None and not now.refusal and not state.is_over
        return is_under_way and now is not None and (now.old, now.new) == (request.old, request.new)
    return state.status == "forming" and isinstance(request, Await | Create)


def _replacing(state: ReplicaGroup, request: Replace | Joining | Unable | Replaced) -> tuple[Event, ...]:
    terms, now = state.terms, state.replacement
    match request:
        case Joining():
            return replacing.joining(now, request)
        case Unable():
            return replacing.unable(now, request)
        case Replaced():
            return replacing.replaced(now, request)
    if request.by != terms.by and not request.is_admin:
        raise NotAllowed(f"{request.by} may not change group {terms.id}; {terms.by}, who made it, or an admin can")
    if state.status != "ready":
        raise WrongPhase(f"group {terms.id} is {state.status}; no host of it can be replaced")
    if now is None and (request.old, request.new) == state.replaced and request.old not in state.hosts:
        return ()  # it is done
    return replacing.begin(terms.id, terms.algorithm, request, hosts=state.nodes, last_node=state.last_node, now=now)
