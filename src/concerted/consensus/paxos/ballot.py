"""Ballots, the numbers of proposals: a round, and the id of the node that may propose in it, as one number.

    ballot 3002 is round 3 of node 2

"Different proposers choose their numbers from disjoint sets of numbers, so two different proposers never issue a
proposal with the same number" (2.5).  A node never uses one twice: it has promised it to itself, on its disk, before
anybody hears of it.  0 is no ballot.

Source: Lamport, Paxos made simple, 2001, sections 2.2 and 2.5.
"""

from __future__ import annotations

from concerted.consensus.quorum import NodeId

__all__ = ["NODES", "Ballot", "ballot_above", "owner_of", "round_of"]

Ballot = int
NODES = 1000  # ids are below this


def ballot_above(ballot: Ballot, node: NodeId) -> Ballot:
    """Return the first ballot of a node in a round after that of another ballot."""
    assert 0 < node < NODES, f"node {node}: ids are from 1 to {NODES - 1}"
    return (round_of(ballot) + 1) * NODES + node


def round_of(ballot: Ballot) -> int:
    """Return its round."""
    return ballot // NODES


def owner_of(ballot: Ballot) -> NodeId:
    """Return who may propose in it."""
    return ballot % NODES
