"""Raft as the simulator plays it: settings that change much, changes of members, and leaders that hand over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from concerted.consensus.entries import Snapshot
from concerted.consensus.quorum import Configuration, NodeId, majority
from concerted.consensus.raft.messages import Message, RequestVote, Vote
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.settings import Settings
from concerted.consensus.raft.storage import STORAGE, Stored
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S, PIECE_BYTES, Act, Algorithm, Spare, Stage
from concerted.sim.cluster.damage import lost_among
from concerted.sim.cluster.replica import Beginning
from concerted.sim.protocols.raft_checks import RaftChecks
from concerted.sim.protocols.raft_steps import STEPS

__all__ = ["RAFT"]

MOST_MEMBERS = 7  # ids that are ever given
RaftStage = Stage[Raft]


def _first(configuration: Configuration) -> Stored:
    return Stored(snapshot=Snapshot(configuration=configuration))


def _start(beginning: Beginning) -> Raft:
    return Raft(
        beginning.node, beginning.settings, beginning.stored, dice=beginning.dice, now=beginning.now
    )  # fmt: skip


def _walk_settings(rng: random.Random) -> Settings:
    return Settings(
        election_timeout_s=ELECTION_TIMEOUT_S,
        heartbeat_interval_s=rng.choice((1.0, 3.0)),
        piece_bytes=PIECE_BYTES,
        batch_count=rng.choice((1, 1, 3, 100)),
        window=rng.choice((1, 2, 16)),
        uncommitted_count=rng.choice((5, 1000)),
    )


def _world_settings(rng: random.Random) -> Settings:
    return Settings(
        election_timeout_s=ELECTION_TIMEOUT_S,
        heartbeat_interval_s=2.0,
        piece_bytes=PIECE_BYTES,
        batch_count=rng.choice((1, 5, 100)),
        window=rng.choice((1, 4, 64)),
        uncommitted_count=rng.choice((10, 10_000)),
    )


def _spare(cores: Sequence[Raft]) -> Spare:
    """A quorum of every configuration that may be in force must live."""
    found = [core.log.configuration for core in cores]
    halves = sorted({half for each in found for half in (each.voters, each.outgoing) if half})

    def can(dead: AbstractSet[NodeId]) -> bool:
        return all(len(set(half) - dead) >= majority(len(half)) for half in halves)

    return can


def _transfer(stage: RaftStage) -> None:
    leader = stage.leader()
    if leader is not None:
        successor = stage.rng.choice(list(stage.replicas))
        stage.note(lambda: f"{leader.id} hands over to {successor}")
        stage.give(leader, lambda raft: raft.transfer(successor, leader.now))


def _change_members(stage: RaftStage) -> None:
    """Ask for members at random: of those there are, of one who is new, and never of who has left."""
    leader, rng = stage.leader(), stage.rng
    if leader is None:
        return
    configuration = leader.core.log.configuration
    lost = lost_among(stage.replicas)
    if configuration.is_joint:
        ready = stage.give(leader, lambda raft: raft.change_members((1,), (), leader.now))
        assert ready.refused is not None, "a change was begun while another is under way"
        return
    members = [node for node in configuration.members if node not in lost]
    voters = [node for node in members if rng.random() < 0.75] or [leader.id]
    learners = [node for node in members if node not in voters and rng.random() < 0.5]
    fresh = max(stage.replicas) + 1
    if fresh <= MOST_MEMBERS and rng.random() < 0.7:
        stage.join(fresh)
        learners.append(fresh)
    stage.note(lambda: f"{leader.id} changes to voters {voters}, learners {learners}")
    stage.give(leader, lambda raft: raft.change_members(voters, learners, leader.now))


RAFT: Algorithm[Raft] = Algorithm(
    name="raft",
    storage=STORAGE,
    message=Message,
    election=(RequestVote, Vote),
    first=_first,
    start=_start,
    checks=RaftChecks,
    walk_settings=_walk_settings,
    world_settings=_world_settings,
    plain_settings=Settings,
    state=lambda core: f"{core.role} of term {core.term}",
    leads=lambda core: core.role == "leader",
    compacted=lambda core: core.log.snapshot.index,
    spare=_spare,
    members=lambda core: core.log.configuration.members,
    steps=STEPS,
    acts=(Act(_transfer, (0.0, 0.0, 0.7), (0, 0, 4)), Act(_change_members, (0.0, 0.5, 2.0), (0, 0, 5))),
)
