"""How a PBFT replica behaves."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a replica behaves.  All replicas of a group have the same settings.

    request_timeout_s: a backup that waits longer for a request wants another primary; it doubles with each view change
    in a row, up to longest_timeout_s (section 4.5.2).  retry_interval_s: how often a replica that waits for something
    says what it has, so that others send it what was lost.  batch_count, batch_bytes: of requests in one pre-prepare.
    piece_bytes: of a state, as it is signed and sent.  pipeline_count: batches under way, beyond which the primary lets
    requests gather.  checkpoint_interval: K, sequence numbers from one checkpoint to the next; window: L, from the low
    watermark to the high one (4.3).  waiting_count: requests that may wait.  numbers_count: by how many later ones of
    its client a request may be overtaken, and still be carried out.
    """

    request_timeout_s: float = 10.0
    longest_timeout_s: float = 160.0
    retry_interval_s: float = 2.0
    batch_count: int = 100
    batch_bytes: int = 1 << 20
    piece_bytes: int = 1 << 20
    pipeline_count: int = 4
    checkpoint_interval: int = 100
    window: int = 200
    waiting_count: int = 10_000
    numbers_count: int = 1_000

    def __post_init__(self) -> None:
        assert 0 < self.retry_interval_s <= self.request_timeout_s <= self.longest_timeout_s, f"{self}: of no use"
        assert 0 < self.checkpoint_interval < self.window, f"{self}: the window must be larger than the interval"
        assert min(self.batch_count, self.batch_bytes, self.piece_bytes, self.pipeline_count) > 0, f"{self}"
        assert min(self.waiting_count, self.numbers_count) > 0, f"{self}"
