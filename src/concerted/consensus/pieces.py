"""A snapshot on its way, in pieces of bounded size, so that nothing else waits long behind it (figure 13).

    sending    piece --answered with how much is there--> the next piece ... --all of it is--> done
               --answered with less than there was, or the log has a newer snapshot--> the first piece
    arriving   nothing --the first piece--> some --each piece that follows--> whole: the snapshot
               some --a piece of a newer snapshot, or from elsewhere, or one that does not follow--> nothing

One piece is under way at a time.  Each says of which snapshot it is and where in that it stands, and has the CRC-32 of
all data up to its own end: so what has arrived is always the beginning of one snapshot, and nothing is used before all
of it is there.  What has arrived is in memory alone; after a crash the other side hears that nothing is there, and
begins again.

Why here and not below the cores: so the simulator plays it, and each answer tells the leader that the follower lives
and how far it is.  Replicas that may lie have a way of their own (`pbft/checkpoints`).

Source: Ongaro & Ousterhout 2014, section 7 and figure 13.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import msgspec

from concerted.consensus.entries import Snapshot
from concerted.consensus.quorum import Configuration, NodeId

__all__ = ["Arriving", "Piece", "Sending"]

Stay = tuple[NodeId, int, int]  # who sends: a leader, its term or ballot, and its session
NOWHERE: Stay = (0, 0, 0)


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a snapshot.

    index, term, configuration: as of the snapshot; size_bytes: of all its data.  offset: where this part begins.
    crc: CRC-32 of the data from the beginning of the snapshot to the end of this part.
    """

    index: int
    term: int
    configuration: Configuration
    size_bytes: int
    offset: int
    crc: int
    data: bytes


@dataclass(slots=True)
class Sending:
    """A snapshot that is being sent.  offset: so much has arrived; crc: of that."""

    snapshot: Snapshot
    offset: int = 0
    crc: int = 0

    def piece(self, size_bytes: int) -> Piece:
        """Return what follows, of at most so many bytes."""
        of = self.snapshot
        data = of.data[self.offset : self.offset + size_bytes]
        return Piece(
            of.index, of.term, of.configuration, len(of.data), self.offset, zlib.crc32(data, self.crc), data
        )  # fmt: skip

    def answered(self, offset: int, arrived_bytes: int) -> bool:
        """Take the answer to the piece at an offset; say whether to send another piece now.

        An answer to any other piece than the one under way is old, and does nothing.
        """
        if offset != self.offset or arrived_bytes == offset:
            return False
        data = self.snapshot.data
        if offset < arrived_bytes <= len(data):
            self.crc = zlib.crc32(memoryview(data)[offset:arrived_bytes], self.crc)
            self.offset = arrived_bytes
        else:
            self.offset = self.crc = 0  # the other side has lost what it had
        return True


@dataclass(slots=True)
class Arriving:
    """The one snapshot of which pieces are here.  index: of it; 0: there is none.  size_bytes: how much is here."""

    index: int = 0
    size_bytes: int = 0
    _by: Stay = NOWHERE
    _crc: int = 0
    _parts: list[bytes] = field(default_factory=list)

    def take(self, by: Stay, piece: Piece) -> Snapshot | None:
        """Take a piece if it is the next one; return the snapshot when it is whole.

        A piece of a snapshot older than the one that is arriving from there comes late, and does nothing.
        """
        if by == self._by and piece.index < self.index:
            return None
        if (by, piece.index) != (self._by, self.index):
            self.forget()
            self.index, self._by = piece.index, by
        if piece.offset != self.size_bytes:
            return None
        crc = zlib.crc32(piece.data, self._crc)
        if crc != piece.crc:
            self.forget()
            return None
        self._parts.append(piece.data)
        self._crc = crc
        self.size_bytes += len(piece.data)
        if self.size_bytes < piece.size_bytes:
            return None
        whole = Snapshot(piece.index, piece.term, piece.configuration, b"".join(self._parts))
        self.forget()
        return whole

    def forget(self) -> None:
        """Let go of what is here."""
        self.index = self.size_bytes = self._crc = 0
        self._by, self._parts = NOWHERE, []
