"""Idle runs leave memory, and whatever concerns them brings them back."""

import asyncio

import pytest

from concerted.errors import NotFound, WrongPhase
from concerted.messages import Custom
from concerted.ports.commands import Cancel, Signal
from concerted.runs.facts import Input
from concerted.values import Objective, Profile

SLEEPY = {"idle_eviction": 10.0}


async def waits(run):
    return [await run.signal("go") for _ in range(2)]


async def asleep(b, run="r"):
    await asyncio.sleep(30)
    return run in b.coordinator.sleepers.dormant


def test_an_idle_run_leaves_memory_and_a_signal_wakes_it(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        assert await asleep(b)
        assert "r" not in b.coordinator.rounds.live
        assert (await b.view()).status == "active"
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        assert "r" in b.coordinator.rounds.live
        assert await asleep(b)
        await b.serve(Signal(id="r", name="go", payload=2, request_id="two"))
        assert (await b.end()).result == [1, 2]
        assert "run.resumed" not in await b.kinds(), "waking is no takeover"

    bench(main, s=waits, manager=SLEEPY)


def test_waking_costs_no_row_and_no_epoch(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        assert await asleep(b)
        before = await b.store.last_seq()
        await b.serve(Signal(id="r", name="other", request_id="one"))
        assert await b.store.last_seq() == before + 1
        assert (await b.view()).epoch == 1

    bench(main, s=waits, manager=SLEEPY)


def test_a_timer_wakes_a_sleeping_run_in_time(bench):
    async def naps(run):
        await asyncio.sleep(100)
        return run.now()

    async def main(b):
        began = b.clock.now()
        await b.submit(timeout_s=1000.0)
        assert await asleep(b)
        assert (await b.end()).result == pytest.approx(began + 100, abs=0.01)

    bench(main, s=naps, manager=SLEEPY)


def test_a_cancel_wakes_a_sleeping_run(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        assert await asleep(b)
        await b.serve(Cancel(id="r"))
        assert (await b.end()).status == "cancelled"

    bench(main, s=waits, manager=SLEEPY)


def test_whoever_waits_for_a_sleeping_run_hears_of_its_end(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        assert await asleep(b)
        end = asyncio.ensure_future(b.end())
        await asyncio.sleep(1)
        assert not end.done()
        for number in range(2):
            await b.serve(Signal(id="r", name="go", payload=number, request_id=str(number)))
        assert (await end).result == [0, 1]

    bench(main, s=waits, manager=SLEEPY)


def test_a_run_that_waits_for_an_agent_stays(bench):
    async def asks(run):
        return (await run.ask("ann", Custom(name="HELLO"), deadline=1000)).value

    async def main(b):
        ann = await b.agent("ann")
        await b.submit(timeout_s=2000.0)
        assert not await asleep(b)
        ann.reply("hello")
        assert (await b.end()).result == "hello"

    bench(main, s=asks, manager=SLEEPY)


def test_two_signals_at_once_wake_a_run_once(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        assert await asleep(b)
        stream = b.store.stream
        reads = []

        async def slow(*args, **fields):
            entries = await stream(*args, **fields)
            reads.append(len(entries))
            await asyncio.sleep(0.1 * len(reads))  # as from a thread, the later one much later
            return entries

        b.store.stream = slow
        results = await asyncio.gather(
            *(b.serve(Signal(id="r", name="go", payload=n, request_id=str(n))) for n in range(3)),
            return_exceptions=True,
        )
        b.store.stream = stream
        assert results[:2] == [None, None]
        assert isinstance(results[2], WrongPhase)
        assert (await b.end()).result == [0, 1]
        kinds = await b.kinds()
        assert kinds.count("run.completed") == 1
        assert kinds.count("signal.received") == 2

    bench(main, s=waits, manager=SLEEPY)


def test_a_sleeping_run_is_taken_over_like_any_other(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        assert await asleep(b)
        await b.again()
        for number in range(2):
            await b.serve(Signal(id="r", name="go", payload=number, request_id=str(number)))
        assert (await b.end()).result == [0, 1]

    bench(main, s=waits, manager=SLEEPY)


def test_a_repeated_signal_is_known_to_a_sleeping_run(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        assert await asleep(b)
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        assert len(await b.log("signal.received")) == 1

    bench(main, s=waits, manager=SLEEPY)


def test_nothing_can_be_reached_that_is_not_there(bench):
    async def main(b):
        with pytest.raises(NotFound, match="status --all"):
            await b.serve(Signal(id="nothing", name="go", request_id="one"))

    bench(main)


def test_a_run_hears_on_waking_who_has_come_changed_and_gone(bench):
    async def who(run):
        await run.signal("go")
        return {agent: profile.capacity for agent, profile in sorted(run.agents.items())}

    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.agent("cy")
        await b.submit(timeout_s=1000.0)
        await b.submit(run="closed", timeout_s=1000.0, agents=("ann", "bob", "cy"))
        assert await asleep(b)
        assert await asleep(b, "closed")
        await b.agent("dan")
        ann.events.changed(Profile(id="ann", capacity=7))
        bob.events.lost("bob", "its process has ended")
        await b.coordinator.roster.leave("cy", "goodbye")
        for run in ("r", "closed"):
            await b.serve(Signal(id=run, name="go", request_id="one"))
        assert (await b.end()).result == {"ann": 7, "dan": 1}
        assert (await b.end("closed")).result == {"ann": 7}

    bench(main, s=who, manager=SLEEPY)


def test_a_sleeping_child_is_called_off_with_its_parent(bench):
    async def parent(run):
        async with asyncio.timeout(100):
            await run.child("waits", Objective())

    async def main(b):
        await b.submit("parent", timeout_s=1000.0)
        assert await asleep(b, "r/1")
        assert (await b.end()).status == "failed"
        await asyncio.sleep(0.1)
        assert (await b.view("r/1")).status == "cancelled"

    bench(main, parent=parent, waits=waits, manager=SLEEPY)


def test_what_comes_while_a_run_is_waking_is_not_given_to_it_too_early(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        await b.serve(Signal(id="r", name="go", payload=0, request_id="zero"))
        assert await asleep(b)
        await b.submit(run="q", timeout_s=1000.0)
        signals = []
        for number in ("one", "zero"):  # the second is one that the run has had before it slept
            signals.append(asyncio.ensure_future(b.serve(Signal(id="r", name="go", payload=number, request_id=number))))
            b.coordinator.rounds.touch(b.coordinator.rounds.live["q"])
            await asyncio.sleep(0)
        await asyncio.wait(signals)
        assert (await b.end()).result == [0, "one"]
        assert len(await b.log("signal.received")) == 2

    bench(main, s=waits, manager=SLEEPY)


def test_a_run_that_ends_while_it_is_looked_at_is_not_put_to_sleep(bench):
    async def main(b):
        await b.submit(timeout_s=1000.0)
        get = b.store.get

        async def slow(*args):
            record = await get(*args)
            await asyncio.sleep(0.1)  # as from a thread
            return record

        await asyncio.sleep(14.99)
        b.store.get = slow
        await asyncio.sleep(0.02)
        for number in range(2):
            active = b.coordinator.rounds.live["r"]
            await b.coordinator.rounds.written(
                active, Input("signal.received", b.clock.now(), ref=str(number), data=b'{"name":"go","payload":1}')
            )
        await asyncio.sleep(1)
        b.store.get = get
        assert (await b.view()).status == "completed"
        assert b.coordinator.sleepers.dormant == {}

    bench(main, s=waits, manager=SLEEPY)


@pytest.mark.parametrize("strategy", ["watches", "works"])
def test_a_run_that_watches_or_works_stays(bench, strategy):
    async def watches(run):
        return await anext(run.watch())

    async def works(run):
        return await run.do("slow", lambda: asyncio.sleep(60, "worked"))

    async def main(b):
        await b.submit(strategy, timeout_s=1000.0)
        assert not await asleep(b)
        await b.agent("ann")
        assert (await b.end()).result in ({"agent": "ann", "change": "joined", "reason": ""}, "worked")

    bench(main, watches=watches, works=works, manager=SLEEPY)


def test_news_of_an_agent_does_not_come_to_a_waking_run_before_its_history(bench):
    async def notes(run):
        await run.do(f"note that ann can do {run.agents['ann'].capacity} at once", int)
        return [await run.signal("go") for _ in range(2)]

    async def main(b):
        ann = await b.agent("ann")
        await b.submit(timeout_s=1000.0)
        await b.serve(Signal(id="r", name="go", payload=0, request_id="zero"))
        assert await asleep(b)
        await b.submit(run="q", timeout_s=1000.0)
        waking = asyncio.ensure_future(b.serve(Signal(id="r", name="go", payload=1, request_id="one")))
        await asyncio.sleep(0)
        b.loop.call_soon(ann.events.changed, Profile(id="ann", capacity=7))
        b.coordinator.rounds.touch(b.coordinator.rounds.live["q"])
        await waking
        assert (await b.end()).result == [0, 1]
        assert (await b.kinds())[5:] == ["participant.changed", "signal.received", "run.completed"]

    bench(main, s=notes, manager=SLEEPY)
