"""What rows make of the tables, where the exam of the store does not look: single rows, and the rule for merging."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import Invalid
from concerted.kinds import KINDS, PRIMITIVES
from concerted.ports.store import AgentRecord, Row, RunRecord, TaskRecord
from concerted.stores.commit import merge
from concerted.stores.projections import PROJECTED, TABLES, columns_of, project, record_from_json, record_to_json
from concerted.stores.tables import Tables
from concerted.values import AgentId, RunId, TaskId, encode


def row(stream: str, kind: str, data: Any = None, **about: Any) -> Row:
    return Row(stream=stream, at=5.0, kind=kind, data=encode(data), **about)


CREATED = row("run:a", "run.created", {"strategy": "auction"})


def test_every_projected_kind_is_a_kind_of_the_log() -> None:
    assert set(KINDS) | PRIMITIVES >= PROJECTED


def test_most_rows_change_nothing() -> None:
    assert project(row("run:a", "reply.received", {"status": "ok"})) == ()
    assert project(row("anything", "made.up", 7)) == ()


def test_a_run_without_a_root_is_its_own() -> None:
    [change] = project(CREATED)
    assert change.columns["root"] == "a"


def test_an_agent_that_has_left_is_gone() -> None:
    tables = Tables()
    tables.fold([
        row("agent:ann", "agent.registered", {"profile": {"id": "ann"}, "spec": ["run"]}),
        row("agent:ann", "agent.left", {"reason": "done for today"}),
    ])  # fmt: skip
    ann = tables.get(AgentRecord, ("ann",))
    assert ann == AgentRecord(
        id=AgentId("ann"), profile=b'{"id":"ann"}', spec=b'["run"]', state="gone", since=5.0, reason="done for today"
    )


def test_a_cancelled_run_keeps_its_reason_as_error() -> None:
    tables = Tables()
    tables.fold([CREATED, row("run:a", "run.cancelled", {"outcome": None, "reason": "ann called it off"})])
    run = tables.get(RunRecord, ("a",))
    assert run is not None
    assert (run.status, run.error) == ("cancelled", "ann called it off")


def test_a_change_to_what_is_not_there_makes_nothing() -> None:
    tables = Tables()
    tables.fold([row("run:a", "run.progressed", 1), row("run:a", "task.ready", ref="t"), row("agent:x", "agent.alive")])
    assert tables.all() == {}


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (row("agent:a", "run.created", {"strategy": "x"}), "it belongs in one named 'run:'"),
        (row("run:a", "run.started", {"epoch": 1}), "missing required field `node`"),
        (row("run:a", "run.started", [1]), "Expected `object`"),
        (row("run:a", "task.done", {"epoch": 1}), "names no task; put its id into `ref`"),
        (row("run:a", "run.failed", {"error": {"text": "no"}}), "Expected `str | null`"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_name(bad: Row, complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        project(bad)
    assert complaint in caught.value.message
    assert bad.kind in caught.value.message


@pytest.mark.parametrize(
    "record",
    [
        RunRecord(id=RunId("é"), strategy="s", root=RunId("é"), created_at=0.1, result=b"null", progress=None),
        RunRecord(id=RunId("a"), strategy="s", root=RunId("a"), created_at=1e9, result=b'{ "b":1,"a":1.0}'),
        TaskRecord(run=RunId("a"), id=TaskId("t"), after=b'["u"]', error="no"),
        AgentRecord(id=AgentId("ann"), profile=b"{}"),
    ],
)
def test_a_record_comes_back_from_an_archive_byte_for_byte(record: RunRecord | TaskRecord | AgentRecord) -> None:
    columns = json.loads(encode(record_to_json(record)))
    assert type(record)(**record_from_json(type(record), columns)) == record


def test_an_archive_of_an_older_schema_gets_defaults_for_what_it_lacks() -> None:
    columns = record_from_json(RunRecord, {"id": "a", "strategy": "s", "root": "a", "created_at": 1.0, "gone": 7})
    assert RunRecord(**columns) == RunRecord(id=RunId("a"), strategy="s", root=RunId("a"), created_at=1.0)


def test_the_tables_know_their_json_and_truth_columns() -> None:
    assert columns_of(RunRecord).json == {"progress", "result"}
    assert columns_of(RunRecord).truth == {"archived"}
    assert all(set(table.key) <= set(columns_of(table).names) for table in TABLES)


RUNS = st.sampled_from(["run:a", "run:b"])
TASKS = st.sampled_from(["t", "u"])
NUMBERS = st.integers(1, 9)


def _story() -> st.SearchStrategy[list[Row]]:
    def about(kind: str, data: dict[str, Any] | None = None, **more: Any) -> st.SearchStrategy[Row]:
        return st.builds(lambda stream, task: row(stream, kind, data, ref=task, **more), RUNS, TASKS)

    return st.lists(
        st.one_of(
            about("run.created", {"strategy": "s"}),
            NUMBERS.flatmap(lambda n: about("run.started", {"node": "n", "epoch": n})),
            NUMBERS.flatmap(lambda n: about("run.resumed", {"node": "m", "epoch": n, "attempts": n})),
            about("run.parked", {"reason": "why"}),
            about("run.unparked", {"by": "cy"}),
            about("run.failed", {"error": "why"}),
            about("tasks.added", {"tasks": [{"id": "t"}, {"id": "u", "after": ["t"]}]}),
            NUMBERS.flatmap(lambda n: about("task.claimed", {"epoch": n, "attempt": n}, agent="ann")),
            about("task.released", {"reason": "lost"}),
            NUMBERS.flatmap(lambda n: about("task.done", {"epoch": n, "result": n}, agent="ann")),
        ),
        max_size=30,
    )


@given(_story())
def test_merged_changes_come_to_the_same_tables(rows: list[Row]) -> None:
    one_by_one, merged = Tables(), Tables()
    one_by_one.fold(rows)
    changes = [change for fact in rows for change in project(fact)]
    for change in merge(changes):
        merged.apply(change)
    assert merged.all() == one_by_one.all()
    assert [dict(change.columns) for change in changes] == [
        dict(change.columns) for fact in rows for change in project(fact)
    ], "merging leaves the changes themselves alone"
