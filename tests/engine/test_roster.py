"""Who is here, and how they are: registration, liveness, breakers, and what runs hear of it."""

import asyncio

import pytest

from concerted.errors import ConcertedError, NotFound, Unreachable
from concerted.messages import Custom
from concerted.ports.commands import Agents
from concerted.values import Profile

HELLO = Custom(name="HELLO")


async def state(b, name):
    return next(view.state for view in await b.serve(Agents()) if view.id == name)


def test_a_registered_agent_is_in_the_log_and_in_the_list(bench):
    async def main(b):
        await b.agent("ann", capabilities={"writing": 0.9})
        (row,) = await b.log(stream="agent:ann")
        assert (row.kind, row.data["link"], row.data["profile"]["capabilities"]) == (
            "agent.registered",
            "test",
            {"writing": 0.9},
        )
        (view,) = await b.serve(Agents())
        assert (view.id, view.state, view.capabilities) == ("ann", "alive", {"writing": 0.9})

    bench(main)


def test_a_link_that_cannot_be_opened_registers_nobody(bench):
    async def main(b):
        ann = await b.agent("ann")

        async def broken(events):
            raise Unreachable("no such program")

        ann.open = broken
        ann.profile = Profile(id="bob")
        with pytest.raises(Unreachable, match="no such program"):
            await b.coordinator.roster.register(ann.profile, ann, kind="test")
        assert [view.id for view in await b.serve(Agents())] == ["ann"]

    bench(main)


def test_silence_makes_suspect_and_then_gone_and_a_beat_makes_alive(bench):
    async def main(b):
        ann = await b.agent("ann")
        ann.in_process = False
        await asyncio.sleep(7)
        assert await state(b, "ann") == "alive"
        await asyncio.sleep(4)
        assert await state(b, "ann") == "suspect"
        ann.beat()
        assert await state(b, "ann") == "alive"
        await asyncio.sleep(21)
        assert await state(b, "ann") == "gone"
        ann.beat()
        assert await state(b, "ann") == "alive"
        await asyncio.sleep(0.1)
        kinds = [row.kind for row in await b.log(stream="agent:ann")]
        assert kinds == [
            "agent.registered", "agent.suspect", "agent.alive", "agent.suspect", "agent.gone", "agent.alive",
        ]  # fmt: skip

    bench(main, manager={"heartbeat_interval": 5.0})


def test_an_agent_of_this_process_needs_no_heartbeat(bench):
    async def main(b):
        await b.agent("ann")
        await asyncio.sleep(1000)
        assert await state(b, "ann") == "alive"

    bench(main)


def test_an_agent_that_sends_no_beats_is_asked_for_its_status(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: {"id": "ann", "load": 0.5})
        ann.in_process = ann.pushes_beats = False
        await asyncio.sleep(100)
        assert await state(b, "ann") == "alive"
        assert 9 <= len(ann.of_type("GET_STATUS")) <= 11
        (view,) = await b.serve(Agents())
        assert view.load == 0.5
        ann.answer = lambda request: ann.SILENCE
        await asyncio.sleep(60)
        assert await state(b, "ann") == "gone"

    bench(main, manager={"health_check_interval": 10.0})


def test_a_status_that_is_none_is_a_fault_and_no_sign_of_life(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: {"load": "high"})
        ann.in_process = ann.pushes_beats = False
        await asyncio.sleep(60)
        rows = await b.log(stream="agent:ann")
        assert any(row.kind == "agent.fault" and row.data["fault"] == "bad_status" for row in rows)
        assert await state(b, "ann") == "gone"

    bench(main)


def test_an_agent_that_leaves_is_lost_to_its_runs(bench):
    async def asks(run):
        reply = await run.ask("ann", HELLO)
        return [reply.status, reply.error, sorted(run.agents)]

    async def main(b):
        await b.agent("ann")
        await b.agent("bob")
        await b.submit()
        await b.coordinator.roster.leave("ann", "it was stopped")
        assert (await b.end()).result == ["lost", "it was stopped", ["bob"]]
        with pytest.raises(NotFound):
            await b.coordinator.roster.leave("ann", "again")

    bench(main, s=asks)


