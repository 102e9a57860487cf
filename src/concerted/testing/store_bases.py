"""Questions about what a write may be based on: the length of a stream, and what is held until when."""

from __future__ import annotations

import asyncio
import math

from concerted.errors import Invalid, Unreachable
from concerted.ports.store import Fenced, Renewal, Row, RunRecord, Stale, Store, Write
from concerted.testing.store_scenes import StoreFactory, create, raises, written
from concerted.values import RunId

__all__ = ["QUESTIONS"]

SPACE = "lease:space"


async def a_write_after_a_row_that_is_not_the_newest_is_refused(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, after({SPACE: 0}, "x"), after({SPACE: 1}, "y"))
    before = await store.last_seq()
    for length in (0, 1, 3, -1):
        answers = await store.append([after({SPACE: length}, "z", "z")])
        assert answers == [Stale(SPACE, 2)], f"the stream has 2 rows, not {length}: {answers}"
    assert await store.append([after({"lease:other": 1}, "z")]) == [Stale("lease:other", 0)], (
        "an empty one has length 0"
    )
    assert await store.last_seq() == before, "a refused write takes no number"
    assert await written(store, after({SPACE: 2}, "z")) == [before + 1], "based on the newest row, it is written"
    assert [entry.stream_seq for entry in await store.stream(SPACE)] == [1, 2, 3], "and is the next of its stream"
    await store.close()


async def a_write_may_be_based_on_what_stands_before_it_in_the_same_call(make: StoreFactory) -> None:
    store = await make.fresh()
    answers = await store.append(
        [
            after({SPACE: 0}, "first"),
            after({SPACE: 0}, "too late"),
            after({SPACE: 1}, "second"),
            Write(rows=[note("blind")]),
            after({SPACE: 3, "lease:other": 0}, "fourth"),
            after({SPACE: 2}, "too late"),
        ]
    )
    assert answers[1:6:4] == [Stale(SPACE, 1), Stale(SPACE, 4)], f"each sees what those before it have done: {answers}"
    kinds = [entry.kind for entry in await store.stream(SPACE)]
    assert kinds == ["first", "second", "blind", "fourth"], f"the refused are not there: {kinds}"
    await store.close()


async def all_that_a_write_is_based_on_must_be_the_case(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, create("a"), after({SPACE: 0}, "x"))
    before = await store.last_seq()
    both = Write(rows=[note("y")], after={SPACE: 1, "lease:other": 4})
    assert await store.append([both]) == [Stale("lease:other", 0)], "one stream of two is otherwise"
    fenced = Write(rows=[note("y")], run=RunId("a"), epoch=7, after={SPACE: 9})
    assert await store.append([fenced]) == [Fenced(RunId("a"), 1)], "who lost the run is told that first"
    stale = Write(rows=create("b").rows, creates=RunId("b"), after={SPACE: 9})
    assert await store.append([stale]) == [Stale(SPACE, 1)], "a creation is based on streams like any other write"
    assert await store.get(RunRecord, "b") is None, "a refused creation leaves nothing"
    assert await store.last_seq() == before, "nothing of all that was written"
    await store.close()


async def of_many_writes_after_the_same_row_one_is_written(make: StoreFactory) -> None:
    store = await make.fresh()
    answers = [one for call in await asyncio.gather(*(_one(store, n) for n in range(50))) for one in call]
    assert sum(isinstance(answer, int) for answer in answers) == 1, f"one of 50 may follow on nothing: {answers}"
    assert set(answers) - {Stale(SPACE, 1)} == {await store.last_seq()}, f"the others are stale: {answers}"
    assert len(await store.stream(SPACE)) == 1, "and wrote nothing"
    await store.close()


