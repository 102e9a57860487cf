"""Every verb of `run`, on a real coordinator in virtual time."""

import asyncio
import random

import pytest

from concerted.errors import Invalid, NotAllowed, TimedOut
from concerted.messages import Custom, ExecuteTask, GetStatus, Reply
from concerted.ports.commands import Cancel, Signal
from concerted.values import Objective, Outcome, Task

HELLO = Custom(name="HELLO")


def three(value):
    return lambda request: value


async def agents(b, *names, answer=lambda request: "hello"):
    return [await b.agent(name, answer) for name in names]


# asking


def test_ask_returns_the_reply_and_who_gave_it(bench):
    async def asks(run):
        reply = await run.ask("ann", HELLO)
        return [reply.agent, reply.status, reply.value, reply.ok]

    async def main(b):
        await agents(b, "ann")
        await b.submit()
        assert (await b.end()).result == ["ann", "ok", "hello", True]

    bench(main, s=asks)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (Reply(agent="", status="refused", error="no"), "refused", "no"),
        (Reply(agent="", status="failed", error="broken"), "failed", "broken"),
        (Reply(agent="", status="ok", value=object()), "failed", "no JSON form"),
        (Reply(agent="", status="ok", value="x" * 5000), "failed", "max_envelope_bytes"),
    ],
)
def test_ask_never_raises_for_the_agents_sake(bench, answer, status, error):
    async def asks(run):
        reply = await run.ask("ann", HELLO)
        return [reply.status, reply.error]

    async def main(b):
        await agents(b, "ann", answer=lambda request: answer)
        await b.submit()
        told = (await b.end()).result
        assert told[0] == status
        assert error in told[1]

    bench(main, s=asks, manager={"max_envelope_bytes": 4096})


def test_an_agent_nobody_knows_is_lost_at_once(bench):
    async def asks(run):
        return [(await run.ask("nobody", HELLO)).status, run.now()]

    async def main(b):
        await b.submit()
        view = await b.end()
        assert view.result == ["lost", b.clock.now()]

    bench(main, s=asks)


def test_an_unanswered_ask_times_out_after_the_command_timeout(bench):
    async def asks(run):
        began = run.now()
        reply = await run.ask("ann", HELLO)
        return [reply.status, round(run.now() - began, 3)]

    async def main(b):
        await b.agent("ann")
        await b.submit()
        assert (await b.end()).result == ["timeout", 7.0]

    bench(main, s=asks, manager={"command_timeout": 7.0})


def test_a_cancelled_ask_is_closed_and_its_answer_comes_too_late(bench):
    async def asks(run):
        task = asyncio.ensure_future(run.ask("ann", HELLO))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(5)
        return task.cancelled()

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(2)
        assert b.coordinator.outbox.open == {}
        ann.reply("late")
        assert (await b.end()).result is True
        assert [event.data["value"] for event in await b.log("reply.late")] == ["late"]

    bench(main, s=asks)


def test_gather_gives_exactly_one_reply_each_in_the_order_of_asking(bench):
    async def gathers(run):
        replies = await run.gather(["cy", "ann", "bob", "nobody"], HELLO, deadline=3)
        return [[reply.agent, reply.status] for reply in replies] + [replies.missing, replies.late]

    async def main(b):
        await agents(b, "ann", "cy")
        await b.agent("bob")
        await b.submit()
        assert (await b.end()).result == [
            ["cy", "ok"], ["ann", "ok"], ["bob", "timeout"], ["nobody", "lost"], ["bob", "nobody"], ["bob"],
        ]  # fmt: skip

    bench(main, s=gathers)


def test_gather_of_nobody_is_over_at_once(bench):
    async def gathers(run):
        plain = await run.gather([], HELLO)
        return [len(plain), len(await run.gather([], HELLO, quorum=1))]

    async def main(b):
        await b.submit()
        assert (await b.end()).result == [0, 0]

    bench(main, s=gathers)


def test_gather_asks_nobody_twice_at_once(bench):
    async def gathers(run):
        await run.gather(["ann", "ann"], HELLO)

    async def main(b):
        await b.submit()
        assert "asked twice" in (await b.end()).reason

    bench(main, s=gathers)


def test_gather_returns_at_the_quorum_and_the_rest_are_cancelled(bench):
    async def gathers(run):
        replies = await run.gather(["ann", "bob", "cy"], HELLO, quorum=2)
        return [reply.status for reply in replies]

    async def main(b):
        ann, bob, cy = [await b.agent(name) for name in ("ann", "bob", "cy")]
        await b.submit()
        cy.reply(Reply(agent="", status="refused"))
        bob.reply("yes")
        await asyncio.sleep(1)
        assert (await b.view()).status == "active"
        ann.reply("yes")
        assert (await b.end()).result == ["ok", "ok", "refused"]

    bench(main, s=gathers)


