"""Raft, as a replica runs it."""

from __future__ import annotations

from concerted.consensus.entries import Snapshot
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.raft.messages import Message
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.settings import Settings
from concerted.consensus.raft.storage import STORAGE, Stored
from concerted.replicas.protocols.algorithms import Kind, Making, Membership
from concerted.replicas.spec import Group

__all__ = ["KIND"]


def _first(group: Group, node: NodeId) -> Stored:
    """Return what a new file holds: the first members, or nothing if it is one of those who join later."""
    founders = group.begins_with(node)
    return Stored(snapshot=Snapshot(configuration=Configuration.of(founders))) if founders else Stored()


def _membership(core: Raft) -> Membership:
    log = core.log
    configuration = log.configuration
    is_settled = not configuration.is_joint and log.configuration_index <= log.commit_index
    return Membership(configuration.members, configuration.voters, configuration.last_id, is_settled)


def _core(making: Making) -> Raft:
    group = making.group
    settings = Settings(
        election_timeout_s=group.election_timeout_s,
        heartbeat_interval_s=group.heartbeat_interval_s,
        batch_count=group.batch_count,
    )
    return Raft(making.node, settings, making.stored, dice=making.dice, now=making.now)


KIND = Kind(STORAGE, _first, _core, Message, membership=_membership)
