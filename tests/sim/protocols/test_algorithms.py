"""The protocols that can be played."""

from concerted.sim.protocols.algorithms import ALGORITHMS


def test_a_protocol_is_found_under_its_name() -> None:
    assert all(name == algorithm.name for name, algorithm in ALGORITHMS.items())
    assert {"raft", "paxos"} <= set(ALGORITHMS)
