"""An agent that runs by itself: it joins the owner of a store, stays through changes of owner, and leaves in order.

looking --connected, welcome--> joined --connection lost--> looking (back-off)
joined | looking --SIGTERM, stop()--> leaving --nothing in hand, or the grace is over--> left
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import urllib.parse
import uuid
from collections import deque
from pathlib import Path

import msgspec

from concerted.agent.abilities import Abilities
from concerted.agent.addresses import socket_path, store_path
from concerted.agent.desk import Desk
from concerted.agent.inbox import FileInbox, Inbox
from concerted.agent.wire import (
    LINE_BYTES,
    Frame,
    Hello,
    Lines,
    Notice,
    TooLong,
    read_envelope,
    write_line,
)
from concerted.errors import ConcertedError, Invalid, Overloaded, Unreachable, from_wire
from concerted.messages import Beat, Reply
from concerted.values import Profile

__all__ = ["Service", "ServiceLimits", "inbox_path"]

READ_BYTES = 1 << 16
UNREAD_BYTES = 1 << 20  # unread by the owner; beyond it heartbeats are left out
UNSENT_REPLIES = 1_000  # replies kept while there is no owner; older ones are asked for again by key


class ServiceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a service.

    first_pause_s, longest_pause_s: between two attempts to find an owner, doubling.  patience_s: how long to go
    on without one; None for ever.  stop_grace_s: how long commands in hand may take at the end.
    """

    first_pause_s: float = 0.05
    longest_pause_s: float = 2.0
    patience_s: float | None = None
    stop_grace_s: float = 10.0


class Service:
    """One agent at a store's URL, from `run` until `stop`."""

    def __init__(
        self, agent: Abilities, url: str, inbox: Inbox | None = None, limits: ServiceLimits | None = None,
        token: str | None = None,
    ) -> None:  # fmt: skip
        """Take an agent.  inbox: by default a file beside the store, `STORE.agents/ID.inbox`.

        token: proves that it is this agent, where the store has principals.

        Raises:
            Invalid: the URL names no SQLite file.
            Conflict: the agent already runs in another process.
        """
        self._database = store_path(url)
        self._url = url
        self._agent = agent
        self._limits = limits or ServiceLimits()
        self._desk = Desk(agent, inbox if inbox is not None else FileInbox(inbox_path(self._database, agent.id)))
        self._incarnation = uuid.uuid4().hex
        self._token = token
        self._beat_s = 5.0
        self._writer: asyncio.StreamWriter | None = None
        self._welcome = False
        self._refusal: ConcertedError | None = None
        self._unsent: deque[Reply] = deque(maxlen=UNSENT_REPLIES)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop` is called.

        Raises:
            Unreachable: no owner was found within `patience_s`.
            ConcertedError: the owner turned the agent away; the class says why.
        """
        self._desk.open(self._answer, self._send_beat)
        self._agent.watchers.append(self._changed)
        stopped = asyncio.ensure_future(self._stop.wait())
        joined = asyncio.ensure_future(self._stay_joined())
        try:
            await asyncio.wait([stopped, joined], return_when=asyncio.FIRST_COMPLETED)
            if joined.done():
                joined.result()
            self._desk.closing = f"agent {self._agent.id} is leaving"
            await self._desk.drain(self._limits.stop_grace_s)
            await self._say_goodbye()
        finally:
            for task in (stopped, joined):
                task.cancel()
            await asyncio.wait([stopped, joined])
            self._agent.watchers.remove(self._changed)
            await self._desk.close()
            self._desk.inbox.close()

    def stop(self) -> None:
        """Leave: begin nothing new, finish what is in hand, say goodbye."""
        self._stop.set()

    def stop_at_signals(self) -> None:
        """Leave at SIGTERM and SIGINT; a second SIGINT interrupts at once."""
        loop = asyncio.get_running_loop()

        def interrupted() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            self.stop()

        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, interrupted)

    # the connection

    async def _stay_joined(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s, alone_since = self._limits.first_pause_s, loop.time()
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(socket_path(self._database), limit=LINE_BYTES)
            except OSError as error:
                patience_s = self._limits.patience_s
                if patience_s is not None and loop.time() - alone_since > patience_s:
                    raise Unreachable(f"nobody owns {self._url}: {error}; start `concerted serve` or a run") from error
            else:
                await self._stay(reader, writer)
                if self._refusal is not None and not isinstance(self._refusal, Unreachable | Overloaded):
                    raise self._refusal
                if self._welcome:
                    pause_s, alone_since = self._limits.first_pause_s, loop.time()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._limits.longest_pause_s)

    async def _stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say hello and do what comes, until the connection ends."""
        self._welcome, self._refusal = False, None
        hello = Hello(role="agent", profile=self._agent.profile, incarnation=self._incarnation, token=self._token)
        beats: asyncio.Task[None] | None = None
        lines = Lines()
        try:
            writer.write(write_line(Frame(hello=hello)))
            while data := await reader.read(READ_BYTES):
                for line in lines.feed(data):
                    self._take(line, writer)
                if self._welcome and beats is None:
                    beats = asyncio.get_running_loop().create_task(self._send_beats())
        except (OSError, TooLong, Invalid):
            pass  # whoever speaks there is ending, or is no owner; look again
        finally:
            self._writer = None
            if beats is not None:
                beats.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _take(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        """Take one line from the owner.

        Raises:
            Invalid: it is nothing that an owner says.
        """
        said = read_envelope(line)
        if not isinstance(said, Notice):
            self._desk.take(said)
            if self._desk.holds(said.idempotency_key) and self._writer is not None:
                self._write(Frame(ack=said.idempotency_key))  # taken: it need not be delivered again
        elif said.welcome is not None:
            self._welcome = True
            self._beat_s = said.welcome.beat_s
            self._writer = writer
            while self._unsent:
                self._write(Frame(reply=self._unsent.popleft()))
            self._send_beat(self._desk.heartbeat())
        else:
            self._refusal = from_wire(said.error or {})
            writer.close()

    async def _send_beats(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            self._send_beat(self._desk.heartbeat())

    async def _say_goodbye(self) -> None:
        writer = self._writer
        if writer is not None:
            self._write(Frame(bye="it was stopped"))
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.drain()

    # to the owner

    def _answer(self, reply: Reply) -> None:
        if self._writer is None or self._writer.is_closing():
            self._unsent.append(reply)
        else:
            self._write(Frame(reply=reply))

    def _send_beat(self, beat: Beat) -> None:
        if self._writer is not None and self._writer.transport.get_write_buffer_size() < UNREAD_BYTES:
            self._write(Frame(beat=beat))

    def _changed(self, profile: Profile) -> None:
        if self._writer is not None:
            self._write(Frame(changed=profile))

    def _write(self, frame: Frame) -> None:
        assert self._writer is not None
        line = write_line(frame)
        if len(line) > LINE_BYTES and frame.reply is not None:
            error = (
                f"the result has {len(line)} bytes; the bound of a message is {LINE_BYTES}: give a reference instead"
            )
            failed = msgspec.structs.replace(frame.reply, status="failed", value=None, error=error)
            line = write_line(Frame(reply=failed))
        self._writer.write(line)


def inbox_path(database: Path, agent: str) -> Path:
    """Return where an agent of this store keeps its inbox, and make the folder: `STORE.agents/ID.inbox`."""
    folder = Path(f"{database}.agents")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{urllib.parse.quote(agent, safe=' ')}.inbox"
