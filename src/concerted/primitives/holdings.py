"""What is held until a time: leases, permits, leaderships.  Their renewals are no events but live in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from concerted.machine import Event, Machine
from concerted.ports.store import Renewal
from concerted.values import Instant

__all__ = ["NONE", "Holdings", "MemoryHoldings", "holdings_of", "ttl_of"]

FOR_EVER = 1e15


class Holdings(NamedTuple):
    """What these events begin and end to hold; empty is false."""

    holds: tuple[Renewal, ...] = ()
    drops: tuple[Renewal, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.holds or self.drops)


NONE = Holdings()


def holdings_of(stream: str, machine: Machine[Any], events: Sequence[Event], now: Instant) -> Holdings:
    """Return what the store must hold, and no longer hold, when these events are written.

    What ends because its time is over may be renewed in the same moment by another process; then the
    store refuses the write.
    """
    begun = getattr(machine, "begins", None)
    if begun is None or not events:
        return NONE
    holds: dict[str, Renewal] = {}
    drops: dict[str, Renewal] = {}
    for event in events:
        for key, until in machine.begins(event):  # type: ignore[attr-defined]
            holds[key] = Renewal(stream, key, until)
        for key, by_time in machine.ends(event):  # type: ignore[attr-defined]
            holds.pop(key, None)
            drops[key] = Renewal(stream, key, now if by_time else FOR_EVER)
    return Holdings(tuple(holds.values()), tuple(drops.values()))


def ttl_of(machine: Machine[Any], state: Any, request: Any, now: Instant) -> float:
    """Return for how long something lives after a renewal that was granted just now."""
    kept = machine.check_renewal(state, request.holder, request.token, now)  # type: ignore[attr-defined]
    ttl_s: float = kept.ttl_s if hasattr(kept, "ttl_s") else kept.ask.ttl_s
    return ttl_s


class MemoryHoldings:
    """What volatile primitives hold: stream -> key -> until when."""

    def __init__(self) -> None:
        self._until: dict[str, dict[str, Instant]] = {}

    def change(self, holdings: Holdings) -> None:
        """Begin and end to hold."""
        for drop in holdings.drops:
            self._until.get(drop.stream, {}).pop(drop.key, None)
        for hold in holdings.holds:
            self._until.setdefault(hold.stream, {})[hold.key] = hold.until

    def renew(self, renewal: Renewal) -> bool:
        """Hold it longer, never shorter; False for what is not held."""
        held = self._until.get(renewal.stream, {})
        if renewal.key not in held:
            return False
        held[renewal.key] = max(held[renewal.key], renewal.until)
        return True

    def held(self, stream: str) -> dict[str, Instant]:
        """Return what is held of a stream."""
        return dict(self._until.get(stream, {}))