def test_gather_returns_at_the_first_reply_that_satisfies_until(bench):
    async def gathers(run):
        replies = await run.gather(["ann", "bob", "cy"], HELLO, until=lambda reply: reply.value == 2)
        return [reply.status for reply in replies]

    async def main(b):
        ann, bob, _ = [await b.agent(name) for name in ("ann", "bob", "cy")]
        await b.submit()
        ann.reply(1)
        await asyncio.sleep(1)
        bob.reply(2)
        assert (await b.end()).result == ["ok", "ok", "cancelled"]
        assert b.coordinator.outbox.open == {}

    bench(main, s=gathers)


def test_gather_with_a_quorum_ends_at_the_deadline_too(bench):
    async def gathers(run):
        replies = await run.gather(["ann", "bob"], HELLO, quorum=2, deadline=4)
        return [reply.status for reply in replies]

    async def main(b):
        await agents(b, "ann")
        await b.agent("bob")
        await b.submit()
        assert (await b.end()).result == ["ok", "timeout"]

    bench(main, s=gathers)


def test_a_cancelled_gather_leaves_nothing_open(bench):
    async def gathers(run):
        try:
            async with asyncio.timeout(2):
                await run.gather(["ann", "bob"], HELLO)
        except TimeoutError:
            return "late"

    async def main(b):
        for name in ("ann", "bob"):
            await b.agent(name)
        await b.submit()
        assert (await b.end()).result == "late"
        assert b.coordinator.outbox.open == {}

    bench(main, s=gathers)


def test_stream_yields_replies_as_they_come_and_timeouts_last(bench):
    async def streams(run):
        return [[reply.agent, reply.status] async for reply in run.stream(["ann", "bob", "cy"], HELLO, deadline=5)]

    async def main(b):
        _, bob, cy = [await b.agent(name) for name in ("ann", "bob", "cy")]
        await b.submit()
        cy.reply(1)
        await asyncio.sleep(1)
        bob.reply(2)
        assert (await b.end()).result == [["cy", "ok"], ["bob", "ok"], ["ann", "timeout"]]

    bench(main, s=streams)


def test_commands_to_one_agent_in_one_round_travel_as_one_batch(bench):
    async def asks(run):
        run.inform(["ann"], Custom(name="NEWS"))
        await asyncio.gather(*(run.ask("ann", Custom(name="HELLO", data=number)) for number in range(3)))

    async def main(b):
        (ann,) = await agents(b, "ann")
        await b.submit()
        await b.end()
        assert ann.batches == [4]

    bench(main, s=asks)


def test_inform_expects_no_answer_and_has_no_key(bench):
    async def informs(run):
        run.inform(["ann", "nobody"], Custom(name="NEWS", data=1))
        run.inform([], Custom(name="NEWS"))
        return "told"

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        assert (await b.end()).result == "told"
        (envelope,) = ann.sent
        assert (envelope.idempotency_key, envelope.performative, envelope.delivery_mode) == (
            "",
            "inform",
            "at_most_once",
        )
        assert b.coordinator.outbox.open == {}

    bench(main, s=informs)


def test_the_number_of_open_commands_is_bounded(bench):
    async def asks(run):
        pending = [asyncio.ensure_future(run.ask("ann", Custom(name="HELLO", data=number))) for number in range(3)]
        await asyncio.gather(*pending)

    async def main(b):
        await b.agent("ann")
        await b.submit()
        view = await b.end()
        assert view.status == "failed"
        assert "max_open_commands" in view.reason

    bench(main, s=lambda run: asks(run), manager={"max_open_commands": 2})


# executing


def test_each_claim_has_a_greater_epoch_and_its_own_key(bench):
    async def executes(run):
        epochs = []
        for _ in range(3):
            reply = await run.execute(Task(id="t"), "ann")
            epochs.append([reply.status, reply.epoch])
        other = await run.execute(Task(id="u"), "ann")
        return [*epochs, [other.status, other.epoch]]

    async def main(b):
        def fails_twice(request):
            return request.epoch if request.epoch == 3 or request.task.id == "u" else Reply(agent="", status="failed")

        ann = await b.agent("ann", fails_twice)
        await b.submit()
        assert (await b.end()).result == [["failed", 1], ["failed", 2], ["ok", 3], ["ok", 1]]
        assert len(set(ann.keys)) == 4
        claims = await b.log("task.claimed")
        assert [(claim.ref, claim.agent, claim.data["epoch"]) for claim in claims] == [
            ("t", "ann", 1), ("t", "ann", 2), ("t", "ann", 3), ("u", "ann", 1),
        ]  # fmt: skip
        assert all(envelope.category == "task" for envelope in ann.sent)

    bench(main, s=executes)


