"""How a group of replicas keeps decisions, by protocol: how what is wanted goes into the log, and who says the time.

Over Raft and Paxos whoever takes a command says by its clock when that was.  Over PBFT the client signs what is to go
into the log, each replica signs what time it is, and the group's time is what f + 1 of them have said.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.consensus.keeping import Replicated
from concerted.consensus.pbft.group import Group as Members
from concerted.consensus.pbft.messages import Request
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.seal import sealed_request
from concerted.consensus.quorum import NodeId
from concerted.replicas.kept import Kept
from concerted.replicas.protocols.entering import Entering, Proposed
from concerted.replicas.protocols.pbft import SignedEntering, client_of
from concerted.replicas.spec import COORDINATOR, Group
from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.cluster.damage import lost_among
from concerted.sim.cluster.replica import Replica
from concerted.sim.decisions.liars import KINDS
from concerted.sim.pbft.algorithm import pbft
from concerted.sim.pbft.checks import PbftChecks
from concerted.sim.pbft.keys import SimSigner, SimVerifier
from concerted.sim.pbft.walk import draw_liars
from concerted.sim.protocols.algorithms import ALGORITHMS

__all__ = ["KEEPINGS", "Keeping"]

GROUP = "simulated"
SERVERS = (1, 3, 3, 3, 5)
SIGNED_SERVERS = (4, 4, 4, 7)


def _unsigned(proposed: Proposed) -> bytes:
    return msgspec.msgpack.encode(proposed)


def _unsignable(client: str, _: bytes) -> Request:
    raise AssertionError(f"{client} signs something, where nobody does")


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """One group.  honest: how many must say the same to be believed; more than 1 where everybody signs.

    make: what a replica keeps at first.  enter: what goes into the log for what somebody proposes.  members: of a group
    that signs; liars: who of them lies, and how; sign: have a client sign.
    """

    algorithm: Algorithm[Any]
    servers: int
    make: Callable[[NodeId], Kept]
    honest: int = 1
    enter: Callable[[Proposed], bytes] = field(default=_unsigned)
    members: Members | None = None
    liars: Mapping[NodeId, tuple[str, ...]] = field(default_factory=dict)
    sign: Callable[[str, bytes], Request] = field(default=_unsignable)

    @property
    def is_signed(self) -> bool:
        """Whether nobody is believed alone, so that all say the time."""
        return self.honest > 1


def _trusting(name: str, rng: random.Random, servers: int) -> Keeping:
    """Return a group in which nobody lies."""
    algorithm: Replicated = "raft" if name == "raft" else "paxos"
    return Keeping(
        algorithm=ALGORITHMS[name],
        servers=servers or rng.choice(SERVERS),
        make=lambda node: Kept(algorithm, entering=Entering(node)),
    )


def _signing(rng: random.Random, servers: int) -> Keeping:
    """Return a group in which everybody signs, and some lie, unless its size is given."""
    count = servers or rng.choice(SIGNED_SERVERS)
    liars = {} if servers else _draw_liars(rng, count)
    nodes = tuple(range(1, count + 1))
    clients = (COORDINATOR, *map(client_of, nodes))
    members = Members(GROUP, nodes, SimVerifier((*nodes, *clients)))
    spec = Group(id=GROUP, algorithm="pbft", replicas={node: f"127.0.0.1:{node}" for node in nodes})
    found: list[PbftChecks] = []
    numbers = dict.fromkeys(clients, 0)

    def checks(replicas: Mapping[NodeId, Replica[Pbft]]) -> PbftChecks:
        found.append(PbftChecks(replicas, members))
        return found[0]

    def gone() -> AbstractSet[NodeId]:
        return liars.keys() | lost_among(found[0].honest)

    def sign(who: str, body: bytes) -> Request:
        numbers[who] += 1
        signed = sealed_request(GROUP, SimSigner(who), Request(who, numbers[who], body))
        found[0].signed.add(signed)
        return signed

    def enter(proposed: Proposed) -> bytes:
        who = COORDINATOR if proposed.command else client_of(proposed.by)
        return sign(who, msgspec.msgpack.encode(proposed)).encode()

    return Keeping(
        algorithm=pbft(lambda: members, checks, gone),
        servers=count,
        make=lambda node: Kept("pbft", members.weak, SignedEntering(spec, node, "")),
        honest=members.weak,
        enter=enter,
        members=members,
        liars=liars,
        sign=sign,
    )


def _draw_liars(rng: random.Random, size: int) -> dict[NodeId, tuple[str, ...]]:
    """Draw who lies, about the protocol and about decisions."""
    return {
        node: (*kinds, *(kind for kind in KINDS if rng.random() < 0.4)) for node, kinds in draw_liars(rng, size).items()
    }


KEEPINGS: Mapping[str, Callable[[random.Random, int], Keeping]] = {
    "raft": lambda rng, servers: _trusting("raft", rng, servers),
    "paxos": lambda rng, servers: _trusting("paxos", rng, servers),
    "pbft": _signing,
}
