"""How a Raft server behaves."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server behaves.  All servers of a cluster have the same election timeout.

    election_timeout_s: a follower that hears nothing for one to two of these stands for election.
    heartbeat_interval_s: how often an idle leader is heard; much less than the former.  batch_count, batch_bytes: of
    entries in one message.  piece_bytes: of a snapshot in one message.  window: messages with entries under way to one
    follower.  uncommitted_count: entries beyond which proposals are refused.  reads_count: reads that may wait.
    """

    election_timeout_s: float = 10.0
    heartbeat_interval_s: float = 2.0
    batch_count: int = 100
    batch_bytes: int = 1 << 20
    piece_bytes: int = 1 << 20
    window: int = 64
    uncommitted_count: int = 10_000
    reads_count: int = 10_000

    def __post_init__(self) -> None:
        assert 0 < self.heartbeat_interval_s < self.election_timeout_s, f"{self}: heartbeats must come in time"
        assert min(self.batch_count, self.batch_bytes, self.piece_bytes, self.window) > 0, f"{self}: nothing is sent"
        assert min(self.uncommitted_count, self.reads_count) > 0, f"{self}: nothing can be asked"
