"""Which tasks wait for each other in a circle, found in a graph of `after`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["find_cycles"]


def find_cycles(after: Mapping[str, Sequence[str]], limit: int = 10) -> list[list[str]]:
    """Return circles of waiting, at most `limit`, no two with a common member.

    after: node -> nodes it waits for; names that are no node are ignored.  A cycle [a, b, c] means: a
    waits for b, b for c, c for a.  It begins with its earliest member in the order of `after`; so do
    the cycles.  O((nodes + edges) x cycles returned).
    """
    order = {node: i for i, node in enumerate(after)}
    rest = {node: [other for other in others if other in order] for node, others in after.items()}
    cycles: list[list[str]] = []
    while len(cycles) < limit:
        rest = _stuck(rest)
        if not rest:
            break
        cycle = _walk(rest)
        first = min(range(len(cycle)), key=lambda i: order[cycle[i]])
        cycles.append(cycle[first:] + cycle[:first])
        for node in cycle:
            del rest[node]
    return sorted(cycles, key=lambda cycle: order[cycle[0]])


def _stuck(after: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the part of the graph in which nobody can ever begin: take away who waits for nobody left."""
    waiting = {node: sum(other in after for other in others) for node, others in after.items()}
    followers: dict[str, list[str]] = {node: [] for node in after}
    for node, others in after.items():
        for other in others:
            if other in followers:
                followers[other].append(node)
    free = [node for node, count in waiting.items() if count == 0]
    for node in free:  # grows while we go through it
        for follower in followers[node]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                free.append(follower)
    gone = set(free)
    return {
        node: [other for other in others if other in after and other not in gone]
        for node, others in after.items()
        if node not in gone
    }


def _walk(stuck: Mapping[str, Sequence[str]]) -> list[str]:
    """Follow the first wait of each node until one comes again; everybody who is stuck waits for somebody stuck."""
    seen: dict[str, int] = {}
    path: list[str] = []
    node = next(iter(stuck))
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = stuck[node][0]
    return path[seen[node] :]
