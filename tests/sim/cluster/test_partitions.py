"""Partitions of a network."""

import random

from concerted.sim.cluster.partitions import ways_cut


def test_partitions_come_in_four_kinds() -> None:
    rng, nodes = random.Random(1), [1, 2, 3, 4, 5]
    found = [ways_cut(rng, nodes) for _ in range(200)]
    assert any(len(ways) == 1 for ways in found)
    one_way = [ways for ways in found if any((b, a) not in ways for a, b in ways)]
    assert one_way
    bridged = [
        ways for ways in found if len(ways) > 1 and any(not any(node in way for way in ways) for node in nodes)
    ]  # fmt: skip
    assert bridged
