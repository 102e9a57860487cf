"""How a replica stands, as it tells whoever asks."""

from __future__ import annotations

import msgspec

from concerted.consensus.keeping import Replicated
from concerted.consensus.quorum import NodeId
from concerted.replicas.spec import Address

__all__ = ["Status"]


class Status(msgspec.Struct, frozen=True):
    """How a replica stands.  role: leads, follows, or knows of no leader.  applied: the last entry it has applied.

    accused: replicas that have provably lied to it.  voters, learners: whose majority decides, and who is only sent the
    log, as far as it knows; is_settled: that is committed, and no change is under way.  addresses: where those listen
    that it knows.
    """

    group: str
    node: NodeId
    algorithm: Replicated
    leader: NodeId | None
    term: int
    applied: int
    accused: tuple[NodeId, ...] = ()
    voters: tuple[NodeId, ...] = ()
    learners: tuple[NodeId, ...] = ()
    is_settled: bool = True
    addresses: dict[NodeId, Address] = {}
