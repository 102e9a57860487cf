"""What one row may change: the tables, a change to one record of one of them, and how columns are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from concerted.ports.store import (
    AgentRecord,
    ArchiveRecord,
    MessageRecord,
    ParticipantRecord,
    PrimitiveRecord,
    PrincipalRecord,
    Record,
    RunRecord,
    TaskRecord,
)
from concerted.values import Instant

__all__ = ["DEFAULTS", "NUMBERED", "TABLES", "Change", "Columns", "Count", "Data", "columns_of", "reader"]

TABLES: tuple[type[Record], ...] = (
    RunRecord,
    TaskRecord,
    AgentRecord,
    PrimitiveRecord,
    ParticipantRecord,
    MessageRecord,
    PrincipalRecord,
    ArchiveRecord,
)

# Of which records a column is the `seq` of the row by which they came to be.  A store knows that number only when it
# places the row: until then a change has the row's place among those that are written with it, from 1.
NUMBERED: Mapping[type[Record], str] = {MessageRecord: "number"}

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Change(NamedTuple):
    """One record of one table, and the columns that a row of the log sets in it.

    whole: `columns` is the complete record, key included, and replaces what was there; otherwise a record
    that does not exist stays so.  unless_null: the change holds only if this column is not null.
    gone: the record is there no longer; `columns` is empty.
    """

    table: type[Record]
    key: tuple[str, ...]
    columns: dict[str, Any]
    whole: bool = False
    unless_null: str = ""
    gone: bool = False


class Columns(NamedTuple):
    """The columns of a table in their order; which of them hold JSON (bytes), truth values, instants, counts, texts."""

    names: tuple[str, ...]
    json: frozenset[str]
    truth: frozenset[str]
    instants: tuple[str, ...]
    counts: frozenset[str]
    texts: frozenset[str]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The root of what is read out of a row's data: only what the tables keep; the rest is skipped unread."""


D = TypeVar("D", bound=Data)


def reader(shape: type[D]) -> Callable[[bytes], D]:
    """Return what decodes the data of one kind."""
    return msgspec.json.Decoder(shape).decode


def columns_of(table: type[Record]) -> Columns:
    """Describe the columns of a table."""
    return _COLUMNS[table]


def _columns(table: type[Record]) -> Columns:
    fields = msgspec.structs.fields(table)
    sorts: dict[str, Any] = {field.name: field.type for field in fields}
    json = frozenset(name for name, sort in sorts.items() if sort in (bytes, bytes | None))
    truth = frozenset(name for name, sort in sorts.items() if sort is bool)
    instants = tuple(name for name, sort in sorts.items() if sort in (Instant, Instant | None))
    counts = frozenset(name for name, sort in sorts.items() if sort is int)
    texts = frozenset(sorts) - json - truth - counts - frozenset(instants)
    return Columns(tuple(sorts), json, truth, instants, counts, texts)


def _defaults(table: type[Record]) -> dict[str, Any]:
    fields = msgspec.structs.fields(table)
    return {field.name: field.default for field in fields if field.default is not msgspec.NODEFAULT}


_COLUMNS: Mapping[type[Record], Columns] = {table: _columns(table) for table in TABLES}
DEFAULTS: Mapping[type[Record], dict[str, Any]] = {table: _defaults(table) for table in TABLES}
