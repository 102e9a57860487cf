"""Commands on their way: delivered again under one key, watched, leased, answered once."""

import asyncio
from itertools import pairwise

import pytest

from concerted.errors import Invalid, WrongPhase
from concerted.messages import Custom, Reply
from concerted.ports.commands import AskAgent
from concerted.values import Task

HELLO = Custom(name="HELLO")


async def asks(run):
    return (await run.ask("ann", HELLO, deadline=run.options.get("deadline", 200.0))).status


async def executes(run):
    reply = await run.execute(Task(id="t"), "ann")
    return [reply.status, reply.value, reply.error]


def keep_times(wire):
    """Note when each command comes; the wire stays silent."""
    loop, times = asyncio.get_running_loop(), []
    wire.answer = lambda request: times.append(loop.time()) or wire.SILENCE
    return times


# delivered again


def test_an_unanswered_command_is_sent_again_under_its_key_at_growing_pauses(bench):
    async def main(b):
        ann = await b.agent("ann")
        times = keep_times(ann)
        await b.submit()
        await asyncio.sleep(150)
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert pauses[:7] == pytest.approx([1, 2, 4, 8, 16, 30, 30], abs=0.11)
        assert len(set(ann.keys)) == 1
        assert ann.batches == [1] * len(times)
        assert b.coordinator.outbox.redelivered == len(times) - 1

    bench(main, s=asks)


def test_the_pauses_are_those_of_the_settings(bench):
    async def main(b):
        ann = await b.agent("ann")
        times = keep_times(ann)
        await b.submit()
        await asyncio.sleep(30)
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert pauses[:4] == pytest.approx([3, 5, 5, 5], abs=0.11)

    bench(main, s=asks, manager={"redelivery_interval": 3.0, "max_redelivery_interval": 5.0})


