"""Multi-Paxos, as a replica runs it."""

from __future__ import annotations

from concerted.consensus.entries import Snapshot
from concerted.consensus.paxos.messages import Message
from concerted.consensus.paxos.node import Paxos
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.paxos.storage import STORAGE, Stored
from concerted.consensus.quorum import Configuration, NodeId
from concerted.replicas.protocols.algorithms import Kind, Making
from concerted.replicas.spec import Group

__all__ = ["KIND"]

RETRY_S = 0.5  # of an attempt to agree on one value, which no election needs


def _first(group: Group, _node: NodeId) -> Stored:
    return Stored(snapshot=Snapshot(configuration=Configuration.of(sorted(group.replicas))))


def _core(making: Making) -> Paxos:
    group = making.group
    settings = Settings(
        election_timeout_s=group.election_timeout_s,
        heartbeat_interval_s=group.heartbeat_interval_s,
        batch_count=group.batch_count,
        retry_s=min(RETRY_S, group.election_timeout_s),
    )
    return Paxos(making.node, settings, making.stored, dice=making.dice, now=making.now, valid=making.may_be_agreed)


KIND = Kind(STORAGE, _first, _core, Message)
