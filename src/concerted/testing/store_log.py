"""Questions about the log of a store: numbers, order, fences, atomicity, paging, what survives."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from concerted.errors import Invalid, Unreachable
from concerted.ports.store import Fenced, Row, RunRecord, Write
from concerted.testing.store_scenes import StoreFactory, create, raises, row, under, written
from concerted.values import RunId, encode

__all__ = ["QUESTIONS"]

LARGE = 200_000  # bytes: more than any store keeps in a row


async def numbers_have_no_gaps_and_follow_the_order_of_appending(make: StoreFactory) -> None:
    store = await make.fresh()
    before = await store.last_seq()
    answers = await written(
        store, create("a"), under("a", 1, row("a", "x"), row("a", "y")), under("a", 1, row("a", "z"))
    )
    assert answers == [before + 2, before + 4, before + 5], f"an answer is the number of a write's last row: {answers}"
    entries = await store.log(after=before)
    assert [entry.seq for entry in entries] == list(range(before + 1, before + 6)), "a number is missing in the log"
    assert [entry.kind for entry in entries][2:] == ["x", "y", "z"], "rows stand in the order in which they were given"
    assert await store.last_seq() == before + 5, "last_seq is the number of the newest row"
    await store.close()


async def every_stream_counts_its_own_rows_from_one(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"), create("b"))
    await written(store, under("b", 1, row("b", "x")), under("a", 1, row("a", "y")), under("b", 1, row("b", "z")))
    for run, count in (("a", 3), ("b", 4)):
        numbers = [entry.stream_seq for entry in await store.stream(f"run:{run}")]
        assert numbers == list(range(1, count + 1)), f"stream run:{run} has {numbers}"
    assert await store.stream("run:nobody") == [], "a stream that nobody wrote to is empty"
    await store.close()


async def a_row_comes_back_as_it_was_written(make: StoreFactory) -> None:
    store = await make.fresh()
    values: list[Any] = [
        None,
        True,
        0,
        -7,
        2**60,
        10**30,
        1.5,
        1e-300,
        "",
        "Grüße, 日本, 🐝",
        '\u0000\u2028"\\',
        [[], {}],
        {"é": {"b": [1]}},
    ]
    rows = [
        Row(
            stream="note:é 1",
            at=1.25 + place,
            kind="note.made",
            agent="ann",
            ref=f"r-{place}",
            data=encode(value),
            lamport=place + 1,
        )
        for place, value in enumerate(values)
    ]
    rows.append(Row(stream="note:é 1", at=99, kind="note.made", data=b' { "b" : 1,\n "a" : [ ] } ', lamport=99))
    rows.append(Row(stream="note:é 1", at=99, kind="note.made"))
    await written(store, Write(rows=rows))
    entries = await store.stream("note:é 1")
    assert [entry.value() for entry in entries[:-2]] == values, "a JSON value has changed on its way"
    assert entries[-1].lamport == entries[-1].seq, "a row without a Lamport time has its sequence number for one"
    for given, entry in zip(rows[:-1], entries[:-1], strict=True):
        kept = Row(
            stream=entry.stream,
            at=entry.at,
            kind=entry.kind,
            agent=entry.agent,
            ref=entry.ref,
            data=entry.data,
            lamport=entry.lamport,
        )
        assert kept == given, f"{given} came back as {kept}"
    await store.close()


async def what_cannot_be_read_back_is_refused_before_anything_is_done(make: StoreFactory) -> None:
    store = await make.fresh()
    before = await written(store, create("a"))
    good = Row(stream="run:a", at=1.0, kind="x")
    bad = [
        *(
            Row(stream="run:a", at=1.0, kind="x", data=data)
            for data in (b"NaN", b"{", b"", b'"\xff"', b"1 2", b"Infinity")
        ),
        *(Row(stream="run:a", at=at, kind="x") for at in (math.nan, math.inf)),
        Row(stream="", at=1.0, kind="x"),
        Row(stream="run:a\n", at=1.0, kind="x"),
        Row(stream="run:a", at=1.0, kind=""),
        Row(stream="run:a", at=1.0, kind="x", ref="\ud800"),
        Row(stream="run:a", at=1.0, kind="x", lamport=-1),
        Row(stream="run:a", at=1.0, kind="x", lamport=2**70),
    ]
    for one in bad:
        with raises(Invalid, f"{one} cannot be kept"):
            await store.append([Write(rows=[good]), Write(rows=[good, one])])
    assert await store.last_seq() == before[-1], "a call with one bad row writes nothing at all"
    await written(store, Write(rows=[good]))
    await store.close()


async def data_that_does_not_fit_its_kind_is_refused(make: StoreFactory) -> None:
    store = await make.fresh()
    before = await written(store, create("a"))
    bad = [
        row("a", "run.started", {"node": "north"}),
        row("a", "run.started", {"node": "north", "epoch": -1}),
        row("a", "run.resumed", {"node": "north", "epoch": 2**64}),
        row("a", "tasks.added", {"tasks": [{"description": "no id"}]}),
        row("a", "task.claimed", {"epoch": 1, "attempt": 1}),
        row("a", "task.ready", {}),
        Row(stream="elsewhere", at=1.0, kind="run.started", data=b'{"node":"n","epoch":1}'),
        Row(stream="run:a", at=1.0, kind="agent.alive"),
    ]
    for one in bad:
        with raises(Invalid, f"{one} would leave the tables without what they need"):
            await store.append([under("a", 1, one)])
    assert await store.last_seq() == before[-1], "a row that cannot be projected is not written"
    await store.close()


async def concurrent_appends_are_all_answered(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, *(create(f"r{number}") for number in range(10)))
    before = await store.last_seq()
    calls = [store.append([under(f"r{n % 10}", 1, row(f"r{n % 10}", "x", n))]) for n in range(300)]
    answers = [seq for answer in await asyncio.gather(*calls) for seq in answer]
    assert sorted(answers) == list(range(before + 1, before + 301)), "each of 300 calls at once gets its own number"  # type: ignore[type-var]
    kept = {entry.seq: entry.value() for entry in await store.log(after=before)}
    assert [kept[seq] for seq in answers] == list(range(300)), "a call was answered with another's number"  # type: ignore[index]
    await store.close()


async def a_call_without_writes_does_nothing(make: StoreFactory) -> None:
    store = await make.fresh()
    before = await store.last_seq()
    assert await store.append([]) == [], "nothing asked, nothing answered"
    assert await store.last_seq() == before, "nothing was to be written"
    await store.close()


async def reads_see_what_was_answered(make: StoreFactory) -> None:
    store = await make.fresh()
    for number in range(20):
        [seq] = await written(store, create(f"r{number}"))
        assert await store.last_seq() == seq, "a read after an answered append sees it"
        assert await store.get(RunRecord, f"r{number}") is not None, "the tables are written with the rows"
    await store.close()


async def large_data_comes_back_whole(make: StoreFactory) -> None:
    store = await make.fresh()
    large = ["x" * LARGE, {"deep": ["y" * LARGE]}, "x" * LARGE]
    await written(store, create("a"), under("a", 1, *(row("a", "reply.received", one) for one in large)))
    await written(store, under("a", 1, row("a", "run.completed", {"outcome": "z" * LARGE})))
    assert [entry.value() for entry in (await store.stream("run:a"))[2:5]] == large, "large data has changed"
    assert [entry.value() for entry in await store.log(kind="reply.received")] == large, "`log` reads as `stream` does"
    run = await store.get(RunRecord, "a")
    assert run is not None, "the run is there"
    assert run.result == encode({"outcome": "z" * LARGE}), "a large result must be whole in the table"
    await store.close()


async def a_wrong_epoch_is_refused_and_nothing_of_it_is_written(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"))
    before = await store.last_seq()
    for epoch in (0, 2, -1):
        answers = await store.append([under("a", epoch, row("a", "x"), row("a", "y"))])
        assert answers == [Fenced(RunId("a"), 1)], f"epoch {epoch} of run a, which has epoch 1: {answers}"
    assert await store.append([under("nobody", 1, row("nobody", "x"))]) == [Fenced(RunId("nobody"), 0)], (
        "a run that does not exist has epoch 0"
    )
    assert await store.last_seq() == before, "a refused write takes no number"
    await store.close()


async def a_refused_write_does_not_harm_its_neighbours(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"))
    before = await store.last_seq()
    answers = await store.append(
        [under("a", 1, row("a", "x")), under("a", 9, row("a", "y")), under("a", 1, row("a", "z"))]
    )
    assert answers == [before + 1, Fenced(RunId("a"), 1), before + 2], f"only the second has a wrong epoch: {answers}"
    assert [entry.kind for entry in await store.log(after=before)] == ["x", "z"], "the refused row must not be there"
    await store.close()


async def a_run_is_created_once(make: StoreFactory) -> None:
    store = await make.fresh()
    answers = await store.append([create("a"), create("a")])
    assert answers[1] == Fenced(RunId("a"), 1), f"the second of two in one call is refused: {answers}"
    [again] = await store.append([create("a")])
    assert again == Fenced(RunId("a"), 1), f"a later one is refused too: {again}"
    together = Write(rows=create("b").rows, creates=RunId("b"), run=RunId("a"), epoch=7)
    assert await store.append([together]) == [Fenced(RunId("a"), 1)], "a fence and a creation must both hold"
    assert await store.get(RunRecord, "b") is None, "a refused creation leaves nothing"
    await written(store, Write(rows=create("b").rows, creates=RunId("b"), run=RunId("a"), epoch=1))
    await store.close()


async def a_creation_names_its_run(make: StoreFactory) -> None:
    store = await make.fresh()
    for creates in (None, RunId("b")):
        with raises(Invalid, "else a run that exists could be overwritten"):
            await store.append([Write(rows=create("a").rows, creates=creates)])
    with raises(Invalid, "no row creates it"):
        await store.append([Write(rows=[row("a", "x")], creates=RunId("a"))])
    await store.close()


async def a_raised_epoch_fences_the_rest_of_the_same_commit(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"))
    resumed = row("a", "run.resumed", {"node": "south", "epoch": 2, "attempts": 1})
    answers = await store.append(
        [under("a", 1, resumed), under("a", 1, row("a", "old")), under("a", 2, row("a", "new"))]
    )
    assert answers[1] == Fenced(RunId("a"), 2), f"the old epoch is over as soon as the new one is written: {answers}"
    assert not isinstance(answers[2], Fenced), f"and the new one holds: {answers}"
    await store.close()


async def the_log_is_read_in_pages_and_by_name(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"), create("ab"), create("b"))
    await written(
        store, under("a", 1, *(row("a", f"task.{name}", {"reason": ""}, ref="t") for name in ("ready", "failed")))
    )
    everything = await store.log()
    pages, after = [], 0
    while page := await store.log(after=after, limit=3):
        assert len(page) <= 3, "a page holds no more than its limit"
        pages += page
        after = page[-1].seq
    assert pages == everything, "pages put together are the whole"
    last = await store.last_seq()
    assert await store.log(after=2, until=4) == [e for e in everything if 2 < e.seq <= 4], "after < seq <= until"
    assert await store.log(until=0) == [], "nothing stands before the first"
    assert await store.log(after=last) == [], "nothing stands after the last"
    for pattern in ("run:a", "run:a*", "*", "run:", "none*"):
        wanted = [e for e in everything if _fits(e.stream, pattern)]
        assert await store.log(stream=pattern) == wanted, f"stream={pattern!r}"
    for pattern in ("run.created", "task.*", "task", "*"):
        wanted = [e for e in everything if _fits(e.kind, pattern)]
        assert await store.log(kind=pattern) == wanted, f"kind={pattern!r}"
    both = await store.log(stream="run:a", kind="run.*", limit=1, after=1)
    assert both == [e for e in everything if e.stream == "run:a" and e.kind.startswith("run.") and e.seq > 1][:1], (
        "both"
    )
    await store.close()


async def a_stream_is_read_in_pages(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"), under("a", 1, *(row("a", "x", number) for number in range(7))))
    everything = await store.stream("run:a")
    assert len(everything) == 9, f"nine rows were written, {len(everything)} are there"
    assert await store.stream("run:a", after=4) == everything[4:], "after counts in the stream's own numbers"
    assert await store.stream("run:a", after=4, limit=2) == everything[4:6], "a page"
    assert await store.stream("run:a", after=9) == [], "after the last there is nothing"
    for limit in (0, -1, 10**9):
        with raises(Invalid, "a page has bounds"):
            await store.stream("run:a", limit=limit)
        with raises(Invalid, "a page has bounds"):
            await store.log(limit=limit)
    await store.close()


async def everything_is_there_after_reopening(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"), under("a", 1, row("a", "x", "y" * LARGE)))
    entries, run = await store.log(), await store.get(RunRecord, "a")
    again = await make.reopen(store)
    assert await again.log() == entries, "the log has changed by closing and opening"
    assert await again.get(RunRecord, "a") == run, "the tables have changed by closing and opening"
    answers = await again.append([under("a", 7, row("a", "z")), create("a"), under("a", 1, row("a", "z"))])
    assert answers == [Fenced(RunId("a"), 1), Fenced(RunId("a"), 1), entries[-1].seq + 1], (
        f"fences and numbers go on where they were: {answers}"
    )
    assert (await again.stream("run:a"))[-1].stream_seq == 4, "streams go on counting where they were"
    await again.close()


async def a_closed_store_refuses_and_may_be_closed_again(make: StoreFactory) -> None:
    store = await make.fresh()
    waiting = asyncio.ensure_future(store.append([create("a")]))
    await asyncio.sleep(0)
    await store.close()
    assert await waiting, "what was asked before the end is finished"
    await store.close()
    with raises(Unreachable, "it is closed"):
        await store.append([create("b")])
    with raises(Unreachable, "it is closed"):
        await store.last_seq()
    with raises(Unreachable, "it is closed"):
        await store.rebuild()


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


QUESTIONS = (
    numbers_have_no_gaps_and_follow_the_order_of_appending,
    every_stream_counts_its_own_rows_from_one,
    a_row_comes_back_as_it_was_written,
    what_cannot_be_read_back_is_refused_before_anything_is_done,
    data_that_does_not_fit_its_kind_is_refused,
    concurrent_appends_are_all_answered,
    a_call_without_writes_does_nothing,
    reads_see_what_was_answered,
    large_data_comes_back_whole,
    a_wrong_epoch_is_refused_and_nothing_of_it_is_written,
    a_refused_write_does_not_harm_its_neighbours,
    a_run_is_created_once,
    a_creation_names_its_run,
    a_raised_epoch_fences_the_rest_of_the_same_commit,
    the_log_is_read_in_pages_and_by_name,
    a_stream_is_read_in_pages,
    everything_is_there_after_reopening,
    a_closed_store_refuses_and_may_be_closed_again,
)