def test_results_of_earlier_tasks_travel_with_the_command(bench):
    async def executes(run):
        reply = await run.execute(Task(id="b", after=("a",)), "ann", results={"a": [1, 2]})
        return reply.value

    async def main(b):
        await b.agent("ann", lambda request: request.results)
        await b.submit()
        assert (await b.end()).result == {"a": [1, 2]}

    bench(main, s=executes)


def test_a_claim_without_heartbeats_is_lost_and_called_back(bench):
    async def executes(run):
        reply = await run.execute(Task(id="t"), "ann")
        return [reply.status, reply.error]

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        key = ann.keys[0]
        for _ in range(4):
            await asyncio.sleep(5)
            ann.beat(key)
        assert (await b.view()).status == "active"
        status, error = (await b.end()).result
        assert status == "lost"
        assert "without a heartbeat" in error
        assert 29.9 < b.loop.time() < 30.2
        (cancel,) = ann.of_type("CANCEL_TASK")
        assert b'"epoch":1' in bytes(cancel.payload)
        ann.reply("too late", key=key)
        await asyncio.sleep(1)
        assert "reply.late" in await b.kinds() or "result.refused" in await b.kinds()

    bench(main, s=executes, manager={"task_lease": 10.0})


def test_the_time_limit_of_a_task_counts_from_its_claim(bench):
    async def executes(run):
        await asyncio.sleep(3)
        reply = await run.execute(Task(id="t", max_duration_s=4.0), "ann", deadline=100)
        return [reply.status, round(run.now() - run.options["began"], 2)]

    async def main(b):
        ann = await b.agent("ann")
        ann.held = {"any"}
        await b.submit(options={"began": b.clock.now()})
        assert (await b.end()).result == ["timeout", 7.0]
        assert len(ann.of_type("CANCEL_TASK")) == 1

    bench(main, s=executes)


def test_a_result_of_an_old_claim_is_refused_and_kept_as_evidence(bench):
    async def executes(run):
        first = await run.execute(Task(id="t", max_duration_s=2.0), "ann")
        second = await run.execute(Task(id="t"), "bob")
        return [first.status, second.value]

    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        await asyncio.sleep(3)
        ann.reply("old")
        bob.reply("new")
        assert (await b.end()).result == ["timeout", "new"]
        (refused,) = await b.log("result.refused")
        assert (refused.agent, refused.data["epoch"], refused.data["current_epoch"]) == ("ann", 1, 2)
        assert refused.data["value"] == "old"

    bench(main, s=executes)


def test_the_evidence_survives_a_takeover(bench):
    async def executes(run):
        first = await run.execute(Task(id="t", max_duration_s=2.0), "ann")
        second = await run.execute(Task(id="t"), "bob")
        return [first.status, second.value]

    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        old = ann.keys[0]
        await asyncio.sleep(3)
        await b.again()
        ann.reply("old", key=old)
        bob.reply("new")
        assert (await b.end()).result == ["timeout", "new"]
        assert [event.data["value"] for event in await b.log("result.refused")] == ["old"]

    bench(main, s=executes)


def test_cancelling_whoever_waits_for_a_task_calls_the_agent_back(bench):
    async def executes(run):
        try:
            async with asyncio.timeout(1):
                await run.execute(Task(id="t"), "ann")
        except TimeoutError:
            return "given up"

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        assert (await b.end()).result == "given up"
        await asyncio.sleep(1)
        assert len(ann.of_type("CANCEL_TASK")) == 1

    bench(main, s=executes)


# watching, telling, waiting


def test_watch_tells_who_joins_changes_and_is_lost(bench):
    async def watches(run):  # noqa: RET503
        seen = []
        async for change in run.watch():
            seen.append([change.agent, change.change, sorted(run.agents)])
            if len(seen) == 3:
                return seen

    async def main(b):
        await b.agent("ann")
        await b.submit()
        bob = await b.agent("bob")
        await asyncio.sleep(1)
        bob.events.changed(bob.profile.__class__(id="bob", capabilities={"x": 1.0}))
        await asyncio.sleep(1)
        bob.events.lost("bob", "it has left")
        assert (await b.end()).result == [
            ["bob", "joined", ["ann", "bob"]], ["bob", "changed", ["ann", "bob"]], ["bob", "lost", ["ann"]],
        ]  # fmt: skip

    bench(main, s=watches)


