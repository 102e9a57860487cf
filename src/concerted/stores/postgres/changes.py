"""Changes of records as statements of PostgreSQL: one for all changes of a shape, its values as columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from concerted.ports.store import Record
from concerted.stores.changes import NUMBERED
from concerted.stores.postgres.text import from_text, numbers, texts, to_text
from concerted.stores.projections import Change, columns_of

__all__ = ["Amendment", "amendment", "record_of"]

T = TypeVar("T", bound=Record)


class Amendment(NamedTuple):
    """What `amend` is called with.  values: the columns of all statements; offsets: how many come before each."""

    statements: list[str]
    values: list[str]
    offsets: list[int]


class _Shape(NamedTuple):
    """What changes must have in common to share a statement.  names: the columns that are set."""

    table: type[Record]
    whole: bool
    gone: bool
    unless_null: str
    names: tuple[str, ...]


def amendment(changes: Sequence[Change]) -> Amendment:
    """Write these changes, which were merged, as few statements; a conditional one keeps its place."""
    made = Amendment([], [], [])
    for _, stretch in groupby(changes, key=lambda change: bool(change.unless_null)):
        groups: dict[_Shape, list[tuple[Any, ...]]] = {}
        for change in stretch:
            shape = _Shape(change.table, change.whole, change.gone, change.unless_null, tuple(change.columns))
            key = () if change.whole else change.key
            groups.setdefault(shape, []).append((*change.columns.values(), *key))
        for shape, rows in groups.items():
            made.statements.append(_statement(shape))
            made.offsets.append(len(made.values))
            names = shape.names if shape.whole else (*shape.names, *shape.table.key)
            columns = zip(*rows, strict=True)
            made.values.extend(_column(shape.table, name, values) for name, values in zip(names, columns, strict=True))
    return made


def record_of(table: type[T], row: Sequence[Any]) -> T:
    """Make a record of a row of its columns."""
    columns = columns_of(table)
    values = dict(zip(columns.names, row, strict=True))
    for name in columns.texts:
        if values[name] is not None:
            values[name] = from_text(values[name])
    return table(**values)


@cache
def _statement(shape: _Shape) -> str:
    table, names = shape.table, shape.names
    given = names if shape.whole else (*names, *table.key)
    # $1 are all values as literals of arrays, $2 is how many come before ours, $3 the number before the first row.
    arrays = ", ".join(f"$1[$2 + {place}]::{_sort(table, name)}[]" for place, name in enumerate(given, 1))
    columns = ", ".join(f"c{place}" for place in range(1, len(given) + 1))
    source = f"unnest({arrays}) as given({columns})"
    values = [_value(table, name, place) for place, name in enumerate(given, 1)]
    if shape.whole:
        rest = [f"{name} = excluded.{name}" for name in names if name not in table.key]
        instead = f"update set {', '.join(rest)}" if rest else "nothing"
        return (
            f"insert into {table.table}({', '.join(names)}) select {', '.join(values)} from {source} "
            f"on conflict ({', '.join(table.key)}) do {instead}"
        )
    tests = [f"kept.{name} = given.c{place}" for place, name in enumerate(table.key, len(names) + 1)]
    if shape.gone:
        return f"delete from {table.table} as kept using {source} where {' and '.join(tests)}"
    if shape.unless_null:
        tests.append(f"kept.{shape.unless_null} is not null")
    settings = ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=False))
    return f"update {table.table} as kept set {settings} from {source} where {' and '.join(tests)}"


def _sort(table: type[Record], name: str) -> str:
    """Return the type in which a column's values are passed."""
    columns = columns_of(table)
    if name in columns.instants:
        return "float8"
    if name in columns.counts:
        return "bigint"
    return "boolean" if name in columns.truth else "text"


def _value(table: type[Record], name: str, place: int) -> str:
    if NUMBERED.get(table) == name:
        return f"$3 + given.c{place}"
    return f"convert_to(given.c{place}, 'UTF8')" if name in columns_of(table).json else f"given.c{place}"


def _column(table: type[Record], name: str, values: Sequence[Any]) -> str:
    columns = columns_of(table)
    if name in columns.json:
        return texts([None if value is None else value.decode() for value in values])
    if name in columns.texts:
        return texts([None if value is None else to_text(value) for value in values])
    return numbers(values)
