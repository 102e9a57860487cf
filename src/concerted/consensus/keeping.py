"""How a log is kept, whatever is promised over it: by what, and what that survives.

That an entry is kept says nothing about what anybody thinks of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["ALGORITHMS", "REPLICATED", "Algorithm", "Replicated", "is_elsewhere", "stored_by"]

Replicated = Literal["raft", "paxos", "pbft"]
Algorithm = Literal["single", "database", "raft", "paxos", "pbft"]

REPLICATED: tuple[Replicated, ...] = ("raft", "paxos", "pbft")  # by a group of replicas, and not by the store

ALGORITHMS: Mapping[Algorithm, str] = {
    "single": "the embedded store: one file, one fault domain",
    "database": "PostgreSQL: any coordinator may die; one fault domain, the database",
    "raft": "Raft: of 2f + 1 replicas f may crash, be slow or be cut off; none may lie",
    "paxos": "Paxos: of 2f + 1 replicas f may crash, be slow or be cut off; none may lie",
    "pbft": "PBFT: of 3f + 1 replicas f may do anything, and lie",
}


def stored_by(algorithm: Algorithm) -> tuple[str, ...]:
    """Name what keeps a log that is kept like this."""
    return (ALGORITHMS[algorithm],)


def is_elsewhere(state: object) -> bool:
    """Say whether the log of this decision, agreement or log is kept by a group of replicas."""
    return getattr(state, "algorithm", None) in REPLICATED