def test_watch_of_one_agent_hears_of_no_other(bench):
    async def watches(run):  # noqa: RET503
        async for change in run.watch(["bob"]):
            return change.agent

    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit()
        ann.events.lost("ann", "x")
        await asyncio.sleep(1)
        bob.events.lost("bob", "y")
        assert (await b.end()).result == "bob"

    bench(main, s=watches)


def test_an_agent_that_is_lost_fails_what_is_open_with_it_at_once(bench):
    async def asks(run):
        reply = await run.ask("ann", HELLO)
        return [reply.status, reply.error]

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(1)
        ann.events.lost("ann", "its process has ended")
        assert (await b.end()).result == ["lost", "its process has ended"]
        assert b.loop.time() == 1.0
        kinds = await b.kinds()
        assert "reply.received" not in kinds, "the loss is told once, not twice"

    bench(main, s=asks)


def test_what_is_open_with_an_agent_that_registers_anew_is_delivered_again_under_its_key(bench):
    async def asks(run):
        return (await run.ask("ann", HELLO)).value

    async def main(b):
        before = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(0.5)
        after = await b.agent("ann", lambda request: "hello again")
        assert before.closed == ["it has registered anew"]
        assert (await b.end()).result == "hello again"
        assert after.keys == before.keys

    bench(main, s=asks)


def test_an_agent_that_was_gone_and_comes_back_has_joined_again(bench):
    async def watches(run):  # noqa: RET503
        seen = []
        async for change in run.watch():
            seen.append(change.change)
            if len(seen) == 2:
                return [seen, sorted(run.agents), (await run.ask("ann", HELLO)).value]

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        ann.events.lost("ann", "crashed")
        await b.agent("ann", lambda request: "hello again")  # at once: the run has not even heard of the loss
        assert (await b.end()).result == [["lost", "joined"], ["ann"], "hello again"]

    bench(main, s=watches)


def test_record_and_progress_are_in_the_log(bench):
    async def tells(run):
        run.record("auction.closed", agent="ann", ref="a1", awards={"t": "ann"})
        run.progress(1, 3, phase="bids")
        await asyncio.sleep(10)

    async def main(b):
        await b.submit()
        view = await b.view()
        assert view.progress == {"step": 1, "of": 3, "phase": "bids"}
        (closed,) = await b.log("auction.closed")
        assert (closed.agent, closed.ref, closed.data) == ("ann", "a1", {"awards": {"t": "ann"}})

    bench(main, s=tells)


def test_progress_that_makes_no_sense_is_refused(bench):
    async def tells(run):
        with pytest.raises(Invalid):
            run.progress(4, 3)
        with pytest.raises(Invalid):
            run.progress(-1, 3)
        return "refused"

    async def main(b):
        await b.submit()
        assert (await b.end()).result == "refused"

    bench(main, s=tells)


def test_a_child_gives_its_outcome_even_if_it_fails(bench):
    async def parent(run):
        good = await run.child("leaf", Objective(description="x"))
        bad = await run.child("breaks", Objective())
        unknown = await run.child("nobody knows", Objective())
        return [good.result, bad.success, bad.reason, unknown.success, unknown.reason]

    async def leaf(run):
        return [run.objective.description, run.options.get("a"), sorted(run.agents)]

    async def breaks(run):
        raise ValueError("broken")

    async def main(b):
        await agents(b, "ann")
        await b.submit("parent")
        good, *rest = (await b.end()).result
        assert good == ["x", None, ["ann"]]
        assert rest[:2] == [False, "ValueError: broken"]
        assert rest[2] is False
        assert "nobody knows" in rest[3]

    bench(main, parent=parent, leaf=leaf, breaks=breaks)


def test_a_child_has_the_agents_and_options_it_is_given_and_its_parents_deadline(bench):
    async def parent(run):
        outcome = await run.child("leaf", Objective(), agents=["bob"], options={"a": 1})
        return [*outcome.result, run.deadline_at]

    async def leaf(run):
        return [sorted(run.agents), run.options["a"], run.deadline_at]

    async def main(b):
        await agents(b, "ann", "bob")
        await b.submit("parent", timeout_s=50.0)
        names, option, own, parents = (await b.end()).result
        assert (names, option) == (["bob"], 1)
        assert own == pytest.approx(parents)

    bench(main, parent=parent, leaf=leaf)


