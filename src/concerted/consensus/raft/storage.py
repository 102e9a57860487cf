"""What one Raft server keeps on its disk (figure 2, persistent state), and its bytes."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import NodeId
from concerted.consensus.storage import Storage

__all__ = ["STORAGE", "Contents", "Stored", "Write"]


EMPTY = Snapshot()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a server reads back from its disk when it starts (figure 2, persistent state)."""

    term: int = 0
    vote: NodeId | None = None
    snapshot: Snapshot = EMPTY
    entries: tuple[Entry, ...] = ()


class Write(msgspec.Struct, frozen=True):
    """What goes to the disk, at once.  term, vote: as they are from now on.

    snapshot: replaces all entries up to its index; if it came from the leader (`restores`), all entries there are.
    entries: replace whatever stands at the index of the first of them and after it.
    """

    number: int
    term: int
    vote: NodeId | None
    snapshot: Snapshot | None = None
    restores: bool = False
    entries: tuple[Entry, ...] = ()


class Contents:
    """What a sequence of writes comes to.  last_index: of the last entry, or of the snapshot."""

    def __init__(self, stored: Stored) -> None:
        self.term, self.vote, self.snapshot = stored.term, stored.vote, stored.snapshot
        self.entries: list[Entry] = list(stored.entries)
        self.last_index = self.snapshot.index + len(self.entries)

    def take(self, write: Write) -> None:
        """Take the next write."""
        self.term, self.vote = write.term, write.vote
        if write.snapshot is not None:
            gone = len(self.entries) if write.restores else write.snapshot.index - self.snapshot.index
            self.snapshot = write.snapshot
            del self.entries[:gone]
        if write.entries:
            first = write.entries[0].index
            del self.entries[first - self.snapshot.index - 1 :]
            last_index = self.snapshot.index + len(self.entries)
            assert first == last_index + 1, f"a gap: entry {first} is written after {last_index}"
            self.entries += write.entries
        self.last_index = self.snapshot.index + len(self.entries)

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry; None if it is not there (any more)."""
        base = self.snapshot.index
        if base < index <= self.last_index:
            return self.entries[index - base - 1].term
        return self.snapshot.term if index == base else None

    def stored(self) -> Stored:
        """Return what a server finds when it starts."""
        return Stored(self.term, self.vote, self.snapshot, tuple(self.entries))


def _encode(write: Write) -> bytes:
    return _encoder.encode((write.term, write.vote, write.snapshot, write.restores, write.entries))


def _decode(payload: bytes) -> Write:
    return Write(0, *_writes.decode(payload))


def _whole(stored: Stored) -> Write:
    return Write(0, stored.term, stored.vote, stored.snapshot, True, stored.entries)


_encoder = msgspec.msgpack.Encoder()
_writes = msgspec.msgpack.Decoder(tuple[int, NodeId | None, Snapshot | None, bool, tuple[Entry, ...]])

STORAGE: Storage[Stored, Write] = Storage("concerted raft log", 1, Stored(), Contents, _encode, _decode, _whole)
