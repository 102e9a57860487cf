"""Tables in memory: pages, copies, and the same answers as SQLite gives."""

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.ports.store import TaskRecord
from concerted.stores.projections import TABLES, Change, columns_of
from concerted.stores.queries import find, statement
from concerted.stores.sqlite.schema import MIGRATIONS
from concerted.stores.tables import Tables


def task(run: str, name: str, **columns: Any) -> Change:
    defaults = {"status": "ready", "agent": None, "attempts": 0, "epoch": 0, "description": "", "after": b"[]"}
    rest = {"result": None, "error": None, "since": 1.0}
    return Change(TaskRecord, (run, name), {"run": run, "id": name, **defaults, **rest, **columns}, whole=True)


def test_a_copy_changes_on_its_own() -> None:
    tables = Tables()
    tables.apply(task("a", "t"))
    twin = tables.copy()
    twin.apply(task("a", "u"))
    twin.apply(Change(TaskRecord, ("a", "t"), {"status": "done"}))
    assert [one.id for one in tables.find(TaskRecord, None, 10, ())] == ["t"]
    assert tables.find(TaskRecord, {"status": "done"}, 10, ()) == []
    assert twin.differences(tables) == {("tasks", ("a", "t")), ("tasks", ("a", "u"))}


def test_equal_tables_have_no_differences() -> None:
    tables = Tables()
    tables.apply(task("a", "t"))
    assert tables.differences(tables.copy()) == set()


NAMES = st.sampled_from(["a", "ab", "b", "é", "🐝"])
AGENTS = st.sampled_from([None, "ann", "bob"])
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "run": st.one_of(NAMES, st.lists(NAMES, max_size=2).map(tuple)),
        "id": NAMES,
        "agent": st.one_of(AGENTS, st.lists(AGENTS, max_size=2).map(tuple)),
    },
)


@given(
    tasks=st.dictionaries(st.tuples(NAMES, NAMES), st.tuples(AGENTS, st.integers(0, 3)), max_size=12),
    where=WANTED,
    limit=st.integers(1, 5),
    after=st.one_of(st.just(()), st.tuples(NAMES, NAMES)),
    until=st.one_of(st.none(), st.tuples(st.just("since"), st.integers(0, 3))),
)
def test_memory_and_sqlite_find_the_same(
    tasks: dict[tuple[str, str], tuple[str | None, int]], where: dict[str, Any], limit: int, after: tuple[str, ...],
    until: tuple[str, float] | None,
) -> None:  # fmt: skip
    tables, connection = Tables(), sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        for sql in migration:
            connection.execute(sql)
    for (run, name), (agent, since) in tasks.items():
        change = task(run, name, agent=agent, since=float(since))
        tables.apply(change)
        connection.execute(statement(change), tuple(change.columns.values()))
    in_memory = tables.find(TaskRecord, where, limit, after, until)
    assert in_memory == find(connection, TaskRecord, where, limit, after, until)
    connection.close()


@pytest.mark.parametrize("table", [table.table for table in TABLES])
def test_the_schema_has_the_columns_of_the_records(table: str) -> None:
    connection = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        for sql in migration:
            connection.execute(sql)
    [record] = [one for one in TABLES if one.table == table]
    columns = connection.execute(f"select name, pk from pragma_table_info('{table}')").fetchall()
    assert {name for name, _ in columns} == set(columns_of(record).names)
    assert tuple(name for name, pk in sorted(columns, key=lambda one: one[1]) if pk) == record.key
    connection.close()
