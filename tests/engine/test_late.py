"""Answers that come when nobody waits any more: kept as evidence, once, and never applied."""

import asyncio

import pytest

from concerted.messages import Custom
from concerted.ports.commands import Signal
from concerted.values import Task

HELLO = Custom(name="HELLO")


async def asks_briefly(run):
    reply = await run.ask("ann", HELLO, deadline=1.0)
    await run.signal("go")
    return reply.status


async def claims_twice(run):
    first = await run.execute(Task(id="t"), "ann")
    second = await run.execute(Task(id="t"), "bob")
    return [first.status, second.status, second.value]


async def go(b):
    await b.serve(Signal(id="r", name="go", request_id="one"))
    return await b.end()


def test_an_answer_after_the_deadline_is_kept_and_not_applied(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(2)
        ann.reply({"much": "too late"})
        await asyncio.sleep(1)
        (late,) = await b.log("reply.late")
        assert (late.agent, late.ref) == ("ann", "1")
        assert late.data == {"status": "ok", "value": {"much": "too late"}, "error": None}
        assert (await go(b)).result == "timeout"

    bench(main, s=asks_briefly)


def test_the_same_late_answer_is_kept_once(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(2)
        for _ in range(3):
            ann.reply("late")
        await asyncio.sleep(1)
        assert len(await b.log("reply.late")) == 1
        assert b.coordinator.latecomers.repeated == 2

    bench(main, s=asks_briefly)


def test_an_answer_to_nothing_is_counted_and_not_written(bench):
    async def main(b):
        ann = await b.agent("ann")
        before = await b.store.last_seq()
        for key in ("", "no key", "nobody/1/0123", "r/x/0123", "node-1-7"):
            ann.reply("what?", key=key)
        await asyncio.sleep(1)
        assert b.coordinator.latecomers.unknown == 5
        assert await b.store.last_seq() == before

    bench(main)


def test_who_was_not_needed_any_more_is_late(bench):
    async def first_of_two(run):
        replies = await run.gather(["ann", "bob"], HELLO, quorum=1)
        await run.signal("go")
        return [reply.status for reply in replies]

    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        ann.reply("first")
        await asyncio.sleep(1)
        bob.reply("second")
        await asyncio.sleep(1)
        (late,) = await b.log("reply.late")
        assert (late.agent, late.ref, late.data["value"]) == ("bob", "2", "second")
        assert (await go(b)).result == ["ok", "cancelled"]

    bench(main, s=first_of_two)


def test_the_result_of_a_claim_that_is_over_is_refused_and_kept_with_both_epochs(bench):
    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        await asyncio.sleep(40)
        assert len(await b.log("claim.expired")) == 1
        ann.reply("the work of an hour", key=ann.keys[0])
        await asyncio.sleep(1)
        (refused,) = await b.log("result.refused")
        assert (refused.agent, refused.ref) == ("ann", "1")
        assert refused.data == {
            "task": "t", "epoch": 1, "current_epoch": 2, "status": "ok", "value": "the work of an hour", "error": None,
        }  # fmt: skip
        bob.reply("done")
        assert (await b.end()).result == ["lost", "ok", "done"]

    bench(main, s=claims_twice)


def test_a_claim_lost_with_its_agent_is_refused_when_the_agent_comes_back_with_the_result(bench):
    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        ann.events.lost("ann", "its process has ended")
        await asyncio.sleep(1)
        ann.events.returned("ann")
        ann.reply("done after all", key=ann.keys[0])
        bob.reply("done")
        assert (await b.end()).result == ["lost", "ok", "done"]
        (refused,) = await b.log("result.refused")
        assert (refused.data["epoch"], refused.data["current_epoch"]) == (1, 2)

    bench(main, s=claims_twice)


@pytest.mark.parametrize(("strategy", "kind"), [("asks", "reply.late"), ("executes", "result.refused")])
def test_what_comes_after_the_end_of_the_run_is_kept_too(bench, strategy, kind):
    async def asks(run):
        asyncio.ensure_future(run.ask("ann", HELLO))  # noqa: RUF006
        await asyncio.sleep(1)
        return "over"

    async def executes(run):
        asyncio.ensure_future(run.execute(Task(id="t"), "ann"))  # noqa: RUF006
        await asyncio.sleep(1)
        return "over"

    async def main(b):
        ann = await b.agent("ann")
        await b.submit(strategy)
        before = await b.end()
        ann.reply("late", key=ann.keys[0])
        ann.reply("later", key=ann.keys[0])
        await asyncio.sleep(1)
        assert (await b.kinds())[-2:] == ["run.completed", kind]
        assert (await b.log(kind))[0].data["value"] == "late"
        assert await b.view() == before

    bench(main, asks=asks, executes=executes)


def test_whoever_follows_the_log_hears_of_it_after_the_end_of_the_run_too(bench):
    async def asks(run):
        asyncio.ensure_future(run.ask("ann", HELLO))  # noqa: RUF006
        await asyncio.sleep(1)

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await b.end()
        before = await b.store.last_seq()
        b.loop.call_later(1, ann.reply, "late")
        assert await b.coordinator.rounds.news.wait(before, 60)
        assert await b.store.last_seq() == before + 1

    bench(main, s=asks)


def test_what_is_kept_of_one_run_has_a_bound(bench, monkeypatch):
    monkeypatch.setattr("concerted.engine.rounds.LATE_ROWS", 3)

    async def asks_many_times(run):
        await asyncio.gather(*(run.ask("ann", HELLO, deadline=1.0) for _ in range(10)))
        await run.signal("go")

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(2)
        for key in dict.fromkeys(ann.keys):
            ann.reply("late", key=key)
        await asyncio.sleep(1)
        assert len(await b.log("reply.late")) == 3
        assert (await go(b)).status == "completed"

    bench(main, s=asks_many_times)


def test_a_late_answer_changes_nothing_in_a_replay(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(2)
        ann.reply("late")
        await asyncio.sleep(1)
        await b.again()
        assert (await go(b)).result == "timeout"

    bench(main, s=asks_briefly)


def test_an_answer_that_comes_late_to_a_sleeping_run_is_kept(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit(timeout_s=1000.0)
        await asyncio.sleep(60)
        assert "r" in b.coordinator.sleepers.dormant
        ann.reply("very late")
        await asyncio.sleep(1)
        assert [late.data["value"] for late in await b.log("reply.late")] == ["very late"]

    bench(main, s=asks_briefly, manager={"idle_eviction": 10.0})
