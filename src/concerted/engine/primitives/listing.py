"""How primitives are found: pages of the records in the store, whoever has them in memory.

of all --in the order of their streams--> page        of an agent --what it takes part in--> page
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from concerted.errors import Invalid
from concerted.ports.looking import ListPrimitives, PrimitivePage, PrimitiveView
from concerted.ports.store import ParticipantRecord, PrimitiveRecord, Store

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["LIMIT_MAX", "list_primitives"]

LIMIT_MAX = 1_000  # primitives in one page
LOOKED_AT = 10_000  # records of one agent that are looked at for one page


async def list_primitives(of: Coordinator, command: ListPrimitives) -> PrimitivePage:
    """Return one page.

    Raises:
        Invalid: the limit is out of bounds.
    """
    if not 1 <= command.limit <= LIMIT_MAX:
        raise Invalid(f"limit is {command.limit}; it must be 1..{LIMIT_MAX}")
    return await (_of_all(of.store, command) if command.agent is None else _of_agent(of.store, command))


async def _of_all(store: Store, command: ListPrimitives) -> PrimitivePage:
    wanted = {"kind": command.kind, "status": command.status}
    where: dict[str, Any] = {column: value for column, value in wanted.items() if value is not None}
    after = (command.after,) if command.after else ()
    found = await store.find(PrimitiveRecord, where, limit=command.limit + 1, after=after)
    page = found[: command.limit]
    return PrimitivePage(
        primitives=tuple(_view(record) for record in page),
        after=page[-1].stream if len(found) > command.limit else None,
    )


async def _of_agent(store: Store, command: ListPrimitives) -> PrimitivePage:
    found: list[PrimitiveView] = []
    streams, rest = await _streams_of(store, command)
    for place, stream in enumerate(streams):
        record = await store.get(PrimitiveRecord, stream)
        if record is not None and command.status in (None, record.status):
            found.append(_view(record))
        if len(found) == command.limit and (rest is not None or place + 1 < len(streams)):
            return PrimitivePage(primitives=tuple(found), after=stream)
    return PrimitivePage(primitives=tuple(found), after=rest)


async def _streams_of(store: Store, command: ListPrimitives) -> tuple[list[str], str | None]:
    """Return the streams, after `after`, in which the agent takes part; and where to go on, if there may be more.

    Who has made a progress tracker takes part in it, since its reports move it.
    """
    agent, kind, after = command.agent, command.kind, command.after
    assert agent is not None
    part = await store.find(ParticipantRecord, {"agent": agent}, limit=LOOKED_AT, after=(agent, after))
    made: list[PrimitiveRecord] = []
    if kind in (None, "progress"):
        where = {"kind": "progress", "creator": agent}
        made = await store.find(PrimitiveRecord, where, limit=LOOKED_AT, after=(after,) if after else ())
    rest = min((page[-1].stream for page in (part, made) if len(page) == LOOKED_AT), default=None)
    streams = {record.stream for page in (part, made) for record in page if rest is None or record.stream <= rest}
    return sorted(stream for stream in streams if kind is None or stream.startswith(f"{kind}:")), rest


def _view(record: PrimitiveRecord) -> PrimitiveView:
    return PrimitiveView(
        kind=record.kind,
        id=record.id,
        name=record.name,
        status=record.status,
        creator=record.creator,
        created_at=record.created_at,
        ended_at=record.ended_at,
        deadline_at=record.deadline_at,
        arrived=record.arrived,
        total=record.total,
    )
