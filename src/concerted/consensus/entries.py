"""What every replicated log is made of, whichever protocol keeps it: entries and snapshots."""

from __future__ import annotations

import msgspec

from concerted.consensus.quorum import Configuration

__all__ = ["Entry", "Snapshot"]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log: a command for the state machine, a configuration, or neither (a no-op).

    term: in which it was proposed, which tells two entries with one index apart; of PBFT the number of its batch.
    """

    index: int
    term: int
    command: bytes | None = None
    configuration: Configuration | None = None


class Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state after all entries up to `index`, whose term is `term`, and the configuration then (Raft, section 7)."""

    index: int = 0
    term: int = 0
    configuration: Configuration = Configuration()
    data: bytes = b""