def test_a_child_that_nobody_waits_for_is_called_off(bench):
    async def parent(run):
        try:
            async with asyncio.timeout(2):
                await run.child("leaf", Objective())
        except TimeoutError:
            return "given up"

    async def leaf(run):
        await asyncio.sleep(1000)

    async def main(b):
        await b.submit("parent")
        assert (await b.end()).result == "given up"
        assert (await b.end("r/1")).status == "cancelled"

    bench(main, parent=parent, leaf=leaf)


def test_children_of_a_run_that_fails_are_called_off(bench):
    async def parent(run):
        child = asyncio.ensure_future(run.child("leaf", Objective()))
        await asyncio.sleep(1)
        raise ValueError(f"broken, {child.done()}")

    async def leaf(run):
        await asyncio.sleep(1000)

    async def main(b):
        await b.submit("parent")
        assert (await b.end()).status == "failed"
        assert (await b.end("r/1")).status == "cancelled"

    bench(main, parent=parent, leaf=leaf)


def test_signals_queue_up_by_name_in_order(bench):
    async def waits(run):
        await asyncio.sleep(5)
        return [await run.signal("a"), await run.signal("b"), await run.signal("a")]

    async def main(b):
        await b.submit()
        for number, name in enumerate(["a", "a", "b"]):
            await b.serve(Signal(id="r", name=name, payload=number, request_id=f"s{number}"))
        assert (await b.end()).result == [0, 2, 1]

    bench(main, s=waits)


def test_a_deadline_is_absolute_and_survives_a_restart(bench):
    async def waits(run):
        began = run.now()
        try:
            async with run.deadline(10.0):
                await asyncio.sleep(1000)
        except TimedOut as late:
            return [round(run.now() - began, 3), late.facts["run"]]

    async def main(b):
        await b.submit()
        await asyncio.sleep(7)
        await b.again()
        assert (await b.end()).result == [10.0, "r"]
        assert 9.9 < b.loop.time() < 10.1

    bench(main, s=waits)


def test_a_deadline_that_passed_while_nobody_was_there_fires_at_once(bench):
    async def waits(run):
        try:
            async with run.deadline(10.0):
                await asyncio.sleep(1000)
        except TimedOut:
            return "late"

    async def main(b):
        await b.submit()
        b.crash()
        await asyncio.sleep(60)
        await b.start()
        assert (await b.end()).result == "late"
        assert b.loop.time() == 60.0

    bench(main, s=waits)


def test_the_runs_own_deadline_gives_a_strategy_time_for_a_partial_outcome(bench):
    async def patient(run):
        done = []
        try:
            async with run.deadline():
                for number in range(100):
                    await asyncio.sleep(3)
                    done.append(number)
        except TimedOut:
            return Outcome(success=False, result=done, timed_out=True, reason="the deadline passed")

    async def main(b):
        await b.submit(timeout_s=10.0)
        view = await b.end()
        assert (view.status, view.result) == ("timed_out", [0, 1, 2])
        assert b.loop.time() == pytest.approx(10.0, abs=0.01)

    bench(main, s=patient)


def test_a_strategy_that_minds_no_deadline_is_stopped_after_it(bench):
    async def careless(run):
        await asyncio.sleep(1000)

    async def main(b):
        await b.submit(timeout_s=10.0)
        view = await b.end()
        assert view.status == "timed_out"
        assert "deadline" in view.reason
        assert 10.0 <= b.loop.time() < 20.0

    bench(main, s=careless)


def test_a_strategy_that_minds_no_deadline_is_stopped_even_if_it_sleeps_evicted(bench):
    async def careless(run):
        await run.signal("never")

    async def main(b):
        await b.submit(timeout_s=100.0)
        await asyncio.sleep(50)
        assert "r" in b.coordinator.sleepers.dormant
        assert (await b.end()).status == "timed_out"
        assert 100.0 <= b.loop.time() < 110.0

    bench(main, s=careless, manager={"idle_eviction": 10.0})


# compensation


async def books(run):
    async with run.compensate("ann", Custom(name="UNBOOK", data=run.id)):
        await run.ask("ann", Custom(name="BOOK"))
        if run.options.get("fail"):
            raise ValueError("no seats")
        await asyncio.sleep(run.options.get("wait", 0))
    return "booked"


def test_a_block_that_ends_well_is_not_compensated(bench):
    async def main(b):
        (ann,) = await agents(b, "ann")
        await b.submit()
        assert (await b.end()).result == "booked"
        assert ann.of_type("UNBOOK") == []

    bench(main, s=books)


