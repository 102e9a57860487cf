"""The questions that every SQL store answers, as text and values; `?` stands for a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from concerted.errors import Invalid
from concerted.ports.store import Record
from concerted.stores.projections import PROJECTED, columns_of
from concerted.stores.tables import check_find

__all__ = [
    "ALL_SNAPSHOTS",
    "LATER_ARCHIVES",
    "LOG_LIMIT",
    "NEAREST_SNAPSHOT",
    "Question",
    "check_limit",
    "find",
    "get",
    "log",
    "projected",
    "stream_rows",
]

LOG_LIMIT = 1_000_000  # entries in one answer of `log` or `stream`

# The columns of a log row, its data fetched from aside where it is large.
SELECT = """select seq, stream, stream_seq, at, kind, agent, ref,
    coalesce(data, (select blobs.data from blobs where blobs.hash = log.hash)), lamport from log"""

LATER_ARCHIVES = f"{SELECT} where stream = 'store' and kind = 'stream.archived' and seq > ? order by seq"
NEAREST_SNAPSHOT = "select seq, data from snapshots where seq <= ? order by seq desc limit 1"
ALL_SNAPSHOTS = "select seq from snapshots order by seq"

_KINDS = ", ".join(f"'{kind}'" for kind in sorted(PROJECTED))


class Question(NamedTuple):
    """A statement and its values, in order."""

    sql: str
    values: Sequence[Any]


def get(table: type[Record], key: Sequence[str]) -> Question:
    """Ask for the record with this key."""
    if len(key) != len(table.key):
        raise Invalid(f"{tuple(key)!r} is no key of table {table.table}, which is ({', '.join(table.key)})")
    test = " and ".join(f"{name} = ?" for name in table.key)
    return Question(f"select {', '.join(columns_of(table).names)} from {table.table} where {test}", tuple(key))


def find(
    table: type[Record], where: Mapping[str, Any] | None, limit: int, after: Sequence[str],
    until: tuple[str, float] | None,
) -> Question:  # fmt: skip
    """Ask for matching records in key order."""
    check_find(table, where, limit, after, until)
    tests, values = [], []
    for name, value in (where or {}).items():
        wanted = value if isinstance(value, tuple) else (value,)
        present = [one for one in wanted if one is not None]
        options = [f"{name} in ({', '.join('?' * len(present))})"] if present else []
        if len(present) < len(wanted):
            options.append(f"{name} is null")
        tests.append(f"({' or '.join(options)})" if options else "1 = 0")
        values += present
    key = ", ".join(table.key)
    if until is not None:
        # Few are due of many: SQLite must look in the index of instants, not go through all in key order.
        tests.append(f"{until[0]} is not null and {until[0]} <= ?")
        values.append(until[1])
        key = ", ".join(f"coalesce({name}, '')" for name in table.key)
    if after:
        tests.append(f"({key}) > ({', '.join('?' * len(after))})")
        values += after
    question = f"select {', '.join(columns_of(table).names)} from {table.table}"
    if tests:
        question += f" where {' and '.join(tests)}"
    return Question(f"{question} order by {key} limit ?", [*values, limit])


def log(after: int, until: int | None, names: Mapping[str, str | None], limit: int) -> Question:
    """Ask for entries with `after < seq <= until`.  names: column -> its value, or a prefix of it and `*`."""
    check_limit(limit)
    tests, values = ["seq > ?"], [after, *([] if until is None else [until])]
    if until is not None:
        tests.append("seq <= ?")
    rest: list[Any] = []
    for column, name in names.items():
        if name is None:
            continue
        prefix = name.removesuffix("*")
        if prefix == name:
            tests.append(f"{column} = ?")
            rest.append(name)
        else:
            tests.append(f"substr({column}, 1, ?) = ?")
            rest += [len(prefix), prefix]
    return Question(f"{SELECT} where {' and '.join(tests)} order by seq limit ?", [*values, *rest, limit])


def stream_rows(stream: str, after: int, limit: int) -> Question:
    """Ask for those entries of a stream that are in the log itself."""
    question = f"{SELECT} where stream = ? and stream_seq > ? order by stream_seq limit ?"
    return Question(question, (stream, after, limit))


def projected(after: int, until: int) -> Question:
    """Ask for those entries with `after < seq <= until` that change tables, however many."""
    return Question(f"{SELECT} where seq > ? and seq <= ? and kind in ({_KINDS}) order by seq", (after, until))


def check_limit(limit: int) -> None:
    """Refuse a page without bounds.

    Raises:
        Invalid: it is below 1 or above LOG_LIMIT.
    """
    if not 1 <= limit <= LOG_LIMIT:
        raise Invalid(f"limit is {limit}; a page holds 1 to {LOG_LIMIT:,} entries, and `after` asks for the next one")
