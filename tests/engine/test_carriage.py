"""Circuit breakers that fail fast, and the cache of what agents can do."""

import asyncio

import pytest

from concerted.messages import Custom, GetCapabilities, Reply
from concerted.values import Profile, Task

HELLO = Custom(name="HELLO")
BREAKER = {"breaker_failures": 3, "breaker_cooldown": 20.0}


async def ask(b, deadline=1.0):
    return await b.coordinator.asker.ask("ann", HELLO, deadline=deadline)


async def fail(b, times):
    for _ in range(times):
        assert (await ask(b)).status == "timeout"


def test_after_failures_in_a_row_commands_fail_fast(bench):
    async def main(b):
        ann = await b.agent("ann")
        await fail(b, 3)
        sent, before = len(ann.sent), b.loop.time()
        reply = await ask(b)
        assert reply.status == "lost"
        assert "ann has failed 3 times in a row; it is tried again in 20.0 s" in reply.error
        assert b.loop.time() == before
        assert len(ann.sent) == sent
        await asyncio.sleep(0.1)
        (opened,) = await b.log("breaker.opened", "agent:ann")
        assert opened.data["failures"] == 3
        assert opened.data["retry_at"] == pytest.approx(opened.at + 20, abs=0.1)

    bench(main, manager=BREAKER)


def test_timeouts_inside_runs_count_too(bench):
    async def asks(run):
        return [(await run.ask("ann", HELLO, deadline=1.0)).status for _ in range(4)]

    async def main(b):
        await b.agent("ann")
        await b.submit()
        assert (await b.end()).result == ["timeout", "timeout", "timeout", "lost"]

    bench(main, s=asks, manager=BREAKER)


def test_an_answer_between_failures_starts_the_count_anew(bench):
    async def main(b):
        ann = await b.agent("ann")
        await fail(b, 2)
        ann.answer = lambda request: Reply(agent="ann", status="failed", error="no")  # an answer all the same
        assert (await ask(b)).status == "failed"
        ann.answer = lambda request: ann.SILENCE
        await fail(b, 2)
        assert await b.log("breaker.opened", "agent:ann") == []

    bench(main, manager=BREAKER)


def test_after_the_cooldown_one_probe_passes_and_its_answer_closes(bench):
    async def main(b):
        ann = await b.agent("ann")
        await fail(b, 3)
        await asyncio.sleep(20)
        sent = len(ann.sent)
        probe = asyncio.ensure_future(ask(b, 5.0))
        await asyncio.sleep(0.1)
        assert (await ask(b)).status == "lost", "a second one passed beside the probe"
        assert len(ann.sent) == sent + 1
        ann.reply("here")
        assert (await probe).status == "ok"
        ann.answer = lambda request: "hello"
        assert (await ask(b)).status == "ok"
        assert [event.kind for event in await b.log("breaker.*", "agent:ann")] == ["breaker.opened", "breaker.closed"]

    bench(main, manager=BREAKER)


def test_a_probe_that_fails_opens_again(bench):
    async def main(b):
        await b.agent("ann")
        await fail(b, 3)
        await asyncio.sleep(20)
        assert (await ask(b)).status == "timeout"
        assert (await ask(b)).status == "lost"
        await asyncio.sleep(20)
        assert (await ask(b)).status == "timeout"

    bench(main, manager=BREAKER)


def test_one_agents_breaker_is_nobody_elses(bench):
    async def main(b):
        await b.agent("ann")
        await b.agent("bob", lambda request: "hello")
        await fail(b, 3)
        assert (await b.coordinator.asker.ask("bob", HELLO)).status == "ok"

    bench(main, manager=BREAKER)


def test_an_agent_that_registers_anew_is_tried_at_once(bench):
    async def main(b):
        await b.agent("ann")
        await fail(b, 3)
        await b.agent("ann", lambda request: "hello")
        assert (await ask(b)).status == "ok"

    bench(main, manager=BREAKER)


