"""What only Paxos can do in a simulation: agree on single values; and, on walks, what takes a long time to come about.

There are two such stories: several that propose for one key at once, and a leader that is heard by all but one, for as
long as that one has patience, and then is not heard for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concerted.consensus.paxos.messages import (
    Accept,
    Accepted,
    AcceptedValue,
    AcceptValue,
    Chosen,
    Prepare,
    PrepareValue,
    Promise,
    PromiseValue,
    Refused,
    RefusedValue,
)
from concerted.consensus.paxos.node import Paxos
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S, Stage
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.walk import exchange
from concerted.sim.cluster.wandering import Wandering
from concerted.sim.protocols.paxos_checks import PaxosChecks

__all__ = ["KEYS", "agree", "argue", "reign"]

KEYS = ("a", "b", "c", "d", "e", "f")
INVALID = 0.1  # the share of values that must not be chosen
BEATS = 30  # of a leader, at most, in one story

PHASE_1 = (PrepareValue, PromiseValue, RefusedValue)
PHASE_2 = (AcceptValue, AcceptedValue, RefusedValue)


def agree(stage: Stage[Paxos]) -> None:
    """Let somebody propose a value for a key; others may do so at the same time."""
    alive = _alive(stage)
    if alive:
        _propose(stage, stage.rng.choice(alive), stage.rng.choice(KEYS))


def argue(stage: Stage[Paxos]) -> None:
    """Let some propose for one key in quick succession, while everything else that is under way stays so."""
    assert isinstance(stage, Wandering), "this story is told on walks alone"
    rng, key = stage.rng, stage.rng.choice(KEYS)
    for _ in range(rng.choice((1, 2, 3))):
        alive = _alive(stage)
        if not alive:
            return
        _propose(stage, rng.choice(alive), key)
        exchange(stage, PHASE_1)
        if rng.random() < 0.7:
            exchange(stage, PHASE_2)
        if rng.random() < 0.5:
            exchange(stage, (Chosen,))


def reign(stage: Stage[Paxos]) -> None:
    """Let a leader be heard by all but one, until that one would lead itself; then let both go on."""
    assert isinstance(stage, Wandering), "this story is told on walks alone"
    rng, leader, alive = stage.rng, stage.leader(), _alive(stage)
    others = [replica for replica in alive if replica is not leader]
    if leader is None or not others:
        return
    rival = rng.choice(others)
    stage.note(lambda: f"{leader.id} reigns, and {rival.id} does not hear it")
    for _ in range(BEATS):
        if leader.running is None or leader.core.role != "leader" or not _wait_for(stage, leader, rival):
            break
        leader.wake()
        exchange(stage, (Accept, Accepted), without=(rival.id,))
    stage.pass_time(rng.choice((0.0, rng.uniform(0.0, 1.2 * ELECTION_TIMEOUT_S))))
    if rival.running is not None:
        _wait_until_due(stage, rival)
    if rng.random() < 0.2:
        for replica in others:
            if replica is not rival:
                replica.die()
                replica.start()
    if rival.running is not None:
        rival.wake()
        exchange(stage, (Prepare, Promise, Refused))
    if rng.random() < 0.5:
        exchange(stage, (Accept, Accepted), without=(leader.id,))
    for replica in (rival, leader):
        if replica.running is not None:
            stage.ask_of(replica)
            exchange(stage, (Accept, Accepted), without=(leader.id,))  # what the rival was asked goes through


def _wait_for(walk: Wandering[Any], leader: Replica[Paxos], rival: Replica[Paxos]) -> bool:
    """Let time go by up to the leader's next deadline, if the rival's patience does not end before."""
    due_s = _due_s(walk, leader)
    if rival.running is not None and rival.now + due_s * walk.rates.get(rival.id, 1.0) >= rival.core.next_deadline:
        return False
    _wait_until_due(walk, leader)
    return True


def _wait_until_due(walk: Wandering[Any], replica: Replica[Paxos]) -> None:
    """Let time go by for all, up to a replica's next deadline: no clock may jump, as leases rest on their pace."""
    walk.pass_time(_due_s(walk, replica))
    replica.now = max(replica.now, replica.core.next_deadline)  # but for what is lost in rounding


def _due_s(walk: Wandering[Any], replica: Replica[Paxos]) -> float:
    return max(replica.core.next_deadline - replica.now, 0.0) / walk.rates.get(replica.id, 1.0)


def _propose(stage: Stage[Paxos], replica: Replica[Paxos], key: str) -> None:
    checks = stage.checks
    assert isinstance(checks, PaxosChecks), f"{checks} are none of Paxos"
    checks.values += 1
    value = b"%s%d by %d" % (b"!" if stage.rng.random() < INVALID else b"", checks.values, replica.id)
    stage.note(lambda: f"{replica.id} proposes {value!r} for {key}")
    ready = stage.give(replica, lambda paxos: paxos.agree(key, value, replica.now))
    if ready.refused is None:
        checks.proposed[key].append(value)


def _alive(stage: Stage[Paxos]) -> Sequence[Replica[Paxos]]:
    return [replica for replica in stage.replicas.values() if replica.running is not None]
