"""The primitives that this process has in memory: read from the log when they are needed, let go when they are idle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from concerted.errors import ConcertedError
from concerted.kinds import primitive_stream
from concerted.machine import Machine
from concerted.ports.clock import Clock
from concerted.ports.store import Entry, PrimitiveRecord, Renewal, Store, Write
from concerted.primitives.alarms import Alarms
from concerted.primitives.fold import FOLDED, event_of, read_state, unfold
from concerted.primitives.held import Held
from concerted.primitives.table import machine_of

__all__ = ["Shelf"]

HELD_MAX = 20_000  # primitives in memory before idle ones are let go
FOR_EVER = 1e15


class Shelf:
    """stream -> primitive.  alarms: hears of every `wake_at` that other processes have written."""

    def __init__(self, store: Store, clock: Clock, alarms: Alarms) -> None:
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._loop = asyncio.get_running_loop()
        self._held: dict[str, Held] = {}
        self._reading: dict[str, asyncio.Task[Held]] = {}
        self._stopped: ConcertedError | None = None

    async def arm(self) -> None:
        """Arm the alarm of every primitive that has one; what came due while nobody was there happens now."""
        after: tuple[str, ...] = ()
        while page := await self._store.find(PrimitiveRecord, limit=10_000, after=after, until=("wake_at", FOR_EVER)):
            for record in page:
                self._alarms.set(record.stream, record.wake_at)
            after = (page[-1].stream,)

    def stop(self, error: ConcertedError) -> None:
        """Tell whoever asks or waits why nothing comes of it."""
        self._stopped = error
        for task in self._reading.values():
            task.cancel()
        for held in self._held.values():
            for asked in held.asked:
                asked.settle(error)
            held.asked.clear()
            held.tell_all()

    def running(self) -> set[asyncio.Task[Held]]:
        """What `stop` will call off."""
        return set(self._reading.values())

    async def reach(self, kind: str, id: str) -> Held:
        """Return a primitive, reading it from the log if it is not in memory.

        Raises:
            NotFound: there is no such kind.  Unreachable, StoreDamaged: it cannot be read.
            ConcertedError: the host was stopped meanwhile.
        """
        stream = primitive_stream(kind, id)
        held = self._held.get(stream)
        if held is not None:
            return held
        reading = self._reading.get(stream)
        if reading is None:
            reading = self._reading[stream] = self._loop.create_task(self._read(kind, stream))
            reading.add_done_callback(lambda _: self._reading.pop(stream, None))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._stopped is None or (caller is not None and caller.cancelling()):
                raise
            raise self._stopped from None  # it is the reading that was given up, and not whoever asks

    def put(self, held: Held) -> None:
        """Keep a primitive that is made here."""
        self._held[held.stream] = held

    def all(self) -> list[Held]:
        """Return the primitives in memory."""
        return list(self._held.values())

    def get(self, stream: str) -> Held | None:
        """Return a primitive if it is in memory."""
        return self._held.get(stream)

    async def catch_up(self, held: Held) -> None:
        """Read what other processes have written to it."""
        entries = await self._store.stream(held.stream, after=held.length)
        if entries:
            _grow(held, entries)

    def heard(self, entries: Sequence[Entry]) -> list[Held]:
        """Take note of rows that other processes have written, in the order of the log.

        Return the primitives that are behind now: something was missed, or came while a write of ours is on its way.
        """
        behind: dict[str, Held] = {}
        for entry in entries:
            held = self._held.get(entry.stream)
            if held is not None and entry.stream_seq > held.length:
                held.heard_of = max(held.heard_of, entry.stream_seq)
                if held.in_flight or entry.stream_seq != held.length + 1:
                    behind[entry.stream] = held
                    continue
                _grow(held, [entry])
            if b'"wake_at"' in entry.data and (held is None or entry.stream_seq == held.length):
                value = entry.value()
                if "wake_at" in value:
                    self._alarms.set(entry.stream, value["wake_at"])
        return list(behind.values())

    async def _read(self, kind: str, stream: str) -> Held:
        machine = machine_of(kind)
        state, length, record = await read_state(self._store, machine, stream)
        await self._hold_anew(machine, stream, state)
        held = Held(stream, machine, state, length, touched_at=self._loop.time())
        if record is not None:
            held.since_fold, held.wake_at = length - record.folded, record.wake_at
        if len(self._held) >= HELD_MAX:
            self._let_go()
        return self._held.setdefault(stream, held)

    async def _hold_anew(self, machine: Machine[Any], stream: str, state: Any) -> None:
        """Have the store hold, for their whole time, what the log says is held and the store knows nothing of."""
        known = getattr(machine, "holds", None)
        if known is None or state is None:
            return
        held = await self._store.held(stream)
        missing = [Renewal(stream, key, until) for key, until in known(state, self._clock.now()) if key not in held]
        if missing:
            await self._store.append([Write(rows=(), holds=missing)])

    def _let_go(self) -> None:
        """Forget the half that was idle the longest."""
        idle = sorted((held for held in self._held.values() if held.is_idle), key=lambda held: held.touched_at)
        for held in idle[: HELD_MAX // 2]:
            del self._held[held.stream]


def _grow(held: Held, entries: Sequence[Entry]) -> None:
    """Take in what other processes have written, and wake those whom it concerns."""
    held.state = unfold(held.machine, held.state, entries)
    held.length = entries[-1].stream_seq
    for entry in entries:
        if b'"wake_at"' in entry.data:
            held.wake_at = entry.value().get("wake_at", held.wake_at)
    held.tell([event_of(entry) for entry in entries if entry.kind != FOLDED])