async def a_write_without_rows_says_what_is_the_case(make: StoreFactory) -> None:
    store = await make.fresh()
    assert await written(store, Write(rows=[])) == [0], "the newest number of an empty log is 0"
    await written(store, create("a"), after({SPACE: 0}, "x"))
    last = await store.last_seq()
    answers = await store.append([Write(rows=[], after={SPACE: 1}), Write(rows=[], after={SPACE: 0})])
    assert answers == [last, Stale(SPACE, 1)], f"it is answered with the newest number, or refused: {answers}"
    answers = await store.append([Write(rows=[], run=RunId("a"), epoch=1), Write(rows=[], run=RunId("a"), epoch=2)])
    assert answers == [last, Fenced(RunId("a"), 1)], f"its fence is tested too: {answers}"
    answers = await store.append([after({SPACE: 1}, "y"), Write(rows=[], after={SPACE: 2})])
    assert answers == [last + 1, last + 1], f"it sees what those before it have done: {answers}"
    assert await store.last_seq() == last + 1, "it writes nothing"
    await store.close()


async def what_is_held_can_be_renewed(make: StoreFactory) -> None:
    store = await make.fresh()
    assert await store.held(SPACE) == {}, "nothing is held"
    assert await store.renew([Renewal(SPACE, "a", 10.0)]) == [False], "what is not held cannot be renewed"
    await written(store, Write(rows=[note("x")], holds=[hold("a", 10.0), hold("b", 20.0)]))
    await written(store, Write(rows=[], holds=[Renewal("lease:other", "a", 5.5)]))
    assert await store.held(SPACE) == {"a": 10.0, "b": 20.0}, "both are held, with a row and without"
    assert await store.held("lease:other") == {"a": 5.5}, "another stream holds its own"
    before = await store.last_seq()
    renewed = await store.renew([hold("a", 30.5), hold("nobody", 30.0), hold("b", 12.0)])
    assert renewed == [True, False, True], f"one answer for each, in order: {renewed}"
    assert await store.held(SPACE) == {"a": 30.5, "b": 20.0}, "renewing makes it longer, never shorter"
    assert await store.renew([hold("b", 25.0), hold("b", 21.0)]) == [True, True], "the same twice"
    assert (await store.held(SPACE))["b"] == 25.0, "the longest of them counts"
    assert await store.renew([]) == [], "nothing asked, nothing answered"
    assert await store.last_seq() == before, "renewing writes no rows"
    await written(store, Write(rows=[], holds=[hold("a", 7.0)]))
    assert (await store.held(SPACE))["a"] == 7.0, "who holds anew says until when, also shorter"
    await store.close()


async def what_is_dropped_is_held_no_longer(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, Write(rows=[], holds=[hold("a", 10.0), hold("b", 10.0), hold("c", 10.0)]))
    await written(store, Write(rows=[note("x")], drops=[hold("a", 10.0), hold("nobody", 0.0)]))
    assert await store.held(SPACE) == {"b": 10.0, "c": 10.0}, "dropping what is not held is dropping it"
    assert await store.renew([hold("a", 99.0)]) == [False], "what was dropped cannot be renewed"
    await store.renew([hold("b", 11.0)])
    before = await store.last_seq()
    refused = Write(rows=[note("y")], drops=[hold("c", 10.0), hold("b", 10.0)], holds=[hold("d", 9.0)])
    answers = await store.append([refused, Write(rows=[note("z")])])
    assert answers == [Stale(SPACE, 1), before + 1], f"b was renewed beyond 10, and that one is refused: {answers}"
    assert await store.held(SPACE) == {"b": 11.0, "c": 10.0}, "nothing of the refused write counts"
    assert [entry.kind for entry in await store.stream(SPACE)] == ["x", "z"], "nor are its rows written"
    await written(store, Write(rows=[], drops=[hold("b", 11.0), hold("c", 1e15)]))
    assert await store.held(SPACE) == {}, "dropped with what it is held until, or more"
    await store.close()


