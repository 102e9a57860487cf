"""The packages that cluster points: which they are; they live beside the other peers, each in its own environment."""

from __future__ import annotations

import sys

from beside.comparing import Contestant, beside
from peers import Peer

SKLEARN = Peer("scikit-learn", "1.7.2", "with_sklearn.py")
CONSTRAINED = Peer("k-means-constrained", "0.7.6", "with_constrained.py")


def ours(*wants: str) -> Contestant:
    """Let us part these points."""
    return Contestant("**concerted**", sys.executable, "with_concerted_clusters.py", wants)


def theirs(peer: Peer, *wants: str) -> Contestant:
    """Let a peer part these points."""
    return beside(peer, *wants)
