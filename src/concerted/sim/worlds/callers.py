"""Clients in virtual time: each asks for one thing after the other, of whoever is said to lead."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import ReadId
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.sim.cluster.clients import Client, Clients
from concerted.sim.cluster.replica import Replica
from concerted.sim.worlds.host import Host
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["Callers"]

CLIENTS = 3
PAUSES_S = (0.2, 1.0, 3.0)  # how long they think
RETRY_S = 5.0  # how long they wait for an answer

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


class Callers(Generic[C]):
    """All clients of a world.  hosts: whom they may ask."""

    def __init__(self, rng: random.Random, timeline: Timeline, hosts: Mapping[NodeId, Host[C]], life: Life) -> None:
        self.clients = Clients(rng, 0, self._ended)
        self._rng = rng
        self._timeline = timeline
        self._hosts = hosts
        self._life = life
        self._pauses: dict[int, float] = {}
        self._believed: dict[int, NodeId | None] = {}  # client -> who is said to lead
        self._turns: dict[int, int] = {}  # client -> how often it has asked or was answered

    def add(self, pause_s: float | None = None) -> Client:
        """Let another client begin.  pause_s: how long it thinks, on the average."""
        client = Client(len(self.clients.all) + 1)
        self.clients.all.append(client)
        self._pauses[client.id] = self._rng.choice(PAUSES_S) if pause_s is None else pause_s
        self._think(client)
        return client

    def answered(self, replica: Replica[C], answer: Answer) -> None:
        """Tell the client."""
        self.clients.answered(replica, answer, self._timeline.now)

    def was_read(self, replica: Replica[C], read: ReadId, registers: dict[str, Any] | None) -> None:
        """Tell the client."""
        if registers is not None:
            self.clients.was_read(replica, read, registers, self._timeline.now)

    def _think(self, client: Client) -> None:
        late = 2.0 * self._pauses[client.id] * self._rng.random()
        self._timeline.at(self._timeline.now + late, self._life, self._ask, client)

    def _ask(self, client: Client) -> None:
        hosts = self._hosts
        believed = self._believed.get(client.id)
        if believed is None or hosts[believed].life.over:
            alive = [node for node, host in hosts.items() if host.is_alive]
            if not alive:
                return self._think(client)
            believed = self._rng.choice(alive)
        self._turns[client.id] = turn = self._turns.get(client.id, 0) + 1
        host = hosts[believed]
        refused = self.clients.ask(client, host.replica, self._timeline.now, host.give)
        if refused is not None:
            self._believed[client.id] = refused.leader
            return self._think(client)
        self._believed[client.id] = believed
        if self._turns[client.id] == turn:  # not answered on the spot
            self._timeline.at(self._timeline.now + RETRY_S, self._life, self._give_up, client, turn)
        return None

    def _give_up(self, client: Client, turn: int) -> None:
        """Wait no longer: whoever was asked may be dead, or deposed."""
        if self._turns[client.id] == turn:
            self._believed[client.id] = None
            self._ask(client)

    def _ended(self, client: Client) -> None:
        self._turns[client.id] = self._turns.get(client.id, 0) + 1
        self._think(client)
