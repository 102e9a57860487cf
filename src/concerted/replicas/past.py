"""What has left a group: decisions and agreements that are over, whose story the coordinator has in its own log.

    over --the coordinator says that it has all events--> released --a while by the group's time--> gone

Who asks for what is gone is told how it ended, and that the coordinator has all of it: it is never decided anew, and an
agreement never gets another value.  That little is kept for as long as there is the group, and bounded like the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from concerted.consensus.keeping import Bounds
from concerted.errors import Overloaded, WrongPhase
from concerted.values import Instant

__all__ = ["Gone", "Past"]


class Gone(msgspec.Struct, frozen=True, array_like=True):
    """What is left of something.  status: how it ended.  digest: of its events; count: how many there were."""

    status: str
    digest: str
    count: int
    at: Instant


class Past:
    """What has left, or is about to.  bounds: of what the group keeps."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._released: dict[str, Instant] = {}  # object -> since when; the oldest first
        self._gone: dict[str, Gone] = {}

    def release(self, stream: str, now: Instant) -> None:
        """Take note that the coordinator has all of something that is over."""
        self._released.setdefault(stream, now)

    def due(self, now: Instant) -> list[str]:
        """Return what is to leave now.  O(what is)."""
        found = []
        for stream, at in self._released.items():
            if now < at + self._bounds.past_after_s:
                break
            found.append(stream)
        return found

    def leave(self, stream: str, status: str, events: Sequence[bytes], now: Instant) -> None:
        """Keep of something only how it ended.  events: all of them, encoded."""
        digest = hashlib.blake2b(b"".join(events), digest_size=16).hexdigest()
        del self._released[stream]
        self._gone[stream] = Gone(status, digest, len(events), now)

    def require_here(self, stream: str) -> None:
        """Make sure that something has not left.

        Raises:
            WrongPhase: it has.
        """
        gone = self._gone.get(stream)
        if gone is not None:
            raise WrongPhase(
                f"{stream} was {gone.status}, and has left this group since; ask the coordinator, which has all of it",
                status=gone.status,
                digest=gone.digest,
                closed_at=gone.at,
            )

    def require_room(self, count: int, size_bytes: int, *, opens: bool) -> None:
        """Make sure that there may be more.  count, size_bytes: what is kept now.  opens: one object more.

        Raises:
            Overloaded: it is too much.
        """
        bounds = self._bounds
        if size_bytes >= bounds.size_bytes:
            raise Overloaded(
                f"this group keeps {size_bytes} bytes, and {bounds.size_bytes} are the most; what is over leaves it in "
                "time, logs do not: go on in another group",
                bound=bounds.size_bytes,
            )
        if opens and count >= bounds.objects_count:
            raise Overloaded(
                f"this group keeps {count} decisions, agreements and logs, the most that it may; what is over leaves "
                f"it {bounds.past_after_s:g} s after the coordinator has copied it; come back then, or take another "
                "group",
                bound=bounds.objects_count,
            )
        if opens and len(self._gone) >= bounds.past_count:
            raise Overloaded(
                f"this group has kept {len(self._gone)} decisions and agreements in its time, the most that it may "
                "remember; make another group, and end this one when what it keeps is over",
                bound=bounds.past_count,
            )

    def dump(self) -> bytes:
        """Return all there is, for a snapshot."""
        return _encode((list(self._released.items()), list(self._gone.items())))

    def load(self, data: bytes) -> None:
        """Become what `dump` has returned."""
        released, gone = _dumped.decode(data)
        self._released, self._gone = dict(released), dict(gone)


_encode = msgspec.msgpack.Encoder().encode
_dumped = msgspec.msgpack.Decoder(tuple[list[tuple[str, float]], list[tuple[str, Gone]]])
