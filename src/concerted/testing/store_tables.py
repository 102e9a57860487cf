"""Questions about the tables of a store: what rows make of them, finding, the past, taking over, archives."""

from __future__ import annotations

from concerted.errors import Invalid, NotFound, WrongPhase
from concerted.ports.store import AgentRecord, ArchiveRecord, Fenced, RunRecord, Store, TaskRecord, View
from concerted.testing.store_scenes import (
    StoreFactory,
    create,
    history,
    raises,
    row,
    snapshot,
    tables_of,
    under,
    written,
)
from concerted.values import AgentId, RunId, encode

__all__ = ["QUESTIONS"]


async def a_run_goes_through_its_states(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a", started=False))
    first = RunRecord(id=RunId("a"), strategy="auction", root=RunId("a"), created_at=10.0)
    assert await store.get(RunRecord, "a") == first, "a new run is queued under epoch 1"
    await written(store, under("a", 1, row("a", "run.started", {"node": "n", "epoch": 1, "deadline_at": 30.0})))
    await written(store, under("a", 1, row("a", "run.progressed", {"step": 1, "of": 2})))
    run = await _run(store, "a")
    assert (run.status, run.node, run.started_at, run.deadline_at) == ("active", "n", 10.0, 30.0), f"started: {run}"
    assert run.progress == encode({"step": 1, "of": 2}), f"progress is the newest row's data: {run.progress!r}"
    for status in ("completed", "failed", "cancelled", "timed_out"):
        data = {"outcome": None, "error": f"why it is {status}"}
        await written(store, create(status), under(status, 1, row(status, f"run.{status}", data)))
        run = await _run(store, status)
        assert (run.status, run.ended_at, run.result) == (status, 10.0, encode(data)), f"{status}: {run}"
        assert run.error == f"why it is {status}", f"{status}: {run.error}"
    await store.close()


async def a_parked_run_goes_on_where_it_was(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"), create("b", started=False))
    for run in ("a", "b"):
        await written(store, under(run, 1, row(run, "run.parked", {"reason": "it diverged"})))
        parked = await _run(store, run)
        assert (parked.status, parked.error) == ("parked", "it diverged"), f"parked: {parked}"
    await written(store, *(under(run, 1, row(run, "run.unparked", {"by": "cy"})) for run in ("a", "b")))
    states = [(run.status, run.attempts, run.error) for run in await store.find(RunRecord)]
    assert states == [("active", 0, None), ("queued", 0, None)], (
        f"a run that was started is active again, one that never was waits for a slot: {states}"
    )
    await store.close()


async def a_task_goes_through_its_states(make: StoreFactory) -> None:
    store = await make.fresh()
    tasks = [{"id": "t", "description": "draft it"}, {"id": "u", "after": ["t"]}]
    await written(store, create("a"), under("a", 1, row("a", "tasks.added", {"tasks": tasks})))
    known = await store.find(TaskRecord, {"run": "a"})
    assert [(task.id, task.status, task.after) for task in known] == [
        ("t", "ready", b"[]"),
        ("u", "pending", b'["t"]'),
    ], f"a task that comes after others is pending: {known}"
    steps = [
        ("task.claimed", {"epoch": 1, "attempt": 1}, ("running", "ann", 1, 1, None)),
        ("task.released", {"reason": "lost"}, ("ready", None, 1, 1, "lost")),
        ("task.waiting", {"reason": "nobody can"}, ("ready", None, 1, 1, "nobody can")),
        ("task.claimed", {"epoch": 2, "attempt": 2}, ("running", "ann", 2, 2, None)),
        ("task.done", {"epoch": 2, "result": [1]}, ("done", "ann", 2, 2, None)),
    ]
    for kind, data, wanted in steps:
        await written(store, under("a", 1, row("a", kind, data, agent="ann", ref="t")))
        task = await store.get(TaskRecord, "a", "t")
        assert task is not None, "the task is there"
        now = (task.status, task.agent, task.epoch, task.attempts, task.error)
        assert now == wanted, f"after {kind}: {now}, it should be {wanted}"
    done = await store.find(TaskRecord, {"status": "done"})
    assert [task.result for task in done] == [b"[1]"], f"the result is kept: {done}"
    await store.close()


async def agents_are_known_by_their_rows(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    ann = AgentRecord(id=AgentId("ann"), profile=b'{"id":"ann"}', link="process", state="alive", since=10.0)
    assert await store.get(AgentRecord, "ann") == ann, "ann was registered, suspected, gone, back, and changed"
    assert await store.get(AgentRecord, "bob") is None, "bob was never registered"
    await store.close()


async def records_are_found_by_value_and_in_pages(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    everything = await store.find(TaskRecord)
    assert [task.id for task in everything] == ["four", "one", "three", "two"], "records come in the order of their key"
    assert everything == [
        *await store.find(TaskRecord, limit=3),
        *await store.find(TaskRecord, after=("a", "three")),
    ], "two pages are the whole"
    for where, wanted in (
        ({"status": "done"}, ["one"]),
        ({"status": ("failed", "done")}, ["one", "three"]),
        ({"status": ()}, []),
        ({"agent": None}, ["four", "three", "two"]),
        ({"agent": (None, "bob"), "status": ("done", "failed")}, ["one", "three"]),
        ({"run": "a", "id": "two"}, ["two"]),
        ({"run": "nobody"}, []),
        ({"result": b'{"words":7}'}, ["one"]),
    ):
        found = [task.id for task in await store.find(TaskRecord, where)]
        assert found == wanted, f"where {where}: {found}, it should be {wanted}"
    assert [run.id for run in await store.find(RunRecord, {"parent": "b", "archived": False})] == ["c"], "children of b"
    for limit in (0, 10_001):
        with raises(Invalid, "a page holds 1 to 10,000 records"):
            await store.find(TaskRecord, limit=limit)
    with raises(Invalid, "there is no such column"):
        await store.find(TaskRecord, {"1=1 or run": "a"})
    with raises(Invalid, "the key has two columns"):
        await store.find(TaskRecord, after=("a",))
    await store.close()


async def the_tables_follow_from_the_log(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    before = await snapshot(store)
    assert before == tables_of(await store.log(limit=10_000)), "the tables are not what the log makes of them"
    differed = await store.rebuild()
    assert differed == 0, f"{differed} records differ from what the log says"
    assert await snapshot(store) == before, "rebuilding has changed what was right"
    await store.close()


async def the_past_is_what_the_log_says_at_every_number(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    entries = await store.log(limit=10_000)
    for seq in range(await store.last_seq() + 1):
        then = await snapshot(await store.at(seq))
        assert then == tables_of(entries[:seq]), f"the tables at {seq} are not what the first {seq} rows make of them"
    for seq in (-1, await store.last_seq() + 1):
        with raises(NotFound, f"there is no entry {seq}"):
            await store.at(seq)
    view = await store.at(4)
    with raises(Invalid, "the past has the same bounds"):
        await view.find(RunRecord, limit=0)
    await store.close()


async def taking_over_raises_epochs_and_fences_who_was_there(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"), under("a", 1, row("a", "run.resumed", {"node": "n", "epoch": 5, "attempts": 3})))
    again = await make.reopen(store)
    [run] = await again.adopt("south", 20.0)
    assert (run.epoch, run.node, run.attempts, run.status) == (6, "south", 3, "active"), f"taken over: {run}"
    assert await again.get(RunRecord, "a") == run, "the answer is what stands in the table"
    [newest] = (await again.stream("run:a"))[-1:]
    assert (newest.kind, newest.at) == ("run.resumed", 20.0), f"the log says so: {newest}"
    assert newest.value()["epoch"] == 6, f"with the new epoch: {newest}"
    answers = await again.append([under("a", 5, row("a", "x")), under("a", 6, row("a", "y"))])
    assert answers[0] == Fenced(RunId("a"), 6), f"the old epoch is refused: {answers}"
    assert not isinstance(answers[1], Fenced), f"the new one holds: {answers}"
    await again.close()


async def only_unfinished_runs_are_taken_over_parents_first(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    await written(store, create("z"), create("e", parent="z"), create("d", parent="e"), create("q", started=False))
    await written(store, create("p"), under("p", 1, row("p", "run.parked", {"reason": "poison"})))
    before = await store.last_seq()
    runs = await store.adopt("south", 20.0)
    assert [run.id for run in runs] == ["b", "q", "z", "e", "d"], (
        f"runs that have ended or are parked stay; a parent comes before its children: {[run.id for run in runs]}"
    )
    epochs = [run.epoch for run in runs]
    assert epochs in ([2, 1, 2, 2, 2], [2, 2, 2, 2, 2]), (
        f"each that was started has a new epoch; who was queued needs one only where others might take it: {epochs}"
    )
    assert await store.last_seq() == before + epochs.count(2), "one row for each that has a new epoch"
    assert await store.beat("south", 10.0), "the owner goes on being the owner"
    assert await store.rebuild() == 0, "taking over is written like everything else"
    await store.close()


async def a_finished_stream_is_archived_and_reads_as_before(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    failed = row("big", "run.failed", {"error": "e"})
    await written(store, create("big"), under("big", 1, row("big", "x", "y" * 100_000), failed))
    streams = {stream: await store.stream(stream) for stream in ("run:a", "run:big")}
    tasks = await store.find(TaskRecord)
    for stream, entries in streams.items():
        archived = await store.archive(stream)
        assert archived.entries == len(entries), f"{stream} has {len(entries)} entries: {archived}"
    for _ in range(2):
        for stream, entries in streams.items():
            assert await store.stream(stream) == entries, f"the archived {stream} does not read as before"
            assert await store.stream(stream, after=2, limit=2) == entries[2:4], "nor does a page of it"
            assert await store.log(stream=stream) == [], "its rows are still in the log"
            archived = await store.archive(stream)
            assert archived == await store.get(ArchiveRecord, stream), "archiving twice is archiving once"
        assert await store.find(TaskRecord) == tasks, "the tasks stay known"
        assert [run.id for run in await store.find(RunRecord, {"archived": True})] == ["a", "big"], "the runs say so"
        store = await make.reopen(store)
    await written(store, under("a", 1, row("a", "reply.late", {"status": "ok"})))
    grown = await store.stream("run:a")
    assert grown[:-1] == streams["run:a"], "a late row is read after the archived ones"
    assert grown[-1].stream_seq == len(grown), "and counts on where they ended"
    await store.close()


async def archiving_changes_neither_the_tables_nor_the_past(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    past = [await snapshot(await store.at(seq)) for seq in range(await store.last_seq() + 1)]
    await store.archive("run:a")
    await store.archive("run:c")
    now = await snapshot(store)
    differed = await store.rebuild()
    assert differed == 0, f"without the archived rows, a rebuild gets {differed} records wrong"
    assert await snapshot(store) == now, "a rebuild leaves what was archived as it was"
    for seq, then in enumerate(past):
        assert await snapshot(await store.at(seq)) == then, f"archiving has changed the past at {seq}"
    assert await snapshot(await store.at(await store.last_seq())) == now, "the newest past is the present"
    await store.close()


async def only_what_has_ended_is_archived(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    await written(
        store, create("p"), under("p", 1, row("p", "run.parked", {"reason": "poison"})), create("q", started=False)
    )
    before = await store.last_seq()
    for stream in ("run:b", "run:p", "run:q", "agent:ann", "store"):
        with raises(WrongPhase, f"{stream} has not ended"):
            await store.archive(stream)
    with raises(NotFound, "there is no such run"):
        await store.archive("run:nobody")
    assert await store.last_seq() == before, "a refused archive writes nothing"
    await store.close()


async def _run(view: View | Store, run: str) -> RunRecord:
    record = await view.get(RunRecord, run)
    assert record is not None, f"run {run} is not in the table"
    return record


QUESTIONS = (
    a_run_goes_through_its_states,
    a_parked_run_goes_on_where_it_was,
    a_task_goes_through_its_states,
    agents_are_known_by_their_rows,
    records_are_found_by_value_and_in_pages,
    the_tables_follow_from_the_log,
    the_past_is_what_the_log_says_at_every_number,
    taking_over_raises_epochs_and_fences_who_was_there,
    only_unfinished_runs_are_taken_over_parents_first,
    a_finished_stream_is_archived_and_reads_as_before,
    archiving_changes_neither_the_tables_nor_the_past,
    only_what_has_ended_is_archived,
)