def test_a_notice_is_no_probe(bench):
    async def informs(run):
        run.inform(["ann"], Custom(name="NOTICE"))

    async def main(b):
        ann = await b.agent("ann")
        await fail(b, 3)
        await asyncio.sleep(21)
        await b.submit()
        await b.end()
        ann.answer = lambda request: "hello"
        assert (await ask(b)).status == "ok"

    bench(main, s=informs, manager=BREAKER)


def test_what_an_agent_has_in_hand_outlives_its_open_breaker(bench):
    async def executes(run):
        return (await run.execute(Task(id="t"), "ann")).value

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        (key,) = ann.keys
        ann.held.add(key)
        await fail(b, 3)
        ann.events.suspected("ann", "it was slow")
        ann.beat(key)  # and here it is again
        await asyncio.sleep(1)
        ann.reply("done", key=key)
        assert (await b.end()).result == "done"

    bench(main, s=executes, manager=BREAKER)


# what agents can do


async def asks_what_it_can(run):
    reply = await run.ask("ann", GetCapabilities())
    return [reply.status, reply.value, reply.cached]


def counts(ann):
    ann.asked = 0

    def answer(request):
        ann.asked += 1
        return {"paint": ann.asked / 10}

    ann.answer = answer


def test_capabilities_are_asked_for_once_and_believed_for_a_while(bench):
    async def main(b):
        ann = await b.agent("ann")
        counts(ann)
        results = []
        for number in range(3):
            await b.submit(run=f"r{number}")
            results.append((await b.end(f"r{number}")).result)
            await asyncio.sleep(20)
        assert results == [["ok", {"paint": 0.1}, False], ["ok", {"paint": 0.1}, True], ["ok", {"paint": 0.2}, False]]
        assert ann.asked == 2

    bench(main, s=asks_what_it_can, manager={"capability_ttl": 30.0})


def test_a_new_profile_drops_what_was_believed(bench):
    async def main(b):
        ann = await b.agent("ann")
        counts(ann)
        await b.submit()
        await b.end()
        ann.events.changed(Profile(id="ann"))  # nothing new in it
        await b.submit(run="q")
        assert (await b.end("q")).result[2] is True
        ann.events.changed(Profile(id="ann", capacity=2))
        await b.submit(run="p")
        assert (await b.end("p")).result == ["ok", {"paint": 0.2}, False]

    bench(main, s=asks_what_it_can)


def test_a_cached_answer_is_in_the_log_like_any_other(bench):
    async def main(b):
        ann = await b.agent("ann")
        counts(ann)
        await b.submit()
        await b.end()
        await b.submit(run="q")
        await b.end("q")
        (reply,) = await b.log("reply.received", "run:q")
        assert reply.data == {"status": "ok", "value": {"paint": 0.1}, "cached": True}

    bench(main, s=asks_what_it_can)


def test_an_answer_that_is_no_success_is_not_believed(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: Reply(agent="ann", status="failed", error="busy"))
        await b.submit()
        assert (await b.end()).result[0] == "failed"
        counts(ann)
        await b.submit(run="q")
        assert (await b.end("q")).result == ["ok", {"paint": 0.1}, False]

    bench(main, s=asks_what_it_can)


def test_a_probe_that_nobody_waits_for_any_more_does_not_shut_the_agent_out_for_ever(bench):
    async def main(b):
        ann = await b.agent("ann")
        ask = b.coordinator.asker.ask
        for _ in range(2):
            await ask("ann", HELLO, deadline=1)
        await asyncio.sleep(30)
        probe = asyncio.ensure_future(ask("ann", HELLO))
        await asyncio.sleep(0.1)
        probe.cancel()
        await asyncio.sleep(100)
        ann.answer = lambda request: "back"
        assert (await ask("ann", HELLO)).status == "ok"

    bench(main, manager={"breaker_failures": 2, "breaker_cooldown": 30.0})
