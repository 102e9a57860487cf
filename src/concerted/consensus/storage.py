"""The file of one replica: its writes, one frame after the other, and what is read back from them after a crash.

    frame   length u32 | crc u32 | durable u64 | payload          little-endian; crc: CRC-32 of all but itself
    file    a frame that says whose it is, then one frame for each write

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
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Generic, Protocol, TypeVar

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.errors import StoreDamaged

__all__ = ["Contents", "Durable", "Recovered", "Storage"]

FRAME_BYTES = 1 << 30  # the most that one frame may have
CURE = "Remove the server from the cluster, and let a new one join under a new id."

S = TypeVar("S")  # what is read back
S_co = TypeVar("S_co", covariant=True)
W_contra = TypeVar("W_contra", contravariant=True)

_head = Struct("<IIQ")
_encoder = msgspec.msgpack.Encoder()


class Durable(Protocol):
    """What goes to the disk at once.  number: ascends.  snapshot: if there is one, the file is written anew."""

    @property
    def number(self) -> int:
        """Which write it is."""

    @property
    def snapshot(self) -> object | None:
        """What takes the place of much of the file, if anything does."""


W = TypeVar("W", bound=Durable)


class Contents(Protocol[S_co, W_contra]):
    """What a sequence of writes comes to."""

    def take(self, write: W_contra) -> None:
        """Take the next write."""

    def stored(self) -> S_co:
        """Return what a replica finds when it starts."""


@dataclass(frozen=True, slots=True)
class Recovered(Generic[S]):
    """What a file holds.  size_bytes: how long it is without its torn tail; it must be cut to that before it grows."""

    stored: S
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Storage(Generic[S, W]):
    """How one protocol's replicas are kept.

    name, version: of the format.  empty: what is stored where nothing is.  contents: begin from what is stored.
    encode, decode: a write as bytes.  whole: the one write that comes to what is stored.
    """

    name: str
    version: int
    empty: S
    contents: Callable[[S], Contents[S, W]]
    encode: Callable[[W], bytes]
    decode: Callable[[bytes], W]
    whole: Callable[[S], W]

    def begin(self, node: NodeId, stored: S) -> bytes:
        """Return a whole new file: for a replica that begins, or for an old one when its log was compacted."""
        return _framed(_encoder.encode((self.name, self.version, node)), 0) + self.frame(self.whole(stored), 0)

    def frame(self, write: W, durable_bytes: int) -> bytes:
        """Return what is to be appended for a write.  durable_bytes: how much of the file is known to be synced."""
        return _framed(self.encode(write), durable_bytes)

    def recover(self, node: NodeId, data: bytes) -> Recovered[S]:
        """Read a file back, without its torn tail.

        Raises:
            StoreDamaged: it is damaged where it was durable, or is another replica's, or of a newer version, or none.
        """
        payload = _payload(data, 0)
        if payload is None:
            raise StoreDamaged(
                f"the log of server {node} does not begin as one; is it another file, or damaged? {CURE}"
            )
        self._check_owner(node, payload)
        contents = self.contents(self.empty)
        at = _head.size + len(payload)
        while at < len(data):
            payload = _payload(data, at)
            if payload is None:
                _check_torn(node, data, at)
                break
            contents.take(self.decode(payload))
            at += _head.size + len(payload)
        return Recovered(contents.stored(), at)

    def _check_owner(self, node: NodeId, payload: bytes) -> None:
        try:
            name, version, owner = msgspec.msgpack.decode(payload, type=tuple[str, int, int])
        except msgspec.DecodeError:
            name, version, owner = "", 0, 0
        if name != self.name:
            raise StoreDamaged(f"the log of server {node} is no file of ours; name the right one")
        if version > self.version:
            raise StoreDamaged(
                f"the log of server {node} has version {version}, newer than {self.version}; use newer code"
            )
        if owner != node:
            raise StoreDamaged(f"this is the log of server {owner}, not of {node}; name the right file")


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
