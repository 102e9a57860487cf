"""A group of replicas, as the coordinator knows it: who hosts them, whether it is ready, what is entrusted to it.

    forming --all hosts have an address--> ready --End--> ending --every host has dismissed its replica--> ended
            --End--> ending

The group itself keeps its log without the coordinator; here stands what a coordinator must find again when it comes
back: where the replicas are, and which decisions, agreements and logs are theirs.  Who leads, and who of the hosts is
gone, is noted as it is learned, so that the story can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from concerted.consensus.keeping import ALGORITHMS, Replicated
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import EVERYBODY, Event, Found, Look, Lost, Result, Step, Wait, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "KINDS", "OBJECTS_SHOWN", "SIZES", "Accuse", "Await", "Create", "Dismissed", "End", "Entrust", "Form",
    "Lead", "ReplicaGroup", "ReplicaGroupResult", "Request", "State", "answer", "decide", "evolve", "tolerates",
    "topic", "waits", "wakes", "warnings_for",
]  # fmt: skip

OBJECTS_SHOWN = 1_000  # named in an answer
SIZES: Mapping[Replicated, tuple[int, ...]] = {
    "raft": (1, 2, 3, 5, 7), "paxos": (1, 2, 3, 5, 7), "pbft": (4, 7, 10, 13),
}  # fmt: skip

Status = Literal["forming", "ready", "ending", "ended"]

KINDS: Mapping[str, str] = {
    "replica_group.created": (
        "Agents are to host a group of replicas: name, uid, algorithm, participants (the hosts, replica 1 first), "
        "election_timeout_s, heartbeat_interval_s, batch_count, total, status."
    ),
    "replica_group.formed": "All of them have an address, and the group begins: group, status, arrived.",
    "replica_group.entrusted": "From now on the group keeps `ref`.",
    "replica_group.led": "The agent's replica leads: node, term.",
    "replica_group.accused": "The agent's replica has signed two things of which an honest one signs one: node.",
    "replica_group.host_lost": "The agent is gone, and its replica with it: reason.",
    "replica_group.host_found": "The agent is back, and its replica is started again.",
    "replica_group.ending": "The group is over, its hosts are to dismiss their replicas: reason, status.",
    "replica_group.dismissed": "The agent's replica and its files are gone.",
    "replica_group.ended": "All of them are: reason, status, closed_at.",
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


@dataclass(frozen=True, slots=True)
class Form:
    """Begin: all hosts have said where they listen.  group: the whole description, as `replicas.spec.Group`."""

    group: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entrust:
    """Let the group keep this stream."""

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
    """Take note that a host's replica is gone."""

    agent: AgentId


Request: TypeAlias = Create | Form | Entrust | Lead | Accuse | Await | End | Dismissed | Look | Wake | Lost | Found


