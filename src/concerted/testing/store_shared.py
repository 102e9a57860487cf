"""Questions about a store that several processes write to at the same time, asked through two handles on one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from concerted.ports.store import Entry, Fenced, Renewal, Row, RunRecord, Stale, Store, Write
from concerted.testing.store_scenes import SharedStoreFactory, create, row, under, written
from concerted.values import RunId

__all__ = ["QUESTIONS"]

WITHIN_S = 20.0  # for what must come; it comes within milliseconds
LEASE_S = 0.2
SPACE = "lease:space"


async def numbers_have_no_gaps_whoever_writes(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    rounds, at_once = 15, 8

    async def write(store: Store, name: str) -> list[int]:
        answers = []
        for turn in range(rounds):
            rows = [[_note("shared", f"{name}-{turn}-{n}"), _note(f"note:{name}", "x")] for n in range(at_once)]
            for [answer] in await asyncio.gather(*(store.append([Write(rows=two)]) for two in rows)):
                assert isinstance(answer, int), f"a write that is based on nothing was refused: {answer}"
                answers.append(answer)
        return answers

    async def follow(store: Store, count: int) -> list[Entry]:
        seen: list[Entry] = []
        while len(seen) < count:
            seen += await store.log(after=seen[-1].seq if seen else 0)
            numbers = [entry.seq for entry in seen]
            assert numbers == list(range(1, len(seen) + 1)), "a number was there before a smaller one: not commit order"
            await asyncio.sleep(0)
        return seen

    total = 2 * 2 * rounds * at_once
    async with asyncio.timeout(WITHIN_S):
        one, two, seen = await asyncio.gather(write(first, "one"), write(second, "two"), follow(second, total))
    assert len(set(one) | set(two)) == 2 * rounds * at_once, "two writes were answered with the same number"
    written_by = {entry.seq: entry.kind for entry in await first.log(limit=10_000)}
    assert written_by == {entry.seq: entry.kind for entry in seen}, "both read the same log"
    numbers = [entry.stream_seq for entry in await first.stream("shared")]
    assert numbers == list(range(1, total // 2 + 1)), "the rows of a stream that both write to are counted once each"
    await _close(first, second)


async def of_two_that_follow_on_the_same_row_one_is_written(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    for length in range(20):
        write = Write(rows=[_note(SPACE, "x")], after={SPACE: length})
        [one], [two] = await asyncio.gather(first.append([write]), second.append([write]))
        refused = [answer for answer in (one, two) if not isinstance(answer, int)]
        assert refused == [Stale(SPACE, length + 1)], f"after {length} rows: {one} and {two}; one must be refused"
    assert len(await first.stream(SPACE)) == 20, "one row each time"
    await _close(first, second)


async def of_two_that_create_the_same_run_one_does(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    for number in range(10):
        [one], [two] = await asyncio.gather(first.append([create(f"r{number}")]), second.append([create(f"r{number}")]))
        refused = [answer for answer in (one, two) if not isinstance(answer, int)]
        assert refused == [Fenced(RunId(f"r{number}"), 1)], f"run r{number} was created by {one} and {two}"
    assert len(await second.stream("run:r0")) == 2, "its rows are there once"
    await _close(first, second)


async def a_raised_epoch_fences_the_other_process_at_once(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    await written(first, create("a"))
    await written(second, under("a", 1, row("a", "run.resumed", {"node": "south", "epoch": 2, "attempts": 1})))
    answers = await first.append([under("a", 1, row("a", "x"))])
    assert answers == [Fenced(RunId("a"), 2)], f"the run is the other's now: {answers}"
    await _close(first, second)


async def what_one_was_answered_the_other_reads(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    for number in range(20):
        [seq] = await written(first, create(f"r{number}"))
        assert await second.last_seq() == seq, "the newest number"
        assert await second.get(RunRecord, f"r{number}") is not None, "the tables"
        assert len(await second.stream(f"run:r{number}")) == 2, "the stream"
    await _close(first, second)


async def a_commit_wakes_who_listens(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    heard = _Heard(second)
    for _ in range(5):
        [seq] = await written(first, Write(rows=[_note("note:a", "x")]))
        await heard.until(seq)
    await _close(first, second)


async def what_is_held_is_held_for_both(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    await written(first, Write(rows=[], holds=[Renewal(SPACE, "a", 10.0), Renewal(SPACE, "b", 10.0)]))
    assert await second.held(SPACE) == {"a": 10.0, "b": 10.0}, "the other sees it"
    assert await second.renew([Renewal(SPACE, "a", 20.0)]) == [True], "and renews it"
    drop = Write(rows=[_note(SPACE, "x")], drops=[Renewal(SPACE, "a", 10.0)])
    assert await first.append([drop]) == [Stale(SPACE, 0)], "who wanted to end it is told that it was renewed"
    await written(second, Write(rows=[], drops=[Renewal(SPACE, "a", 20.0)]))
    assert await first.held(SPACE) == {"b": 10.0}, "dropped by the one is dropped for the other"
    keys = [f"k{number}" for number in range(20)]
    await written(first, Write(rows=[], holds=[Renewal(SPACE, key, 10.0) for key in keys]))
    for key in keys:
        drop = Write(rows=[], drops=[Renewal(SPACE, key, 10.0)])
        [[renewed], [dropped]] = await asyncio.gather(second.renew([Renewal(SPACE, key, 20.0)]), first.append([drop]))
        assert renewed != isinstance(dropped, int), (
            f"{key}: renewed {renewed}, dropped {dropped}; one of them came first"
        )
    await _close(first, second)


async def of_two_that_adopt_at_once_each_run_has_one(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    runs = [f"r{number}" for number in range(20)]
    await written(first, *(create(run, started=run > "r5") for run in runs))
    one, two = await asyncio.gather(first.adopt("one", 20.0), second.adopt("two", 20.0))
    assert sorted(run.id for run in one + two) == sorted(runs), f"{len(one)} and {len(two)} of {len(runs)} were adopted"
    for node, adopted in (("one", one), ("two", two)):
        assert {run.node for run in adopted} <= {node}, f"{node} got a run of the other: {adopted}"
        assert {run.epoch for run in adopted} <= {2}, f"each has a new epoch, also who was queued: {adopted}"
    assert await first.adopt("one", 21.0) == await second.adopt("two", 21.0) == [], (
        "both live: there is nothing to adopt"
    )
    await _close(first, second)


async def a_node_that_lives_keeps_its_runs(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    await first.adopt("one", 10.0)
    started = create("a").rows[0], row("a", "run.started", {"node": "one", "epoch": 1, "deadline_at": None})
    await written(first, Write(rows=started, creates=RunId("a")), create("queued", started=False))
    assert await second.adopt("two", 20.0) == [], "node one has run a, and has queued the other"
    assert await first.beat("one", 60.0), "node one lives"
    assert not await second.beat("three", 60.0), "who never had a lease cannot renew it"
    heard = _Heard(second)
    await first.close()
    await heard.until(await second.last_seq())
    taken = [run.id for run in await second.adopt("two", 30.0)]
    assert taken == ["a", "queued"], f"who leaves in peace leaves its runs at once: {taken}"
    await second.close()


async def a_node_that_is_silent_for_its_lease_loses_its_runs(make: SharedStoreFactory) -> None:
    first, second = await _two(make)
    await first.adopt("one", 10.0)
    started = create("a").rows[0], row("a", "run.started", {"node": "one", "epoch": 1, "deadline_at": None})
    await written(first, Write(rows=started, creates=RunId("a")))
    assert await first.beat("one", LEASE_S), "node one lives, and says nothing from now on"
    taken = await _soon(lambda: second.adopt("two", 20.0))
    assert [(run.id, run.node, run.epoch) for run in taken] == [("a", "two", 2)], f"node two has it now: {taken}"
    assert not await first.beat("one", 60.0), "node one has lost its lease"
    assert await first.append([under("a", 1, row("a", "x"))]) == [Fenced(RunId("a"), 2)], "and the run"
    await _close(first, second)


class _Heard:
    """What a listener was told."""

    def __init__(self, store: Store) -> None:
        self._newest = -1
        self._news = asyncio.Event()
        store.listen(self._told)

    async def until(self, seq: int) -> None:
        """Wait until it was told of this number, or of a later one."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while self._newest < seq:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"entry {seq} was committed; who listens was told of {self._newest} only") from None

    def _told(self, seq: int) -> None:
        self._newest = max(self._newest, seq)
        self._news.set()


def _note(stream: str, kind: str) -> Row:
    return Row(stream=stream, at=10.0, kind=kind)


async def _two(make: SharedStoreFactory) -> tuple[Store, Store]:
    first = await make.fresh()
    assert first.shared, "a store that can be opened twice says that it is shared"
    return first, await make.open_second(first)


async def _close(*stores: Store) -> None:
    for store in stores:
        await store.close()


async def _soon(ask: Callable[[], Awaitable[list[RunRecord]]]) -> list[RunRecord]:
    """Ask again and again until there is an answer."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if answer := await ask():
                return answer
            await asyncio.sleep(LEASE_S / 10)


QUESTIONS = (
    numbers_have_no_gaps_whoever_writes,
    of_two_that_follow_on_the_same_row_one_is_written,
    of_two_that_create_the_same_run_one_does,
    a_raised_epoch_fences_the_other_process_at_once,
    what_one_was_answered_the_other_reads,
    a_commit_wakes_who_listens,
    what_is_held_is_held_for_both,
    of_two_that_adopt_at_once_each_run_has_one,
    a_node_that_lives_keeps_its_runs,
    a_node_that_is_silent_for_its_lease_loses_its_runs,
)
