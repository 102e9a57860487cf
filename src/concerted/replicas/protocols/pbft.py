"""PBFT, as a replica runs it: clients and replicas sign, and no replica alone is believed.

Clients are the coordinator, which may speak for anybody, and each replica's host, which may speak for itself alone;
both have an Ed25519 key.  Replicas are clients too, of one thing: they say the time.

Source: Castro & Liskov 1999, sections 4.1 (clients) and 4.6 (what replicas must not choose alone).
"""

from __future__ import annotations

import math
import time

import msgspec

from concerted.consensus.pbft import group as members
from concerted.consensus.pbft.group import Ed25519Signer, Ed25519Verifier
from concerted.consensus.pbft.messages import Message, Request, read_request
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.seal import sealed_request
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import STORAGE, Stored
from concerted.consensus.quorum import NodeId
from concerted.consensus.sessions import Command
from concerted.errors import Invalid
from concerted.replicas.protocols.algorithms import Kind, Making
from concerted.replicas.protocols.entering import Entered, Entering, Proposed
from concerted.replicas.spec import COORDINATOR, Group
from concerted.values import AgentId

__all__ = ["KIND", "SignedEntering", "client_of", "sealed"]

TIMEOUTS_COUNT = 16  # request timeouts that the longest of them is


def client_of(node: NodeId) -> str:
    """Return under which name a replica, and its host, are clients."""
    return f"replica-{node}"


def sealed(group: Group, name: str, private: str, proposed: Proposed) -> bytes:
    """Return a request for the log, signed.  Its number is the instant, so that no two of one client are alike.

    Raises:
        Invalid: the group does not know this client.
    """
    if name != COORDINATOR and name not in {client_of(node) for node in group.replicas}:
        raise Invalid(
            f"{name} has no key in group {group.id}; its coordinator and the agents that host a replica can sign"
        )
    request = Request(name, time.time_ns(), msgspec.msgpack.encode(proposed))
    return sealed_request(group.id, Ed25519Signer(private), request).encode()


class SignedEntering(Entering):
    """Of one replica, where others may lie."""

    def __init__(self, group: Group, node: NodeId, private: str) -> None:
        super().__init__(node)
        self._group = group
        self._private = private

    def wrap(self, commands: list[bytes], term: int) -> list[bytes]:
        """Return what clients have signed as it is, and the time and the view with our own signature."""
        return [each or self._time(term) for each in commands]

    def unwrap(self, command: bytes) -> Entered:
        """Read a request that a known client has signed; what it says is its client's, and may be nonsense."""
        request = read_request(command)
        proposed = _read(request.body) or Proposed(0.0, 0)
        is_time = not proposed.command and request.client == client_of(proposed.by)
        return Entered(proposed, is_time, self._only_for(request.client))

    def command_in(self, given: bytes) -> tuple[str, bytes]:
        """Return the session's command in a request, and whose it is."""
        request = read_request(given)
        return self._only_for(request.client) or "", _proposed(request.body).command

    def _time(self, term: int) -> bytes:
        proposed = Proposed(time.time(), self._node, term=term)
        return sealed(self._group, client_of(self._node), self._private, proposed)

    def _only_for(self, client: str) -> AgentId | None:
        """Return the one agent for whom a client may speak; None: any."""
        if client == COORDINATOR:
            return None
        node = int(client.removeprefix(client_of(0)[:-1]))
        return self._group.hosts.get(node, AgentId(client))


def _read(body: bytes) -> Proposed | None:
    """Read what a request says; None: nothing that could be carried out."""
    try:
        proposed = _proposed(body)
        if proposed.command:
            _command(proposed.command)
    except msgspec.MsgspecError:
        return None
    return proposed if math.isfinite(proposed.at) else None


def _core(making: Making) -> Pbft:
    group = making.group
    clients = {**{client_of(node): key for node, key in group.keys.items()}, **group.clients}
    verifier = Ed25519Verifier(group.keys, clients)
    settings = Settings(
        request_timeout_s=group.election_timeout_s,
        longest_timeout_s=TIMEOUTS_COUNT * group.election_timeout_s,
        retry_interval_s=group.heartbeat_interval_s,
        batch_count=group.batch_count,
    )
    known = members.Group(group.id, tuple(sorted(group.replicas)), verifier)
    signer = Ed25519Signer(making.private)
    return Pbft(making.node, settings, making.stored, group=known, signer=signer, now=making.now)


_proposed = msgspec.msgpack.Decoder(Proposed).decode
_command = msgspec.msgpack.Decoder(Command).decode

KIND = Kind(STORAGE, lambda _group, _node: Stored(), _core, Message, SignedEntering, is_signed=True)