async def holding_and_dropping_in_one_call_go_in_order(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, Write(rows=[], holds=[hold("old", 10.0)]))
    answers = await store.append(
        [
            Write(rows=[note("x")], holds=[hold("a", 10.0)]),
            Write(rows=[note("x")], drops=[hold("a", 9.0)]),
            Write(rows=[note("x")], drops=[hold("a", 10.0)]),
            Write(rows=[note("x")], drops=[hold("a", 0.0), hold("old", 10.0)], holds=[hold("b", 5.0)]),
            Write(rows=[note("x")], drops=[hold("old", 0.0)]),
            Write(rows=[note("x")], drops=[hold("b", 5.0)], holds=[hold("b", 6.0)]),
            Write(rows=[note("x")], after={SPACE: 9}, holds=[hold("c", 6.0)]),
        ]
    )
    refused = [place for place, answer in enumerate(answers) if not isinstance(answer, int)]
    assert refused == [1, 6], f"only who drops too early, and who is stale, is refused: {answers}"
    assert answers[1] == Stale(SPACE, 1), f"the length is the one at that place: {answers[1]}"
    assert await store.held(SPACE) == {"b": 6.0}, "what is left is what the last of each says"
    await store.close()


async def a_renewal_and_a_drop_at_once_never_both_count(make: StoreFactory) -> None:
    store = await make.fresh()
    keys = [f"k{number}" for number in range(30)]
    await written(store, Write(rows=[], holds=[hold(key, 10.0) for key in keys]))

    async def race(key: str) -> tuple[bool, bool]:
        [[renewed], [dropped]] = await asyncio.gather(
            store.renew([hold(key, 20.0)]), store.append([Write(rows=[note(key)], drops=[hold(key, 10.0)])])
        )
        return renewed, isinstance(dropped, int)

    for key, (renewed, dropped) in zip(keys, await asyncio.gather(*map(race, keys)), strict=True):
        assert renewed != dropped, f"{key}: renewed {renewed}, dropped {dropped}; exactly one of them came first"
        assert (key in await store.held(SPACE)) == renewed, f"{key} is held if it was renewed"
    await store.close()


async def what_is_held_is_left_to_the_next_owner(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, Write(rows=[note("x")], holds=[hold("a", 1e11), hold("b", 1e11)]))
    assert await store.renew([hold("a", 1e12)]) == [True]
    await written(store, Write(rows=[], drops=[hold("b", 1e12)]))
    again = await make.reopen(store)
    assert await again.held(SPACE) == {"a": 1e12}, "what was renewed last counts"
    assert await again.renew([hold("a", 1e13), hold("b", 1e13)]) == [True, False]
    twice = await make.reopen(again)
    assert await twice.held(SPACE) == {"a": 1e13}
    await twice.close()


async def what_cannot_be_held_is_refused(make: StoreFactory) -> None:
    store = await make.fresh()
    for bad in (
        hold("a\n", 1.0),
        hold("a", math.nan),
        hold("a", math.inf),
        hold("a" * 1000, 1.0),
        Renewal("", "a", 1.0),
    ):
        for write in (Write(rows=[], holds=[bad]), Write(rows=[], drops=[bad])):
            with raises(Invalid, f"{bad} cannot be held"):
                await store.append([write])
        with raises(Invalid, f"{bad} cannot be held"):
            await store.renew([bad])
    await store.close()
    with raises(Unreachable, "it is closed"):
        await store.held(SPACE)
    with raises(Unreachable, "it is closed"):
        await store.renew([hold("a", 1.0)])


def note(kind: str) -> Row:
    return Row(stream=SPACE, at=10.0, kind=kind)


def hold(key: str, until: float) -> Renewal:
    return Renewal(SPACE, key, until)


def after(lengths: dict[str, int], *kinds: str) -> Write:
    return Write(rows=[note(kind) for kind in kinds], after=lengths)


async def _one(store: Store, number: int) -> list[int | Fenced | Stale]:
    return await store.append([after({SPACE: 0}, f"x{number}")])


QUESTIONS = (
    a_write_after_a_row_that_is_not_the_newest_is_refused,
    a_write_may_be_based_on_what_stands_before_it_in_the_same_call,
    all_that_a_write_is_based_on_must_be_the_case,
    of_many_writes_after_the_same_row_one_is_written,
    a_write_without_rows_says_what_is_the_case,
    what_is_held_can_be_renewed,
    what_is_dropped_is_held_no_longer,
    holding_and_dropping_in_one_call_go_in_order,
    a_renewal_and_a_drop_at_once_never_both_count,
    what_is_held_is_left_to_the_next_owner,
    what_cannot_be_held_is_refused,
)
