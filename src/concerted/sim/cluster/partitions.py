"""Partitions of a network: which ways are cut, of all that there are between servers."""

from __future__ import annotations

import random

from concerted.consensus.quorum import NodeId

__all__ = ["Way", "ways_cut"]

Way = tuple[NodeId, NodeId]  # from, to


def ways_cut(rng: random.Random, nodes: list[NodeId]) -> frozenset[Way]:
    """Draw a partition: one way, all ways around one server, between two halves, or between these but for a bridge."""
    one, other = rng.choice(nodes), rng.choice(nodes)
    kind = rng.choice(("way", "server", "halves", "bridge"))
    if kind == "way":
        return frozenset({(one, other)})
    if kind == "server":
        return frozenset({(one, node) for node in nodes} | {(node, one) for node in nodes})
    side = {node for node in nodes if rng.random() < 0.5}
    ways = {(a, b) for a in nodes for b in nodes if (a in side) != (b in side)}
    return frozenset(way for way in ways if kind == "halves" or one not in way)
