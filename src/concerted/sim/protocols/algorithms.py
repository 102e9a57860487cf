"""The protocols that can be played, by name."""

from __future__ import annotations

from typing import Any

from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.protocols.paxos import PAXOS
from concerted.sim.protocols.raft import RAFT

__all__ = ["ALGORITHMS"]

ALGORITHMS: dict[str, Algorithm[Any]] = {algorithm.name: algorithm for algorithm in (RAFT, PAXOS)}