def test_a_block_that_fails_is_compensated_before_the_run_fails(bench):
    async def main(b):
        (ann,) = await agents(b, "ann")
        await b.submit(options={"fail": True})
        assert (await b.end()).reason == "ValueError: no seats"
        assert len(ann.of_type("UNBOOK")) == 1

    bench(main, s=books)


def test_a_cancelled_run_is_compensated(bench):
    async def main(b):
        (ann,) = await agents(b, "ann")
        await b.submit(options={"wait": 1000})
        await asyncio.sleep(1)
        await b.serve(Cancel(id="r", reason="enough"))
        assert (await b.end()).status == "cancelled"
        assert len(ann.of_type("UNBOOK")) == 1

    bench(main, s=books)


def test_a_run_at_its_deadline_is_compensated(bench):
    async def main(b):
        (ann,) = await agents(b, "ann")
        await b.submit(options={"wait": 1000}, timeout_s=5.0)
        assert (await b.end()).status == "timed_out"
        assert len(ann.of_type("UNBOOK")) == 1

    bench(main, s=books)


def test_a_compensation_that_is_under_way_survives_a_crash(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: "ok" if request.name == "BOOK" else ann.SILENCE)
        await b.submit(options={"wait": 1000})
        await asyncio.sleep(1)
        await b.serve(Cancel(id="r"))
        await asyncio.sleep(1)
        await b.again()
        unbookings = [envelope.idempotency_key for envelope in ann.of_type("UNBOOK")]
        assert len(unbookings) >= 2
        assert len(set(unbookings)) == 1
        ann.reply("unbooked")
        assert (await b.end()).status == "cancelled"

    bench(main, s=books)


def test_a_second_cancel_does_not_interrupt_a_compensation(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: "ok" if request.name == "BOOK" else ann.SILENCE)
        await b.submit(options={"wait": 1000})
        await asyncio.sleep(1)
        await b.serve(Cancel(id="r"))
        await b.serve(Cancel(id="r"))
        await asyncio.sleep(1)
        assert (await b.view()).status == "active"
        ann.reply("unbooked", key=ann.of_type("UNBOOK")[0].idempotency_key)
        assert (await b.end()).status == "cancelled"
        assert len(await b.log("cancel.requested")) == 1

    bench(main, s=books)


def test_a_cancel_that_comes_during_a_compensation_is_obeyed_after_it(bench):
    async def trip(run):
        try:
            async with run.compensate("ann", Custom(name="UNBOOK")):
                raise ValueError("strike")
        except ValueError:
            await run.signal("never")

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(1)
        await b.serve(Cancel(id="r"))
        await asyncio.sleep(1)
        assert (await b.view()).status == "active"
        ann.reply("unbooked")
        assert (await b.end()).status == "cancelled"
        assert b.loop.time() == 2.0

    bench(main, s=trip)


def test_nested_compensations_run_from_the_inside_out(bench):
    async def trip(run):
        async with run.compensate("ann", Custom(name="UNBOOK", data="hotel")):  # noqa: SIM117
            async with run.compensate("ann", Custom(name="UNBOOK", data="flight")):
                raise ValueError("strike")

    async def main(b):
        (ann,) = await agents(b, "ann")
        await b.submit()
        assert (await b.end()).status == "failed"
        assert [bytes(envelope.payload) for envelope in ann.of_type("UNBOOK")] == [b'"flight"', b'"hotel"']

    bench(main, s=trip)


# the process's own work


def test_do_performs_once_and_remembers_the_result(bench):
    count = []

    async def does(run):
        first = await run.do("count", lambda: count.append(1) or len(count))
        await run.signal("go")
        return first

    async def main(b):
        await b.submit()
        await asyncio.sleep(1)
        await b.again()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == 1
        assert count == [1]

    bench(main, s=does)


def test_do_and_compute_that_raise_are_invalid_and_say_why(bench):
    def breaks():
        raise KeyError("nothing there")

    async def does(run):
        told = []
        for attempt in (run.do("find", breaks), run.compute(breaks), run.do("odd", lambda: object())):
            with pytest.raises(Invalid) as caught:
                await attempt
            told.append(caught.value.message)
        return told

    async def main(b):
        await b.submit()
        first, second, third = (await b.end()).result
        assert "find raised KeyError" in first
        assert "breaks raised KeyError" in second
        assert "odd raised TypeError" in third

    bench(main, s=does)


def test_do_that_raises_half_a_character_does_not_hang(bench):
    def breaks():
        raise ValueError("\ud800")

    async def does(run):
        with pytest.raises(Invalid, match="d800"):
            await run.do("odd", breaks)
        return "heard"

    async def main(b):
        await b.submit()
        assert (await b.end()).result == "heard"

    bench(main, s=does)