def test_a_report_of_a_link_that_was_replaced_does_not_count(bench):
    async def main(b):
        old = await b.agent("ann")
        events = old.events
        await b.agent("ann")
        events.lost("ann", "the old process has ended")
        events.suspected("ann", "x")
        assert await state(b, "ann") == "alive"

    bench(main)


def test_a_run_that_is_open_hears_of_newcomers_and_one_that_is_not_does_not(bench):
    async def waits(run):
        await asyncio.sleep(5)
        return sorted(run.agents)

    async def main(b):
        await b.agent("ann")
        await b.submit(run="open")
        await b.submit(run="closed", agents=["ann"])
        await b.agent("bob")
        assert (await b.end("open")).result == ["ann", "bob"]
        assert (await b.end("closed")).result == ["ann"]

    bench(main, s=waits)


def test_a_run_with_an_unknown_agent_is_refused(bench):
    async def main(b):
        with pytest.raises(NotFound, match="'ann'"):
            await b.submit(agents=["ann"])

    bench(main, s=lambda run: None)


# the breaker


def fails_fast(b):
    return b.coordinator.roster.members["ann"].breaker


def test_the_breaker_opens_after_failures_in_a_row_and_a_probe_closes_it(bench):
    async def main(b):
        ann = await b.agent("ann")
        ask = b.coordinator.asker.ask
        for _ in range(3):
            assert (await ask("ann", HELLO, deadline=1)).status == "timeout"
        await asyncio.sleep(0.1)
        sent = len(ann.sent)
        refused = await ask("ann", HELLO, deadline=1)
        assert refused.status == "lost"
        assert "3 times in a row" in refused.error
        assert len(ann.sent) == sent
        await asyncio.sleep(30)
        ann.answer = lambda request: "back"
        assert (await ask("ann", HELLO)).value == "back"
        assert (await ask("ann", HELLO)).value == "back"
        await asyncio.sleep(0.1)
        kinds = [row.kind for row in await b.log(stream="agent:ann")]
        assert kinds == ["agent.registered", "breaker.opened", "breaker.closed"]

    bench(main, manager={"breaker_failures": 3, "breaker_cooldown": 30.0})


def test_a_failed_probe_keeps_the_breaker_open_for_another_while(bench):
    async def main(b):
        ann = await b.agent("ann")
        ask = b.coordinator.asker.ask
        for _ in range(2):
            await ask("ann", HELLO, deadline=1)
        await asyncio.sleep(30)
        assert (await ask("ann", HELLO, deadline=1)).status == "timeout"
        ann.answer = lambda request: "back"
        assert (await ask("ann", HELLO)).status == "lost"
        await asyncio.sleep(30)
        assert (await ask("ann", HELLO)).status == "ok"

    bench(main, manager={"breaker_failures": 2, "breaker_cooldown": 30.0})


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


def test_answers_of_any_kind_close_the_row_of_failures(bench):
    async def main(b):
        ann = await b.agent("ann")
        ask = b.coordinator.asker.ask
        for _ in range(4):
            await ask("ann", HELLO, deadline=1)
            ann.answer = lambda request: "yes"
            assert (await ask("ann", HELLO)).ok
            ann.answer = lambda request: ann.SILENCE
        assert fails_fast(b).opened_at is None

    bench(main, manager={"breaker_failures": 2})


def test_a_coordinator_whose_lease_is_lost_gives_up(bench):
    async def waits(run):
        await asyncio.sleep(1000)

    async def main(b):
        await b.submit()

        async def lost(node, ttl_s):
            return False

        b.store.beat = lost
        end = asyncio.ensure_future(b.end())
        await asyncio.sleep(20)
        with pytest.raises(ConcertedError, match="lease was lost"):
            await end

    bench(main, s=waits)
