"""The socket link: an agent that runs by itself and has connected to the store's owner.

The door that accepts connections reads the first line and, if it is an agent's hello, hands the connection
over to a `SocketLink`.  When the agent comes again, by reconnecting, that is a new link.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from concerted.agent.wire import Frame, Hello, Lines, Notice, TooLong, Welcome, as_reply, read_frame, write_line
from concerted.errors import Invalid
from concerted.links.spawn import READ_BYTES
from concerted.messages import Beat, Envelope
from concerted.ports.link import LinkEvents
from concerted.values import AgentId, Profile

__all__ = ["FAULTS", "QUEUE_BYTES", "SocketLink"]

QUEUE_BYTES = 8 << 20  # what an agent has not read yet; beyond it commands are left out, to be delivered again
FAULTS = 100  # bad lines of one connection, after which it is closed
CLOSE_S = 1.0  # how long `close` waits for what is written to leave


class SocketLink:
    """One connection of one agent.

    hello: what it said first; it names the profile.  beat_s: how often it is asked to send heartbeats.  When the
    connection ends, the agent is suspected; whether it is gone, the age of its last heartbeat says.  A goodbye
    means that it is gone at once.
    """

    pushes_beats = True
    in_process = False

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello, beat_s: float = 5.0
    ) -> None:
        if hello.profile is None:
            raise Invalid("an agent's hello must hold its profile")
        self.profile: Profile = hello.profile
        self.agent: AgentId = hello.profile.id
        self.incarnation = hello.incarnation
        self._reader, self._writer = reader, writer
        self._beat_s = beat_s
        self._events: LinkEvents | None = None
        self._listener: asyncio.Task[None] | None = None
        self._in_hand: dict[str, float] = {}  # key -> when the agent last spoke of it, monotonic
        self._faults = 0
        self._clock: Callable[[], float] = time.monotonic

    async def open(self, events: LinkEvents) -> None:
        """Tell the agent that it is welcome, and listen."""
        self._events = events
        self._writer.write(write_line(Notice(welcome=Welcome(agent=self.agent, beat_s=self._beat_s))))
        self._listener = asyncio.get_running_loop().create_task(self._listen(), name=f"link to {self.agent}")

    def send(self, batch: Sequence[Envelope]) -> None:
        """Write commands, in order, as one piece; what an agent does not read in time is left out."""
        if self._events is None or self._writer.is_closing():
            return
        unread = self._writer.transport.get_write_buffer_size()
        if unread > QUEUE_BYTES:
            self._fault("queue_full", f"{unread} bytes wait to be read; {len(batch)} commands were left out")
            return
        self._writer.write(b"".join(map(write_line, batch)))

    def holds(self, key: str) -> bool:
        """Say whether the agent has said that it took this command and, as far as its heartbeats tell, has it still."""
        return key in self._in_hand

    async def close(self, reason: str) -> None:  # noqa: ARG002
        """Close the connection.  The agent goes on, and looks for the store's next owner."""
        self._events = None
        self._in_hand.clear()
        listener, self._listener = self._listener, None
        if listener is not None and listener is not asyncio.current_task():
            listener.cancel()
            await asyncio.wait([listener])
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()

    async def _listen(self) -> None:
        reason = "its connection has ended"
        lines = Lines()
        try:
            while data := await self._reader.read(READ_BYTES):
                for line in lines.feed(data):
                    self._take(line)
        except TooLong as error:
            self._fault("line_too_long", str(error))
            reason = "its connection was closed after a line too long"
        except OSError as error:
            reason = f"its connection has broken: {error}"
        self._in_hand.clear()
        self._writer.close()
        if self._events is not None:
            self._events.suspected(self.agent, reason)

    def _take(self, line: bytes) -> None:
        if self._events is None:
            return
        try:
            frame = read_frame(line)
        except Invalid as error:
            self._fault(error.facts["fault"], error.message)
            return
        reply = as_reply(frame, self.agent)
        if reply is not None:
            self._in_hand.pop(reply.key, None)
            self._events.replied(reply)
        else:
            self._take_news(self._events, frame)

    def _take_news(self, events: LinkEvents, frame: Frame) -> None:
        if frame.beat is not None:
            self._take_beat(events, frame.beat)
        elif frame.ack is not None:
            self._in_hand[frame.ack] = self._clock()
            events.beat(Beat(agent=self.agent, running=(frame.ack,)))
        elif frame.bye is not None:
            self._in_hand.clear()
            events.left(self.agent, frame.bye or "it gave no reason")
        elif frame.changed is not None:
            if frame.changed.id == self.agent:
                self.profile = frame.changed
                events.changed(frame.changed)
            else:
                self._fault("not_a_frame", f"a profile of {frame.changed.id}, but this is {self.agent}")

    def _take_beat(self, events: LinkEvents, beat: Beat) -> None:
        """Believe the heartbeat: what it does not name, and was not taken just now, the agent does not have."""
        now = self._clock()
        for key in beat.running:
            self._in_hand[key] = now
        for key, heard_at in list(self._in_hand.items()):
            if key not in beat.running and now - heard_at > self._beat_s:
                del self._in_hand[key]
        events.beat(beat if beat.agent == self.agent else msgspec.structs.replace(beat, agent=self.agent))

    def _fault(self, fault: str, detail: str) -> None:
        if self._events is None:
            return
        self._faults += 1
        if self._faults <= FAULTS:
            self._events.fault(self.agent, fault, detail)
        if self._faults == FAULTS:
            self._events.fault(self.agent, "too_many_faults", f"{FAULTS} bad lines; the connection is closed")
            self._writer.close()