def test_an_async_do_is_awaited_outside_the_strategy(bench):
    async def slowly():
        await asyncio.sleep(3)
        return "slow"

    async def does(run):
        return await run.do("slowly", slowly)

    async def main(b):
        await b.submit()
        assert (await b.end()).result == "slow"
        assert b.loop.time() == pytest.approx(3.0)

    bench(main, s=does)


# versions and restarts


def test_a_new_run_uses_the_newest_version_and_keeps_it(bench):
    async def first(run):
        chosen = run.version("greeting", 1)
        await run.signal("go")
        return [chosen, run.version("greeting", 1)]

    async def later(run):
        chosen = run.version("greeting", 2)
        await run.signal("go")
        return [chosen, run.version("greeting", 2)]

    async def main(b):
        await b.submit()
        b.strategies["s"] = later
        await b.again()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == [1, 1]
        await b.submit(run="q")
        await b.serve(Signal(id="q", name="go", request_id="one"))
        assert (await b.end("q")).result == [2, 2]

    bench(main, s=first)


def test_a_run_that_passed_a_place_before_the_change_existed_stays_at_zero(bench):
    async def before(run):
        await run.ask("ann", HELLO)
        await run.signal("go")
        return "old"

    async def after(run):
        await run.ask("ann", HELLO)
        if run.version("checks first", 1) >= 1:
            await run.ask("ann", Custom(name="CHECK"))
        await run.signal("go")
        return ["new", run.version("checks first", 1), run.version("at the end", 1)]

    async def main(b):
        await agents(b, "ann")
        await b.submit()
        await asyncio.sleep(1)
        b.strategies["s"] = after
        await b.again()
        await b.again()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == ["new", 0, 1]
        await b.submit(run="q")
        await b.serve(Signal(id="q", name="go", request_id="one"))
        assert (await b.end("q")).result == ["new", 1, 1]

    bench(main, s=before)


def test_a_version_newer_than_the_code_is_refused(bench):
    async def newer(run):
        run.version("x", 2)
        await run.signal("go")

    async def older(run):
        run.version("x", 1)
        await run.signal("go")

    async def main(b):
        await b.submit()
        b.strategies["s"] = older
        await b.again()
        view = await b.end()
        assert view.status == "parked"
        assert "newer code" in view.reason

    bench(main, s=newer)


def test_a_restarted_run_keeps_its_numbers_epochs_signals_and_agents(bench):
    async def restarts(run):
        state = run.state or 0
        reply = await run.execute(Task(id="t"), "ann")
        if state < 2:
            run.restart(state + 1)
        return [reply.epoch, await run.signal("early"), sorted(run.agents), run.now() > 0]

    async def main(b):
        ann, _ = await agents(b, "ann", "bob", answer=lambda request: b.wires["ann"].SILENCE)
        await b.submit()
        await b.serve(Signal(id="r", name="early", payload="bird", request_id="one"))
        b.wires["bob"].events.lost("bob", "gone")
        for _ in range(3):
            await asyncio.sleep(1)
            ann.reply("done")
        assert (await b.end()).result == [3, "bird", ["ann"], True]
        assert len(set(ann.keys)) == len([e for e in ann.sent if e.type == "EXECUTE_TASK"])
        await b.again()

    bench(main, s=restarts)


def test_the_replay_of_a_restarted_run_is_bounded(bench):
    lives = []

    async def restarts(run):
        state = run.state or 0
        lives.append(state)
        await run.ask("ann", Custom(name="HELLO", data=state))
        if state < 20:
            run.restart(state + 1)
        return await run.signal("go")

    async def main(b):
        await agents(b, "ann")
        await b.submit()
        await asyncio.sleep(1)
        lives.clear()
        await b.again()
        assert lives == [20]
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        assert (await b.end()).result == 1

    bench(main, s=restarts)


def test_a_repeated_signal_is_known_after_a_restart_of_the_run(bench):
    async def restarts(run):
        if run.state is None:
            await run.signal("a")
            run.restart(1)
        return [await run.signal("a"), await run.signal("b")]

    async def main(b):
        await b.submit()
        await b.serve(Signal(id="r", name="a", payload=1, request_id="one"))
        await b.serve(Signal(id="r", name="a", payload=1, request_id="one"))
        await b.again()
        await b.serve(Signal(id="r", name="a", payload=1, request_id="one"))
        await b.serve(Signal(id="r", name="a", payload=2, request_id="two"))
        await b.serve(Signal(id="r", name="b", payload=3, request_id="three"))
        assert (await b.end()).result == [2, 3]

    bench(main, s=restarts)


