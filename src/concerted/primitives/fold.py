"""A primitive's way back from the log: its newest folded state, and the events after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, get_args, get_origin

import msgspec

from concerted.errors import StoreDamaged
from concerted.machine import Event, Machine
from concerted.persistent import Map
from concerted.ports.store import Entry, PrimitiveRecord, Row, View
from concerted.values import AgentId, Instant

__all__ = ["FOLDED", "SCHEMA", "event_of", "folded_row", "read_state", "unfold"]

FOLDED = "primitive.folded"
SCHEMA = 1  # of folded states; one of another number is not read, and the whole stream is
PAGE = 10_000  # entries read at once


class Readable(View, Protocol):
    """The half of a store that is read."""

    async def stream(self, stream: str, *, after: int = 0, limit: int = 100_000) -> list[Entry]:
        """Return a stream's entries."""


async def read_state(store: Readable, machine: Machine[Any], stream: str) -> tuple[Any, int, PrimitiveRecord | None]:
    """Return the state of a primitive (None: there is none), the length of its stream, and its record."""
    record = await store.get(PrimitiveRecord, stream)
    after = max(0, record.folded - 1) if record is not None else 0
    state, length = None, after
    while True:
        page = await store.stream(stream, after=length, limit=PAGE)
        state = unfold(machine, state, page)
        if page:
            length = page[-1].stream_seq
        if len(page) < PAGE:
            return state, length, record


def unfold(machine: Machine[Any], state: Any, entries: Sequence[Entry]) -> Any:
    """Return the state after these entries."""
    for entry in entries:
        state = _state(machine, entry) if entry.kind == FOLDED else machine.evolve(state, event_of(entry), entry.at)
    return state


def event_of(entry: Entry) -> Event:
    """Return the event that an entry of the log was."""
    agent = None if entry.agent is None else AgentId(entry.agent)
    return Event(entry.kind, agent, entry.ref, entry.value())


def folded_row(stream: str, state: Any, length: int, now: Instant) -> Row:
    """Return the row that holds the whole state; it will be number `length` of its stream."""
    plain = msgspec.to_builtins(state, enc_hook=_plain)
    data = msgspec.json.encode({"folded": length, "schema": SCHEMA, "state": plain})
    return Row(stream=stream, at=now, kind=FOLDED, data=data)


def _state(machine: Machine[Any], entry: Entry) -> Any:
    value = entry.value()
    if value["schema"] != SCHEMA:
        raise StoreDamaged(
            f"the folded state of {entry.stream} has schema {value['schema']}, this version reads {SCHEMA}; "
            "open it with the version that wrote it",
            stream=entry.stream,
        )
    return msgspec.convert(value["state"], machine.State, dec_hook=_typed, str_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Map):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be folded")


def _typed(kind: Any, value: Any) -> Any:
    if get_origin(kind) is Map:
        plain: dict[Any, Any] = msgspec.convert(  # the keys of JSON are texts, also those that were numbers
            value,
            dict[get_args(kind)],  # type: ignore[misc]
            dec_hook=_typed,
            str_keys=True,
        )
        return Map(plain)
    raise NotImplementedError(f"{kind} cannot be unfolded")
