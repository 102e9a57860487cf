"""How a Paxos replica behaves."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a replica behaves.  All replicas of a group have the same election timeout and drift.

    election_timeout_s: who hears no leader for one to two of these would lead; who hears one promises nobody else
    anything for that long.  heartbeat_interval_s: how often an idle leader is heard; much less than the former.
    drift: how much faster or slower than true time any clock may run, as a share; then a leader that a majority has
    answered answers reads by itself for a while (its lease).  1: nothing is known of clocks, and reads take a round.

    batch_count, batch_bytes: of entries in one message.  piece_bytes: of a snapshot in one message.
    window: messages with entries under way to one replica.  uncommitted_count: entries beyond which commands are
    refused.  reads_count: reads that may wait.

    retry_s: after about so long an attempt to agree on one value is given up for the next; doubled with each, up to the
    election timeout.  keys_count: who knows of so many keys proposes for no further one (so all know of at most so many
    for each replica).  value_bytes: how long each value may be.
    """

    election_timeout_s: float = 10.0
    heartbeat_interval_s: float = 2.0
    drift: float = 0.01
    batch_count: int = 100
    batch_bytes: int = 1 << 20
    piece_bytes: int = 1 << 20
    window: int = 64
    uncommitted_count: int = 10_000
    reads_count: int = 10_000
    retry_s: float = 0.5
    keys_count: int = 10_000
    value_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        assert 0 < self.heartbeat_interval_s < self.election_timeout_s, f"{self}: heartbeats must come in time"
        assert 0 < self.retry_s <= self.election_timeout_s, f"{self}: an attempt is over within an election timeout"
        assert 0 <= self.drift <= 1, f"{self}: no clock stands still, or runs backwards"
        assert min(self.batch_count, self.batch_bytes, self.piece_bytes, self.window) > 0, f"{self}: nothing is sent"
        assert min(self.uncommitted_count, self.reads_count) > 0, f"{self}: nothing can be asked"
        assert min(self.keys_count, self.value_bytes) > 0, f"{self}: nothing can be agreed on"

    @property
    def lease_s(self) -> float:
        """How long a lease is, by the leader's clock: shorter than a promise is, by the clock of whoever gave it."""
        return self.election_timeout_s * (1 - self.drift) / (1 + self.drift)