def test_a_version_chosen_before_a_restart_does_not_make_a_replay_diverge(bench):
    async def restarts(run):
        chosen = run.version("x", 3)
        await run.ask("ann", Custom(name="HELLO", data=chosen))
        if run.state is None:
            run.restart(1)
        await run.signal("go")
        return [chosen, run.version("x", 3)]

    async def main(b):
        await agents(b, "ann")
        await b.submit()
        await asyncio.sleep(1)
        await b.again()
        await b.again()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == [3, 3]

    bench(main, s=restarts)


def test_what_was_open_before_a_restart_of_the_run_is_let_go(bench):
    closed, kept = [], []

    async def background(run):
        try:
            await run.ask("ann", Custom(name="SLOW"))
        finally:
            closed.append(True)
            run.record("note", text="must not be written")

    async def restarts(run):
        if run.state is None:
            kept.append(asyncio.ensure_future(background(run)))
            kept.append(asyncio.ensure_future(run.child("leaf", Objective())))
            await asyncio.sleep(1)
            run.restart(1)
        await run.signal("go")
        return "over"

    async def leaf(run):
        await asyncio.sleep(1000)

    async def main(b):
        ann = await b.agent("ann")
        await b.submit("restarts")
        await asyncio.sleep(2)
        assert closed == [True]
        assert b.coordinator.outbox.open == {}
        assert (await b.end("r/2")).status == "cancelled"
        assert await b.log("note") == []
        ann.reply("late")
        await b.again()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == "over"

    bench(main, restarts=restarts, leaf=leaf)


# time, dice, names


def test_time_dice_and_ids_are_the_same_in_every_replay(bench):
    async def rolls(run):
        before = [run.now(), run.random.random(), str(run.uuid()), run.random.choice("abc")]
        await run.signal("go")
        return [before, run.random.random()]

    async def main(b):
        await b.submit()
        first = b.coordinator.rounds.live["r"].instance
        expected = random.Random("r")
        assert expected.random() >= 0
        await b.serve(Signal(id="r", name="other", request_id="zero"))
        state = first.random.getstate()
        await asyncio.sleep(5)
        await b.again()
        assert b.coordinator.rounds.live["r"].instance.random.getstate() == state
        await b.serve(Signal(id="r", name="go", request_id="one"))
        (before, _) = (await b.end()).result
        assert before[0] == pytest.approx(b.clock.now() - 5.0)

    bench(main, s=rolls)


def test_nothing_can_be_asked_after_the_end(bench):
    kept = []

    async def leaks(run):
        kept.append(run)
        return "over"

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await b.end()
        with pytest.raises(NotAllowed):
            kept[0].ask("ann", HELLO)
        await asyncio.sleep(1)
        assert ann.sent == []

    bench(main, s=leaks)


def test_every_command_carries_its_run_key_epoch_and_reply_by(bench):
    async def asks(run):
        await run.ask("ann", GetStatus(), deadline=9)

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        (first,) = ann.sent
        assert (first.coordination_id, first.epoch, first.type) == ("r", 1, "GET_STATUS")
        assert first.reply_by == pytest.approx(b.clock.now() + 9)
        await b.again()
        again = ann.sent[-1]
        assert (again.idempotency_key, again.epoch) == (first.idempotency_key, 2)
        assert again.id != first.id

    bench(main, s=asks)


def test_a_task_envelope_can_be_read_back(bench):
    async def executes(run):
        return (await run.execute(Task(id="t", payload={"a": [1]}), "ann")).value

    async def main(b):
        seen = []
        await b.agent("ann", lambda request: seen.append(request) or "ok")
        await b.submit()
        await b.end()
        assert isinstance(seen[0], ExecuteTask)
        assert (seen[0].task, seen[0].epoch, seen[0].lease_s) == (Task(id="t", payload={"a": [1]}), 1, 30.0)

    bench(main, s=executes)


def test_a_strategy_that_swallows_its_cancel_is_still_stopped_at_its_deadline(bench):
    async def stubborn(run):
        try:
            await run.signal("never")
        except asyncio.CancelledError:
            await run.signal("never either")

    async def main(b):
        await b.submit(timeout_s=30.0)
        await b.serve(Cancel(id="r"))
        view = await b.end()
        assert view.status == "timed_out"
        assert view.ended_at - view.started_at == pytest.approx(35.0)  # its deadline, and the grace after it

    bench(main, s=stubborn)