@dataclass(frozen=True, slots=True)
class ReplicaGroup:
    """Where a group stands.

    group: its description, once it is formed.  objects: the streams that it keeps.  leader: the id of the replica that
    leads in `term`, as far as was learned.  lost: hosts that are gone -> why.  accused: replicas that have lied.
    dismissed: hosts whose replica is gone for good.
    """

    terms: Create
    created_at: Instant
    status: Status = "forming"
    group: dict[str, Any] | None = None
    objects: Map[str, bool] = field(default_factory=Map)
    leader: int | None = None
    term: int = 0
    lost: Map[str, str] = field(default_factory=Map)
    accused: tuple[int, ...] = ()
    dismissed: tuple[AgentId, ...] = ()
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it keeps nothing any more."""
        return self.status in ("ending", "ended")


State = ReplicaGroup


class ReplicaGroupResult(Result, frozen=True, kw_only=True):
    """What a caller is told.

    hosts: the agents, replica 1 first; lost_agents: those of them who are gone;
    accused: those whose replicas have provably lied.  tolerates: how many may fail (of pbft,
    lie) at once.  survives: that in words.  group: the description with which a client reaches it, once it is formed.
    leader: the agent whose replica leads, as far as was learned.  objects: what it keeps.  warnings: what somebody who
    relies on it should know.
    """

    id: str
    algorithm: Replicated
    status: Status
    hosts: tuple[AgentId, ...]
    lost_agents: tuple[AgentId, ...]
    accused: tuple[AgentId, ...]
    tolerates: int
    survives: str
    warnings: tuple[str, ...] = ()
    group: dict[str, Any] | None
    leader: AgentId | None
    term: int
    objects: tuple[str, ...]
    objects_count: int
    reason: str
    created_at: Instant
    created_by: AgentId


def tolerates(algorithm: Replicated, count: int) -> int:
    """Return how many replicas of so many may fail; of PBFT, lie.

    Source: Ongaro & Ousterhout 2014, section 2; Castro & Liskov 1999, section 3.
    """
    return (count - 1) // (3 if algorithm == "pbft" else 2)


def warnings_for(id: str, count: int) -> tuple[str, ...]:
    """Return what somebody who relies on a group of so many replicas should know, in sentences."""
    match count:
        case 1:
            return (f"group {id} has one replica: one fault domain; 3 would tolerate the loss of one",)
        case 2:
            more = "3 would tolerate the loss of one, and 4 of pbft one that lies"
            return (f"group {id} has 2 replicas: it tolerates the loss of none, and no lies; {more}",)
        case _:
            return ()


def decide(state: ReplicaGroup | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to.

    Raises:
        NotFound: there is no such group.
        Invalid: there cannot be one like this.
        Conflict: there is another one of this id.
        NotAllowed: who ends it is neither its creator nor an admin.
        WrongPhase: it is over, or not ready yet.
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
        case Lead(node, term) if state.status == "ready" and (node, term) != (state.leader, state.term):
            return Step((Event("replica_group.led", _host(state, node), None, {"node": node, "term": term}),))
        case Accuse(node) if state.status == "ready" and node not in state.accused:
            return Step((Event("replica_group.accused", _host(state, node), None, {"node": node}),))
        case Lost(agent, reason) if _is_host(state, agent) and agent not in state.lost:
            return Step((Event("replica_group.host_lost", agent, None, {"reason": reason}),))
        case Found(agent) if not state.is_over and agent in state.lost:
            return Step((Event("replica_group.host_found", agent),))
        case End():
            return _end(state, request)
        case Dismissed(agent) if state.is_over and agent in state.terms.hosts and agent not in state.dismissed:
            return _dismissed(state, agent, now)
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
        case "replica_group.led":
            return replace(state, leader=data["node"], term=data["term"])
        case "replica_group.accused":
            return replace(state, accused=(*state.accused, data["node"]))
        case "replica_group.host_lost":
            return replace(state, lost=state.lost.set(agent, data["reason"]))
        case "replica_group.host_found":
            return replace(state, lost=state.lost.without(agent))
        case "replica_group.ending":
            return replace(state, status="ending", reason=data["reason"])
        case "replica_group.dismissed":
            return replace(state, dismissed=(*state.dismissed, agent))
        case "replica_group.ended":
            return replace(state, status="ended")
        case _:
            return state


def answer(state: ReplicaGroup, request: Request, now: Instant) -> ReplicaGroupResult:  # noqa: ARG001
    """Return how the group stands; an `Await` is pending until it is ready or over."""
    terms, count = state.terms, len(state.terms.hosts)
    return ReplicaGroupResult(
        pending=state.status == "forming" and isinstance(request, Await | Create),
        id=terms.id,
        algorithm=terms.algorithm,
        status=state.status,
        hosts=terms.hosts,
        lost_agents=tuple(AgentId(name) for name in state.lost),
        accused=tuple(terms.hosts[node - 1] for node in state.accused),
        tolerates=tolerates(terms.algorithm, count),
        survives=ALGORITHMS[terms.algorithm],
        warnings=warnings_for(terms.id, count),
        group=state.group,
        leader=None if state.leader is None else _host(state, state.leader),
        term=state.term,
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
    """Everybody, when it is ready or over."""
    return (EVERYBODY,) if event.kind in ("replica_group.formed", "replica_group.ending") else ()


def waits(state: ReplicaGroup, request: Request, now: Instant) -> Wait | None:  # noqa: ARG001
    """Say whose address is missing."""
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
    )
    return ReplicaGroup(terms, at)


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
    if stream in state.objects:
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


def _dismissed(state: ReplicaGroup, agent: AgentId, now: Instant) -> Step:
    gone = Event("replica_group.dismissed", agent)
    if {*state.dismissed, agent} != {*state.terms.hosts}:
        return Step((gone,))
    data = {"reason": state.reason, "status": "ended", "closed_at": now}
    return Step((gone, Event("replica_group.ended", None, None, data)))


def _is_host(state: ReplicaGroup, agent: AgentId) -> bool:
    return not state.is_over and agent in state.terms.hosts


def _host(state: ReplicaGroup, node: int) -> AgentId | None:
    """Return the agent beside which a replica runs."""
    hosts = state.terms.hosts
    return hosts[node - 1] if 1 <= node <= len(hosts) else None
