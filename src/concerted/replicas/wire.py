"""How replicas and their clients talk: frames of msgpack over a stream, many in one write.

    frame     length u32, little-endian | msgpack
    greeting  a Hello, once, from whoever connects
    replica -> replica   a list of the protocol's messages
    client -> replica    an Asked;   replica -> client   a Told

A channel gathers what is said within one turn of the loop into one write.  Whoever sends what cannot be understood, or
more than it may, is hung up on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import os
import socket
from collections.abc import Awaitable, Callable
from struct import Struct
from typing import Literal

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.errors import Invalid
from concerted.replicas.spec import Address

__all__ = [
    "ASKED_BYTES",
    "FRAME_BYTES",
    "HELLO_BYTES",
    "UNSENT_BYTES",
    "Asked",
    "Change",
    "Channel",
    "Hello",
    "Told",
    "connect",
    "is_member",
    "listen",
]

HELLO_BYTES = 1 << 16  # the longest frame of somebody who has not said who it is
ASKED_BYTES = 8 << 20  # of a client
FRAME_BYTES = 1 << 30  # of a replica: all that it says to another one in one step
UNSENT_BYTES = 64 << 20  # not taken by the other side yet; beyond it, a channel is closed
ROOM_BYTES, MOST_ROOM_BYTES = 1 << 12, 1 << 18  # for one read; it grows with a channel's reads
BACKLOG = 1024  # who may wait to be let in

Verb = Literal["propose", "agree", "read", "wait", "status", "events", "history", "change", "forget"]

_length = Struct("<I")


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """Who connects.  node: of a replica, and address: where that listens; 0 for a client."""

    group: str
    secret: str
    node: NodeId = 0
    address: Address = ""


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """What a client asks.

    propose: body is a session's command.  read: as everybody who was answered before has left it; wait: tell me when
    it is not pending any more; both: body is a command that only looks.  events: of the object that body names, after
    number `after`, as soon as there are any; history: those that there are, as with `read`.  status: how this replica
    stands.  change: begin to make others the members; body is a `Change`.  forget: the one who asked under this id
    waits no longer, and is told nothing.
    """

    id: int
    verb: Verb
    body: bytes = b""
    agent: str = ""
    after: int = 0


class Change(msgspec.Struct, frozen=True, array_like=True):
    """Who is to belong to the group: whose majority decides, and who is only sent the log."""

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...] = ()


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What a client is told.

    ok: body is the answer.  not_leader: ask `leader`, if that is known, or another one; nothing is known of what
    became of it.  overloaded: later.
    """

    id: int
    status: Literal["ok", "not_leader", "overloaded"]
    body: bytes = b""
    leader: NodeId = 0


class Channel(asyncio.BufferedProtocol):
    """One connection.

    take: gets each frame; if it raises Invalid, the channel is closed.  lost: hears of the end.  longest_bytes: what
    the other side may send in one frame; a longer one closes the channel before it is read.
    """

    def __init__(
        self,
        take: Callable[[Channel, bytes], None],
        lost: Callable[[Channel], None] = lambda _channel: None,
        longest_bytes: int = FRAME_BYTES,
    ) -> None:
        self.longest_bytes = longest_bytes
        self._take = take
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._room = bytearray(ROOM_BYTES)
        self._data = bytearray()
        self._out: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether what is sent now may arrive."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def unsent_bytes(self) -> int:
        """How much the other side has not taken yet, of what was sent before this turn of the loop."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, payload: bytes) -> None:
        """Send one frame at the end of this turn of the loop; nothing, once the channel is closed."""
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(_length.pack(len(payload)))
        self._out.append(payload)

    def close(self) -> None:
        """Send what is gathered, and end it.  Idempotent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once; what is on its way is lost.  Idempotent."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002
        """Say where the next read goes: always here, where asyncio would take 256 KiB anew for each."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Cut what has come into frames."""
        if not self.is_open:
            return
        buffer, room = self._data, self._room
        buffer += memoryview(room)[:nbytes]
        if nbytes == len(room) < MOST_ROOM_BYTES:
            self._room = bytearray(4 * nbytes)
        at = 0
        while len(buffer) - at >= 4:
            (length,) = _length.unpack_from(buffer, at)
            if length > self.longest_bytes:
                self.abort()
                return
            if len(buffer) - at - 4 < length:
                break
            frame = bytes(buffer[at + 4 : at + 4 + length])
            at += 4 + length
            try:
                self._take(self, frame)
            except (Invalid, msgspec.MsgspecError):
                self.abort()
            if not self.is_open:
                return
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End."""
        self._transport = None
        self._out.clear()
        self._lost(self)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None:
            if self.unsent_bytes > UNSENT_BYTES:
                self.abort()
            else:
                self._transport.write(b"".join(out))


async def connect(address: Address, hello: Hello, make: Callable[[], Channel]) -> Channel:
    """Open a channel to a replica and say who we are.

    Raises:
        OSError: nobody listens there.
    """
    loop = asyncio.get_running_loop()
    opening: Awaitable[tuple[asyncio.Transport, Channel]]
    if "/" in address:
        opening = loop.create_unix_connection(make, address)
    else:
        host, _, port = address.rpartition(":")
        opening = loop.create_connection(make, host.strip("[]"), int(port))
    _, channel = await opening
    channel.send(msgspec.msgpack.encode(hello))
    return channel


async def listen(address: Address, make: Callable[[], Channel]) -> asyncio.Server:
    """Listen at an address; at a path, for this user alone.

    Raises:
        OSError: it is taken, or not ours.
    """
    loop = asyncio.get_running_loop()
    if "/" in address:
        return await loop.create_unix_server(make, sock=_bound(address), backlog=BACKLOG)
    host, _, port = address.rpartition(":")
    return await loop.create_server(make, host.strip("[]"), int(port), backlog=BACKLOG)


def _bound(path: str) -> socket.socket:
    """Take the name of a socket, from one that was killed if need be, and never from one that listens."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(FileNotFoundError):
            try:
                probe.setblocking(False)
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            except BlockingIOError:  # so many wait to be let in that there is somebody
                raise _taken(path) from None
            else:
                raise _taken(path)
        before = os.umask(0o177)  # it is made with its mode, so there is no moment in which others may connect
        try:
            bound.bind(path)
        finally:
            os.umask(before)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _taken(path: str) -> OSError:
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def is_member(hello: Hello, group: str, secret: str) -> bool:
    """Say whether somebody who connects knows the group's secret."""
    return hello.group == group and hmac.compare_digest(hello.secret.encode(), secret.encode())
