"""What is done after a commit: commands with their envelopes, local work, and what comes back of both."""

import asyncio

import pytest

from concerted.engine.performer import key_of, parse_key
from concerted.messages import Custom, Reply
from concerted.ports.commands import Resume, Signal
from concerted.runs.calls import Call, Parcel
from concerted.values import Objective, Task

HELLO = Custom(name="HELLO")


async def asks(run):
    reply = await run.ask("ann", HELLO, deadline=20.0)
    return [reply.status, reply.value, reply.error]


# keys


@pytest.mark.parametrize("run", ["r", "r/1/2", "a run with spaces", "1"])
def test_a_key_names_its_run_and_command(run):
    key = key_of(run, Call(7, "ann", Parcel(HELLO), lambda reply: None))
    assert parse_key(key) == (run, 7)


@pytest.mark.parametrize("key", ["", "r", "r/1", "r/x/0123", "node-1-7", "r//0123"])
def test_what_is_no_key_names_nothing(key):
    assert parse_key(key) is None


def test_other_content_is_another_key():
    keys = {
        key_of("r", Call(1, "ann", Parcel(request), lambda reply: None))
        for request in (HELLO, Custom(name="HELLO", data=1), Custom(name="HELLO", data="1"), Custom(name="HELLO2"))
    }
    assert len(keys) == 4


# envelopes


def test_an_envelope_says_whose_it_is_and_until_when_an_answer_counts(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: "hello")
        await b.submit()
        await b.end()
        (envelope,) = ann.sent
        assert (envelope.type, envelope.destination, envelope.coordination_id) == ("HELLO", "ann", "r")
        assert (envelope.epoch, envelope.category, envelope.performative) == (1, "system", "request")
        assert envelope.reply_by == envelope.timestamp + 20
        assert envelope.delivery_mode == "at_least_once"

    bench(main, s=asks)


def test_a_task_has_no_deadline_but_its_lease_and_a_notice_has_no_key(bench):
    async def informs_and_executes(run):
        run.inform(["ann"], Custom(name="NOTICE"))
        return (await run.execute(Task(id="t"), "ann")).value

    async def main(b):
        ann = await b.agent("ann", lambda request: "done")
        await b.submit()
        assert (await b.end()).result == "done"
        notice, task = ann.sent
        assert (notice.type, notice.idempotency_key, notice.delivery_mode) == ("NOTICE", "", "at_most_once")
        assert (notice.performative, notice.epoch, notice.coordination_id) == ("inform", 1, "r")
        assert (task.type, task.category, task.reply_by) == ("EXECUTE_TASK", "task", None)
        assert len({notice.id, task.id}) == 2

    bench(main, s=informs_and_executes)


def test_a_command_that_is_given_up_in_the_round_that_asked_it_is_never_sent(bench):
    async def changes_its_mind(run):
        asking = asyncio.ensure_future(run.ask("ann", HELLO))
        await asyncio.sleep(0)
        asking.cancel()
        await run.signal("go")

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(10)
        assert ann.sent == []
        assert b.coordinator.outbox.open == {}

    bench(main, s=changes_its_mind)


# answers


def test_an_answer_without_a_json_form_has_failed(bench):
    async def main(b):
        await b.agent("ann", lambda request: object())
        await b.submit()
        status, value, error = (await b.end()).result
        assert (status, value) == ("failed", None)
        assert "no JSON form" in error

    bench(main, s=asks)


def test_an_answer_that_is_too_large_has_failed(bench):
    async def main(b):
        await b.agent("ann", lambda request: "x" * 5000)
        await b.submit()
        status, value, error = (await b.end()).result
        assert (status, value) == ("failed", None)
        assert "over manager.max_envelope_bytes (4096)" in error

    bench(main, s=asks, manager={"max_envelope_bytes": 4096})


@pytest.mark.parametrize("status", ["refused", "failed", "cancelled"])
def test_an_answer_keeps_its_status_and_error(bench, status):
    async def main(b):
        await b.agent("ann", lambda request: Reply(agent="ann", status=status, error="because"))
        await b.submit()
        assert (await b.end()).result == [status, None, "because"]

    bench(main, s=asks)


# local work


