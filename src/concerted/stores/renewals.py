"""What is held until when, in memory: whoever owns the store alone needs no table for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from concerted.ports.store import Renewal
from concerted.values import Instant

__all__ = ["Renewals"]


class Renewals:
    """stream -> key -> until when.  The event loop renews and reads while the writer holds and drops."""

    def __init__(self) -> None:
        self._until: dict[str, dict[str, Instant]] = {}
        self._lock = threading.Lock()

    def change(self, holds: Sequence[Renewal], drops: Sequence[Renewal]) -> str | None:
        """Drop and hold, all or nothing; return the stream of what was renewed beyond its drop, None if it is done."""
        with self._lock:
            for drop in drops:
                until = self._until.get(drop.stream, {}).get(drop.key)
                if until is not None and until > drop.until:
                    return drop.stream
            for drop in drops:
                self._drop(drop)
            for hold in holds:
                self._until.setdefault(hold.stream, {})[hold.key] = hold.until
        return None

    def renew(self, renewals: Sequence[Renewal]) -> list[bool]:
        """Hold these longer, never shorter; False for what is not held."""
        with self._lock:
            return [self._renew(one) for one in renewals]

    def held(self, stream: str) -> dict[str, Instant]:
        """Return what is held of a stream."""
        with self._lock:
            return dict(self._until.get(stream, {}))

    def all(self) -> list[Renewal]:
        """Return everything that is held."""
        with self._lock:
            return [Renewal(stream, key, until) for stream, keys in self._until.items() for key, until in keys.items()]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._until.clear()

    def _renew(self, one: Renewal) -> bool:
        held = self._until.get(one.stream, {})
        until = held.get(one.key)
        if until is None:
            return False
        held[one.key] = max(until, one.until)
        return True

    def _drop(self, drop: Renewal) -> None:
        held = self._until.get(drop.stream)
        if held is not None and held.pop(drop.key, None) is not None and not held:
            del self._until[drop.stream]
