"""Damage to disks that is beyond repair, and how much of it a cluster is given: no more than it promises to survive.

A flipped bit in what was durable stops a server for good (`store_damaged`).  In the newest frame of a file it would
pass for a torn write, and the server would go on without something that it has promised; that is not survived by any
protocol that trusts its disk, so it is left out here, as a disk of yesterday is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, TypeVar

from concerted.consensus.quorum import NodeId
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.cluster.replica import Replica

__all__ = ["flip_a_bit", "lost_among"]

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


def lost_among(replicas: Mapping[NodeId, Replica[Any]]) -> set[NodeId]:
    """Return whose disks are damaged."""
    return {node for node, replica in replicas.items() if replica.is_lost}


def flip_a_bit(
    algorithm: Algorithm[C], replica: Replica[C], replicas: Mapping[NodeId, Replica[C]], rng: random.Random
) -> bool:
    """Flip a bit on the disk of a server that lives, if all others live and can spare it; say whether that was done.

    All must live, since a configuration in which it is needed may be known to one of the dead alone.
    """
    lost = lost_among(replicas)
    others = [other for node, other in replicas.items() if node not in lost]
    if any(other.running is None for other in others):
        return False
    if not algorithm.spare([other.core for other in others])(lost | {replica.id}):
        return False
    replica.disk.flip(rng)
    return True
