"""Raft in virtual time: it holds, it repeats itself, and a bug that is planted comes out with its command."""

import dataclasses
from collections.abc import Sequence

import pytest

from concerted.consensus.raft import replication
from concerted.sim.cluster.clients import Asked
from concerted.sim.cluster.settings import Settings
from concerted.sim.faults import Faults
from concerted.sim.protocols.raft import RAFT
from concerted.sim.worlds.play import Game, simulate_cluster
from concerted.sim.worlds.world import World, play_world

SWARM = Faults(swarm=True)


def test_a_world_holds_and_is_the_same_whenever_it_is_played() -> None:
    played = play_world(RAFT, 2, SWARM)
    assert played.problems == ()
    assert played.answered > 0
    assert play_world(RAFT, 2, SWARM) == played


def test_a_failure_prints_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a leader counts itself before its disk has written; a walk of this seed finds it."""

    def hasty(server) -> None:
        server.log.durable_index = server.log.last_index
        commit(server)

    commit = replication.try_to_commit
    monkeypatch.setattr(replication, "try_to_commit", hasty)
    report = simulate_cluster(Game("raft", Faults(drop=0.1)), range(1))
    [failure] = report.failures
    assert not report.ok
    assert failure.command == f"concerted simulate raft --seeds {failure.seed}..{failure.seed} --faults drop=0.1"
    assert "committed too early" in failure.problems[0]


def test_a_hundred_and_one_servers_are_played() -> None:
    played = play_world(RAFT, 1, SWARM, Settings(servers=101, seconds=10.0))
    assert played.problems == ()
    assert played.answered > 0
    assert played.messages > 1000


def test_what_clients_were_told_is_given_to_the_judge() -> None:
    def judge(history: Sequence[Asked]) -> list[str]:
        return [f"{len(history)} are too many"] if history else []

    report = simulate_cluster(Game("raft", SWARM, judge=judge), range(1))
    assert "too many" in report.failures[0].problems[0]
    assert report.failures[0].command == "concerted simulate raft --seeds 0..0"


def test_what_a_protocol_does_not_promise_to_survive_does_not_happen() -> None:
    every = Faults(swarm=True)
    drawn = [World(dataclasses.replace(RAFT, without=("jump",)), seed, every).faults for seed in range(20)]
    assert not any(faults.jump for faults in drawn)
    assert any(World(RAFT, seed, every).faults.jump for seed in range(20))
