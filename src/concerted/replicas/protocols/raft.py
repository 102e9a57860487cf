"""Raft, as a replica runs it."""

from __future__ import annotations

from concerted.consensus.entries import Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.messages import Message
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.settings import Settings
from concerted.consensus.raft.storage import STORAGE, Stored
from concerted.replicas.protocols.algorithms import Kind, Making
from concerted.replicas.spec import Group

__all__ = ["KIND"]


def _first(group: Group) -> Stored:
    return Stored(snapshot=Snapshot(configuration=Configuration.of(sorted(group.replicas))))


def _core(making: Making) -> Raft:
    group = making.group
    settings = Settings(
        election_timeout_s=group.election_timeout_s,
        heartbeat_interval_s=group.heartbeat_interval_s,
        batch_count=group.batch_count,
    )
    return Raft(making.node, settings, making.stored, dice=making.dice, now=making.now)


KIND = Kind(STORAGE, _first, _core, Message)