def test_an_answered_command_is_not_sent_again(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(1.5)
        assert len(ann.sent) == 2
        ann.reply("hello")
        await asyncio.sleep(100)
        assert len(ann.sent) == 2
        assert b.coordinator.outbox.open == {}

    bench(main, s=asks)


def test_a_command_that_nobody_waits_for_any_more_is_not_sent_again(bench):
    async def gives_up(run):
        try:
            async with asyncio.timeout(2):
                await run.ask("ann", HELLO)
        except TimeoutError:
            await run.signal("go")

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(2.5)
        sent = len(ann.sent)
        await asyncio.sleep(100)
        assert len(ann.sent) == sent
        assert b.coordinator.outbox.open == {}

    bench(main, s=gives_up)


def test_what_an_agent_has_in_hand_is_not_sent_again_until_it_drops_it(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        ann.held.add(ann.keys[0])
        await asyncio.sleep(60)
        assert len(ann.sent) == 1
        ann.held.clear()
        await asyncio.sleep(31)
        assert len(ann.sent) > 1

    bench(main, s=asks)


def test_a_repeated_answer_counts_once(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        ann.reply("one")
        ann.reply("two")
        assert (await b.end()).result == "ok"
        assert [event.data["value"] for event in await b.log("reply.received")] == ["one"]
        assert b.coordinator.latecomers.repeated == 1

    bench(main, s=asks)


def test_only_the_agent_that_was_asked_can_answer(bench):
    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        bob.reply("mine", key=ann.keys[0])
        await asyncio.sleep(1)
        assert await b.log("reply.received") == []
        ann.reply("hello")
        assert (await b.end()).result == "ok"

    bench(main, s=asks)


def test_a_refusal_meant_for_an_older_coordinator_is_not_an_answer(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await b.again()
        ann.reply(Reply(agent="ann", status="refused", epoch=1))  # what was on its way before the takeover
        await asyncio.sleep(1)
        assert await b.log("reply.received") == []
        ann.reply(Reply(agent="ann", status="refused", epoch=2))
        assert (await b.end()).result == "refused"

    bench(main, s=asks)


# together


def test_commands_of_one_round_to_one_agent_travel_as_one_batch(bench):
    async def asks_three_times(run):
        run.inform(["ann"], Custom(name="NOTICE"))
        replies = await asyncio.gather(*(run.ask(who, HELLO) for who in ("ann", "ann", "bob", "ann")))
        return len(replies)

    async def main(b):
        ann, bob = await b.agent("ann", lambda _: 1), await b.agent("bob", lambda _: 1)
        await b.submit()
        assert (await b.end()).result == 4
        assert ann.batches == [4]
        assert bob.batches == [1]

    bench(main, s=asks_three_times)


def test_commands_of_several_runs_in_one_round_travel_together(bench):
    async def main(b):
        ann = await b.agent("ann", lambda _: 1)
        await asyncio.gather(*(b.submit(run=f"r{number}") for number in range(5)))
        assert [(await b.end(f"r{number}")).result for number in range(5)] == ["ok"] * 5
        assert ann.batches == [5]
        assert len(set(ann.keys)) == 5

    bench(main, s=asks)


# leases


@pytest.mark.parametrize("pushes_beats", [True, False])
def test_a_claim_without_any_sign_of_work_expires(bench, pushes_beats):
    async def main(b):
        ann = await b.agent("ann")
        ann.pushes_beats = pushes_beats
        await b.submit()
        started = b.loop.time()
        assert (await b.end()).result == ["lost", None, "its lease has expired without a heartbeat"]
        assert 30 <= b.loop.time() - started < 31
        (expired,) = await b.log("claim.expired")
        assert (expired.agent, expired.ref, expired.data) == ("ann", "1", {"task": "t", "epoch": 1})
        assert [envelope.type for envelope in ann.sent if not envelope.idempotency_key] == ["CANCEL_TASK"]

    bench(main, s=executes)


def test_a_claim_lives_as_long_as_its_holder_beats_for_it(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        for _ in range(20):
            await asyncio.sleep(10)
            ann.beat(ann.keys[0])
        assert (await b.view()).status == "active"
        ann.reply(7)
        assert (await b.end()).result == ["ok", 7, None]

    bench(main, s=executes)


def test_a_claim_lives_a_lease_longer_than_the_last_beat_for_it(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(20)
        ann.beat(ann.keys[0])
        for _ in range(4):  # alive, but at work on something else
            await asyncio.sleep(7)
            ann.beat("another/1/key")
        assert (await b.view()).status == "active"
        await asyncio.sleep(3)
        assert (await b.view()).result[0] == "lost"

    bench(main, s=executes)


def test_another_agents_beat_does_not_renew_a_claim(bench):
    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        for _ in range(4):
            await asyncio.sleep(10)
            bob.beat(ann.keys[0])
        assert (await b.view()).result[0] == "lost"

    bench(main, s=executes)


def test_a_claim_lives_as_long_as_its_link_sees_it_in_hand(bench):
    async def main(b):
        ann = await b.agent("ann")
        ann.pushes_beats = False
        await b.submit()
        ann.held.add(ann.keys[0])
        await asyncio.sleep(200)
        assert (await b.view()).status == "active"
        ann.held.clear()
        assert (await b.end()).result[0] == "lost"

    bench(main, s=executes)


def test_an_agent_that_should_beat_and_does_not_loses_what_it_is_thought_to_hold(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        ann.held.add(ann.keys[0])
        assert (await b.end()).result[0] == "lost"

    bench(main, s=executes)


# outside runs


def test_an_ask_outside_a_run_is_answered_or_times_out(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: "hello")
        reply = await b.coordinator.asker.ask("ann", HELLO)
        assert (reply.status, reply.value) == ("ok", "hello")
        ann.answer = lambda request: ann.SILENCE
        before = b.loop.time()
        reply = await b.coordinator.asker.ask("ann", HELLO, deadline=3.0)
        assert (reply.agent, reply.status) == ("ann", "timeout")
        assert b.loop.time() - before == pytest.approx(3, abs=0.11)
        assert b.coordinator.outbox.open == {}
        assert len(ann.sent) > 2, "it was sent once only"

    bench(main)


def test_an_ask_outside_a_run_that_names_no_deadline_has_that_of_the_settings(bench):
    async def main(b):
        await b.agent("ann")
        before = b.loop.time()
        answer = await b.serve(AskAgent(agent="ann", type="HELLO"))
        assert answer["status"] == "timeout"
        assert b.loop.time() - before == pytest.approx(7, abs=0.11)

    bench(main, manager={"command_timeout": 7.0})


def test_many_can_be_asked_outside_a_run_and_each_has_one_reply_in_order(bench):
    async def main(b):
        await b.agent("bob", lambda request: 2)
        ann = await b.agent("ann", lambda request: 1)
        ann.answer = lambda request: b.loop.call_later(1, ann.reply, 1) and ann.SILENCE
        replies = await b.coordinator.asker.gather(["ann", "nobody", "bob"], HELLO)
        assert [(reply.agent, reply.status, reply.value) for reply in replies] == [
            ("ann", "ok", 1),
            ("nobody", "lost", None),
            ("bob", "ok", 2),
        ]
        assert "nobody is registered as 'nobody'" in replies[1].error
        assert list(await b.coordinator.asker.gather([], HELLO)) == []

    bench(main)


def test_the_same_agent_cannot_be_asked_twice_at_once_outside_a_run(bench):
    async def main(b):
        await b.agent("ann", lambda request: 1)
        with pytest.raises(Invalid, match="twice"):
            await b.coordinator.asker.gather(["ann", "ann"], HELLO)

    bench(main)


def test_a_request_that_is_too_large_is_refused_before_anything_is_sent(bench):
    async def main(b):
        ann = await b.agent("ann")
        with pytest.raises(Invalid, match=r"manager\.max_envelope_bytes \(4096\)"):
            await b.coordinator.asker.ask("ann", Custom(name="HELLO", data="x" * 5000))
        assert ann.sent == []

    bench(main, manager={"max_envelope_bytes": 4096})


def test_an_ask_that_is_called_off_is_forgotten(bench):
    async def main(b):
        ann = await b.agent("ann")
        asking = asyncio.ensure_future(b.coordinator.asker.ask("ann", HELLO))
        await asyncio.sleep(0.5)
        asking.cancel()
        await asyncio.wait([asking])
        assert b.coordinator.outbox.open == {}
        await asyncio.sleep(60)
        assert len(ann.sent) == 1

    bench(main)


def test_who_asks_outside_a_run_hears_of_the_end_of_the_coordinator(bench):
    async def main(b):
        await b.agent("ann")
        asking = asyncio.ensure_future(b.coordinator.asker.ask("ann", HELLO, deadline=3600.0))
        await asyncio.sleep(0.5)
        await b.coordinator.close()
        reply = await asyncio.wait_for(asking, 1)
        assert reply.status == "lost"
        with pytest.raises(WrongPhase):
            await b.coordinator.asker.ask("ann", HELLO)

    bench(main)
