"""The file of one server: its writes, one frame after the other, and what is read back from them after a crash.

    frame   length u32 | crc u32 | durable u64 | payload          little-endian; crc: CRC-32 of all but itself
    file    a frame that says whose it is, then one frame for each `Write`

`durable` is how many bytes of the file were synced when the frame was written.  A crash may tear what was not synced
yet, in any order; a frame that is torn, and all behind it, is cut off and was never acknowledged.  But if a later frame
that is whole says that the torn one was durable, the disk has lost what was promised: then nothing is guessed, and the
server does not start.  Damage to the newest frame of all cannot be told from a torn write; only other servers could
tell.

A log is compacted by a new file in the place of the old one, under a name that changes at once.  What is here turns
values into bytes and back; reading, writing, syncing and renaming are for whoever has the disk.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import Struct

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import NodeId
from concerted.consensus.raft.ready import Stored, Write
from concerted.errors import StoreDamaged

__all__ = ["Contents", "Recovered", "begin", "frame", "recover"]

FORMAT = "concerted raft log"
VERSION = 1
FRAME_BYTES = 1 << 30  # the most that one frame may have

_head = Struct("<IIQ")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a file holds.  size_bytes: how long it is without its torn tail; it must be cut to that before it grows."""

    stored: Stored
    size_bytes: int


class Contents:
    """What a sequence of writes comes to."""

    def __init__(self, stored: Stored) -> None:
        self.term, self.vote, self.snapshot = stored.term, stored.vote, stored.snapshot
        self.entries: list[Entry] = list(stored.entries)

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
            assert first == self.last_index + 1, f"a gap: entry {first} is written after {self.last_index}"
            self.entries += write.entries

    @property
    def last_index(self) -> int:
        """The index of the last entry, or of the snapshot."""
        return self.snapshot.index + len(self.entries)

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry; None if it is not there (any more)."""
        offset = index - self.snapshot.index
        if offset == 0:
            return self.snapshot.term
        return self.entries[offset - 1].term if 0 < offset <= len(self.entries) else None

    def stored(self) -> Stored:
        """Return what a server finds when it starts."""
        return Stored(self.term, self.vote, self.snapshot, tuple(self.entries))


def begin(node: NodeId, stored: Stored) -> bytes:
    """Return a whole new file: for a server that begins, or in the place of an old one when the log was compacted."""
    first = _framed(_encoder.encode((FORMAT, VERSION, node)), 0)
    write = Write(0, stored.term, stored.vote, stored.snapshot, True, stored.entries)
    return first + frame(write, 0)


def frame(write: Write, durable_bytes: int) -> bytes:
    """Return what is to be appended for a write.  durable_bytes: how much of the file is known to be synced."""
    return _framed(
        _encoder.encode((write.term, write.vote, write.snapshot, write.restores, write.entries)), durable_bytes
    )


def recover(node: NodeId, data: bytes) -> Recovered:
    """Read a file back, without its torn tail.

    Raises:
        StoreDamaged: it is damaged where it was durable, or is another server's, or of a newer version, or none.
    """
    payload = _payload(data, 0)
    if payload is None:
        raise StoreDamaged(f"the log of server {node} does not begin as one; is it another file, or damaged? {CURE}")
    _check_owner(node, payload)
    contents = Contents(Stored())
    at = _head.size + len(payload)
    while at < len(data):
        payload = _payload(data, at)
        if payload is None:
            _check_torn(node, data, at)
            break
        term, vote, snapshot, restores, entries = _writes.decode(payload)
        contents.take(Write(0, term, vote, snapshot, restores, entries))
        at += _head.size + len(payload)
    return Recovered(contents.stored(), at)


CURE = "Remove the server from the cluster, and let a new one join under a new id."


def _framed(payload: bytes, durable: int) -> bytes:
    assert len(payload) <= FRAME_BYTES, f"a write of {len(payload)} bytes; at most {FRAME_BYTES} fit into a frame"
    return _head.pack(len(payload), _crc(payload, durable), durable) + payload


def _crc(payload: bytes, durable: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_head.pack(len(payload), 0, durable)))


def _payload(data: bytes, at: int) -> bytes | None:
    """Return the payload of the frame at a place; None if there is no whole one."""
    if len(data) - at < _head.size:
        return None
    length, crc, durable = _head.unpack_from(data, at)
    payload = data[at + _head.size : at + _head.size + length]
    return payload if len(payload) == length and _crc(payload, durable) == crc else None


def _check_owner(node: NodeId, payload: bytes) -> None:
    try:
        name, version, owner = msgspec.msgpack.decode(payload, type=tuple[str, int, int])
    except msgspec.DecodeError:
        name, version, owner = "", 0, 0
    if name != FORMAT:
        raise StoreDamaged(f"the log of server {node} is no file of ours; name the right one")
    if version > VERSION:
        raise StoreDamaged(f"the log of server {node} has version {version}, newer than {VERSION}; use newer code")
    if owner != node:
        raise StoreDamaged(f"this is the log of server {owner}, not of {node}; name the right file")


def _check_torn(node: NodeId, data: bytes, torn: int) -> None:
    """Look behind a torn frame for one that says that it was durable."""
    for at in range(torn + 1, len(data) - _head.size + 1):
        if torn < _head.unpack_from(data, at)[2] <= at and _payload(data, at) is not None:
            raise StoreDamaged(
                f"the log of server {node} is damaged at byte {torn}, and what stands at byte {at} was written after "
                f"that was durable: what this server has promised is lost. {CURE}",
                node=node,
                at_byte=torn,
            )


_encoder = msgspec.msgpack.Encoder()
_writes = msgspec.msgpack.Decoder(tuple[int, NodeId | None, Snapshot | None, bool, tuple[Entry, ...]])
