"""The JSON-lines protocol between coordinator and agents: one JSON object a line, both ways, no line without end.

    coordinator -> agent   an Envelope | {"welcome": {...}} | {"error": {...}}
    agent -> coordinator   {"hello": {...}} | {"reply": Reply} | {"beat": Beat} | {"changed": Profile} |
                           {"ack": KEY} | {"bye": REASON} | {"key": KEY, "value": ...}

The last one is the short form of a reply, for agents that are written in ten lines:
`{"key": KEY, "status": "failed", "error": TEXT}` when it has not gone well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from concerted.errors import Invalid
from concerted.messages import ENVELOPE_BYTES, Beat, Envelope, Reply, ReplyStatus
from concerted.values import AgentId, Profile

__all__ = [
    "LINE_BYTES", "Frame", "Hello", "Lines", "Notice", "TooLong", "Welcome", "as_reply", "read_envelope", "read_frame",
    "write_line",
]  # fmt: skip

LINE_BYTES = ENVELOPE_BYTES + (1 << 16)  # the longest line on any wire: an envelope's payload and its other fields


class Hello(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent says first.  incarnation: names this process of the agent.  handles: types that a
    child process answers itself, besides tasks and custom requests.  token: proves who it is, where the
    store has principals.
    """

    role: str = "agent"
    profile: Profile | None = None
    incarnation: str = ""
    handles: tuple[str, ...] = ()
    token: str | None = None


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of the store answers an agent's hello.  beat_s: how often it wants to hear of it."""

    agent: AgentId
    beat_s: float


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line from an agent; exactly one of the first six fields is there, or `key`."""

    hello: Hello | None = None
    reply: Reply | None = None
    beat: Beat | None = None
    changed: Profile | None = None
    ack: str | None = None
    bye: str | None = None
    key: str | None = None
    value: Any = None
    status: ReplyStatus | None = None
    error: str | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line to an agent that is no envelope.  error: why the agent is turned away, as `ConcertedError.to_wire`."""

    welcome: Welcome | None = None
    error: dict[str, Any] | None = None


class TooLong(Exception):
    """A line is longer than the bound; what followed it on the stream cannot be trusted."""


class Lines:
    """Cuts a stream of bytes into lines, holding at most `limit` bytes of an unfinished one."""

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that `data` completes, without their ends; empty ones are skipped.

        Raises:
            TooLong: a line is longer than the limit.
        """
        *lines, rest = (self._rest + data).split(b"\n") if b"\n" in data else (self._rest + data,)
        self._rest = rest
        for line in lines:
            self._check(line)
            if line.strip():
                yield line
        self._check(rest)

    def _check(self, line: bytes) -> None:
        if len(line) > self._limit:
            self._rest = b""
            raise TooLong(f"a line of {len(line)} bytes or more; the bound is {self._limit}")


def read_frame(line: bytes) -> Frame:
    """Decode a line from an agent.

    Raises:
        Invalid: it is no frame; `facts["fault"]` is `not_json` or `not_a_frame`.
    """
    try:
        frame = _frames.decode(line)
    except msgspec.ValidationError as error:
        raise Invalid(f"{error}: {_shown(line)}", fault="not_a_frame") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{error}: {_shown(line)}", fault="not_json") from error
    parts = (frame.hello, frame.reply, frame.beat, frame.changed, frame.ack, frame.bye, frame.key)
    if all(part is None for part in parts):
        raise Invalid(
            f"the object has neither a key nor another field that we know: {_shown(line)}", fault="not_a_frame"
        )
    return frame


def as_reply(frame: Frame, agent: AgentId) -> Reply | None:
    """Return the reply in a frame, long or short; None if it holds none.  It counts as the agent's own."""
    if frame.reply is not None:
        return frame.reply if frame.reply.agent == agent else msgspec.structs.replace(frame.reply, agent=agent)
    if frame.key is None:
        return None
    status = frame.status or ("ok" if frame.error is None else "failed")
    return Reply(agent=agent, status=status, value=frame.value, error=frame.error, key=frame.key)


def read_envelope(line: bytes) -> Envelope | Notice:
    """Decode a line from the coordinator.

    Raises:
        Invalid: it is neither an envelope nor a notice.
    """
    try:
        return _envelopes.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            notice = _notices.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            notice = Notice()
        if notice.welcome is None and notice.error is None:
            raise Invalid(f"{error}: {_shown(line)}") from error
        return notice


def write_line(value: msgspec.Struct) -> bytes:
    """Encode one frame, envelope or notice as a line."""
    return _encoder.encode(value) + b"\n"


_frames = msgspec.json.Decoder(Frame)
_envelopes = msgspec.json.Decoder(Envelope)
_notices = msgspec.json.Decoder(Notice)
_encoder = msgspec.json.Encoder()


def _shown(line: bytes) -> str:
    text = line[:200].decode(errors="replace")
    return repr(text if len(line) <= 200 else text + "...")