def test_what_a_local_effect_gives_or_raises_is_recorded_once(bench):
    calls = []

    def adds():
        calls.append("adds")
        return 1 + 1

    async def waits_a_little():
        await asyncio.sleep(1)
        return "waited"

    def breaks():
        raise KeyError("no such thing")

    async def works(run):
        results = [await run.do("adds", adds), await run.do("waits", waits_a_little), await run.compute(max, 3, 4)]
        for name, fn in (("breaks", breaks), ("odd", object)):
            try:
                await run.do(name, fn)
            except ValueError:
                raise
            except Exception as error:
                results.append(str(error))
        await run.signal("go")
        return results

    async def main(b):
        await b.submit()
        await asyncio.sleep(2)
        await b.again()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        two, waited, four, broken, odd = (await b.end()).result
        assert (two, waited, four) == (2, "waited", 4)
        assert "breaks raised KeyError: 'no such thing'" in broken
        assert "odd raised" in odd
        assert calls == ["adds"]
        recorded = await b.log("effect.recorded")
        assert [row.ref for row in recorded] == ["1", "2", "3", "4", "5"]
        assert "Traceback" in recorded[3].data["traceback"]

    bench(main, s=works)


def test_work_that_outlives_the_life_that_began_it_disturbs_nobody(bench, monkeypatch):
    """The run is parked while its work goes on, and goes on itself, with work of its own, before that is done."""
    monkeypatch.setattr("concerted.runs.loop.STEPS", 1000)
    lives = []

    async def slow():
        lives.append("begun")
        await asyncio.sleep(10 if len(lives) == 1 else 100)
        return len(lives)

    async def spins(run):
        work = asyncio.ensure_future(run.do("slow", slow))
        await asyncio.sleep(1)
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return await work

    async def mended(run):
        work = asyncio.ensure_future(run.do("slow", slow))
        await asyncio.sleep(1)
        return await work

    async def main(b):
        await b.submit()
        assert (await b.end()).status == "parked"
        b.strategies["s"] = mended
        await b.serve(Resume(id="r"))
        await asyncio.sleep(20)
        assert (await b.view()).status == "active"
        assert "r" in b.coordinator.rounds.live
        assert (await b.end()).result == 2
        assert len(await b.log("effect.recorded")) == 1

    bench(main, s=spins)


# children


def test_a_child_has_its_parents_agents_settings_and_time(bench):
    async def parent(run):
        outcome = await run.child("leaf", Objective(description="x"), agents=["ann"], options={"a": 1})
        return outcome.result

    async def leaf(run):
        assert run.objective.description == "x"
        return [sorted(run.agents), run.options["a"], run.config.manager.task_lease]

    async def main(b):
        await b.agent("ann")
        await b.agent("bob")
        await b.submit("parent", timeout_s=50.0)
        assert (await b.end()).result == [["ann"], 1, 44.0]
        child, parent = await b.view("r/1"), await b.view()
        assert child.parent == "r"
        assert child.deadline_at <= parent.deadline_at

    bench(main, parent=parent, leaf=leaf, manager={"task_lease": 44.0})


def test_a_child_of_an_unknown_strategy_fails_and_says_so(bench):
    async def parent(run):
        outcome = await run.child("nothing", Objective())
        return [outcome.success, outcome.reason]

    async def main(b):
        await b.submit("parent")
        assert (await b.end()).result == [False, "there is no strategy 'nothing'"]
        assert (await b.view("r/1")).status == "failed"

    bench(main, parent=parent)


def test_a_child_that_is_being_called_off_is_not_called_off_again(bench):
    async def parent(run):
        return (await run.child("tidy", Objective())).reason

    async def tidy(run):
        try:
            await run.signal("go")
        finally:
            await run.ask("ann", Custom(name="TIDY"))

    async def main(b):
        ann = await b.agent("ann")
        await b.submit("parent")
        await asyncio.sleep(1)
        b.coordinator.stop_child("r/1", "enough")
        await asyncio.sleep(1)
        b.coordinator.stop_child("r/1", "enough, I said")
        await asyncio.sleep(1)
        assert (await b.view("r/1")).status == "active", "its tidying was cut short"
        ann.reply("tidy")
        assert (await b.end("r/1")).status == "cancelled"
        assert len(await b.log("cancel.requested", "run:r/1")) == 1

    bench(main, parent=parent, tidy=tidy)


# runs that are let go


def test_commands_of_a_run_that_is_put_away_are_not_sent_again(bench):
    async def writes_what_cannot_be_kept(run):
        asyncio.ensure_future(run.ask("ann", HELLO, deadline=200.0))  # noqa: RUF006
        await asyncio.sleep(1)
        run.record("task.claimed", ref="t", nothing="fits")
        await run.signal("go")

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        assert (await b.end()).status == "parked"
        sent = len(ann.sent)
        await asyncio.sleep(60)
        assert len(ann.sent) == sent
        assert b.coordinator.outbox.open == {}

    bench(main, s=writes_what_cannot_be_kept)
