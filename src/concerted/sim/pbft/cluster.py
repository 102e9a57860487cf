"""A group of PBFT replicas in a simulation, some of which lie, and the clients that ask it.

Whoever drives it says when anything happens; where a message goes, `post` decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.consensus.pbft.clients import Replies, Reply
from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Message, Request
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.seal import sealed_request
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import STORAGE, Stored
from concerted.consensus.quorum import NodeId
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Watch
from concerted.sim.pbft.checks import PbftChecks
from concerted.sim.pbft.keys import SimSigner, SimVerifier
from concerted.sim.pbft.lying_client import LYING_CLIENT
from concerted.sim.pbft.replica import PbftReplica, Unwatched, beginning_in

__all__ = ["Asked", "Client", "PbftCluster"]

REGISTERS = ("x", "y")
READS = 0.4  # the share of reads
UNWATCHED = Unwatched()


@dataclass(slots=True)
class Asked:
    """What a client has asked, and what it was told.

    began, ended: instants of the simulation; None: never answered.  least: the index that its answer must lie behind.
    """

    client: str
    op: str
    register: str
    value: int | None
    began: float
    least: int
    ended: float | None = None
    result: Any = None


@dataclass(slots=True)
class Client:
    """Does one thing after the other.  asked: what it waits for."""

    name: str
    number: int = 0
    request: Request | None = None
    replies: Replies | None = None
    asked: Asked | None = None


@dataclass
class PbftCluster:
    """All replicas and clients.  liars: who may do anything.  post: takes what leaves.  clock: the instant.
    starts: whether the honest begin at once.

    replicas: the honest ones.  history: what clients have asked and were told.  on_end: told who was answered.
    """

    size: int
    liars: frozenset[NodeId]
    settings: Settings
    rng: random.Random
    post: Callable[[Message], None]
    clients_count: int = 3
    clock: Callable[[], float] = lambda: 0.0
    starts: bool = True
    on_end: Callable[[Client], None] = lambda _client: None
    replicas: dict[NodeId, PbftReplica] = field(default_factory=dict)
    history: list[Asked] = field(default_factory=list)
    answered_count: int = 0
    _told: int = 0
    _values: int = 0

    def __post_init__(self) -> None:
        ids = tuple(range(1, self.size + 1))
        names = [f"client {number}" for number in range(1, self.clients_count + 2)]
        self.group = Group("simulated", ids, SimVerifier((*ids, *names, LYING_CLIENT)))
        self.checks = PbftChecks(self.replicas, self.group)
        *self.clients, self.last_client = [Client(name) for name in names]
        for node in ids:
            if node not in self.liars:
                self.replicas[node] = self.make(node, self.post, self.checks)
                if self.starts:
                    self.replicas[node].start()

    def make(self, node: NodeId, post: Callable[[Message], None], watch: Watch[Pbft] = UNWATCHED) -> PbftReplica:
        """Make a replica; of a liar, one that nobody watches."""
        return PbftReplica(
            id=node,
            begin=beginning_in(self.group),
            settings=self.settings,
            disk=Disk(STORAGE, node, Stored()),
            watch=watch,
            dice=self.rng.random,
            send=post,
            group=self.group,
            reply=self.replied,
        )

    def alive(self) -> list[PbftReplica]:
        """Return all honest replicas that live."""
        return [replica for replica in self.replicas.values() if replica.running is not None]

    # Clients

    def want(self, client: Client) -> Request:
        """Return what a client asks for; the same again, if it was not answered."""
        if client.request is None:
            self._values += 1
            value = None if self.rng.random() < READS else self._values
            register = self.rng.choice(REGISTERS)
            client.number += 1
            body = msgspec.msgpack.encode((register, value))
            request = Request(client.name, client.number, body)
            client.request = sealed_request(self.group.name, SimSigner(client.name), request)
            client.replies = Replies(self.group, client.request)
            op = "read" if value is None else "write"
            client.asked = Asked(client.name, op, register, value, self.clock(), self._told)
            self.history.append(client.asked)
            self.checks.signed.add(client.request)
        return client.request

    def replied(self, reply: Reply) -> None:
        """Let a reply reach its client."""
        for client in (*self.clients, self.last_client):
            if client.name == reply.client and client.replies is not None and client.request is not None:
                told = client.replies.take(reply)
                if told is not None:
                    self._end(client, client.request, *told)

    def _end(self, client: Client, request: Request, index: int, result: bytes) -> None:
        """What was acknowledged is in the log, and behind all that was acknowledged before it was asked."""
        asked = client.asked
        assert asked is not None
        self.checks.acknowledged(request, index)
        if index <= asked.least:
            raise Broken(f"linearizability: {asked} is answered at {index}, and {asked.least} was known before")
        asked.ended = self.clock()
        asked.result = msgspec.msgpack.decode(result) if asked.op == "read" else None
        self._told = max(self._told, index)
        self.answered_count += 1
        client.request = client.replies = client.asked = None
        self.on_end(client)
