"""Paxos as the simulator plays it: settings that change much, clocks that drift, and single values beside the log."""

from __future__ import annotations

import random
from collections.abc import Sequence

from concerted.consensus.entries import Snapshot
from concerted.consensus.paxos.messages import Message, Prepare, Promise, Refused
from concerted.consensus.paxos.node import Paxos
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.paxos.storage import STORAGE, Stored
from concerted.consensus.quorum import Configuration, majority
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S, PIECE_BYTES, Act, Algorithm, Spare, Stage
from concerted.sim.cluster.replica import Beginning
from concerted.sim.protocols.paxos_acts import KEYS, agree, argue, reign
from concerted.sim.protocols.paxos_checks import PaxosChecks
from concerted.sim.protocols.paxos_steps import STEPS

__all__ = ["PAXOS"]

DRIFT = 0.05  # as far apart as the clocks of a world can run
PaxosStage = Stage[Paxos]


def _first(configuration: Configuration) -> Stored:
    return Stored(snapshot=Snapshot(configuration=configuration))


def _is_valid(_key: str, value: bytes) -> bool:
    return not value.startswith(b"!")


def _start(beginning: Beginning) -> Paxos:
    return Paxos(
        beginning.node,
        beginning.settings,
        beginning.stored,
        dice=beginning.dice,
        now=beginning.now,
        valid=_is_valid,
    )


def _walk_settings(rng: random.Random) -> Settings:
    return Settings(
        election_timeout_s=ELECTION_TIMEOUT_S,
        heartbeat_interval_s=rng.choice((1.0, 3.0)),
        piece_bytes=PIECE_BYTES,
        drift=rng.choice((1.0, 0.0, DRIFT, 0.3)),
        batch_count=rng.choice((1, 1, 3, 100)),
        window=rng.choice((1, 2, 16)),
        uncommitted_count=rng.choice((5, 1000)),
        keys_count=rng.choice((2, 100)),
    )


def _world_settings(rng: random.Random) -> Settings:
    return Settings(
        election_timeout_s=ELECTION_TIMEOUT_S,
        heartbeat_interval_s=2.0,
        piece_bytes=PIECE_BYTES,
        drift=rng.choice((1.0, DRIFT, DRIFT)),
        batch_count=rng.choice((1, 5, 100)),
        window=rng.choice((1, 4, 64)),
        uncommitted_count=rng.choice((10, 10_000)),
    )


def _drift(settings: Settings) -> float | None:
    """Leases rely on clocks; without them these may do what they like."""
    return settings.drift if settings.lease_s else None


def _spare(cores: Sequence[Paxos]) -> Spare:
    """A majority of the members, who never change, must live."""
    voters = cores[0].log.snapshot.configuration.voters
    return lambda dead: len(set(voters) - dead) >= majority(len(voters))


def _heal(stage: PaxosStage) -> None:
    """Let all who live propose something for every key."""
    for _ in range(len(KEYS)):
        agree(stage)


def _is_done(stage: PaxosStage) -> bool:
    """Whatever anybody who lives has proposed has come to something."""
    return not any(replica.core.agreeing_count for replica in stage.replicas.values() if replica.running is not None)


PAXOS: Algorithm[Paxos] = Algorithm(
    name="paxos",
    storage=STORAGE,
    message=Message,
    election=(Prepare, Promise, Refused),
    first=_first,
    start=_start,
    checks=PaxosChecks,
    walk_settings=_walk_settings,
    world_settings=_world_settings,
    plain_settings=Settings,
    state=lambda core: f"{core.role} of term {core.term}",
    leads=lambda core: core.role == "leader",
    compacted=lambda core: core.log.snapshot.index,
    spare=_spare,
    members=lambda core: core.log.snapshot.configuration.voters,
    steps=STEPS,
    acts=(
        Act(agree, (0.0, 1.0, 6.0), (0, 20, 60)),
        Act(argue, (0.0, 0.0, 2.0), (0,)),
        Act(reign, (0.0, 0.0, 1.0, 4.0), (0,)),
    ),
    drift=_drift,
    heal=_heal,
    done=_is_done,
)
