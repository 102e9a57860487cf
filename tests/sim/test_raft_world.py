"""Raft in virtual time: it holds, it repeats itself, and a bug that is planted comes out with its command."""

from collections.abc import Sequence

import pytest

from concerted.consensus.raft import replication
from concerted.sim.faults import Faults
from concerted.sim.raft_clients import Asked
from concerted.sim.raft_play import simulate_raft
from concerted.sim.raft_world import play_raft

SWARM = Faults(swarm=True)


def test_a_world_holds_and_is_the_same_whenever_it_is_played() -> None:
    played = play_raft(2, SWARM)
    assert played.problems == ()
    assert played.answered > 0
    assert play_raft(2, SWARM) == played


def test_a_failure_prints_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a leader counts itself before its disk has written; a walk of this seed finds it."""

    def hasty(server) -> None:
        server.log.durable_index = server.log.last_index
        commit(server)

    commit = replication.try_to_commit
    monkeypatch.setattr(replication, "try_to_commit", hasty)
    report = simulate_raft(range(1), Faults(drop=0.1))
    [failure] = report.failures
    assert not report.ok
    assert failure.command == f"concerted simulate raft --seeds {failure.seed}..{failure.seed} --faults drop=0.1"
    assert "committed too early" in failure.problems[0]


def test_what_clients_were_told_is_given_to_the_judge() -> None:
    def judge(history: Sequence[Asked]) -> list[str]:
        return [f"{len(history)} are too many"] if history else []

    report = simulate_raft(range(1), SWARM, judge=judge)
    assert "too many" in report.failures[0].problems[0]
    assert report.failures[0].command == "concerted simulate raft --seeds 0..0"
