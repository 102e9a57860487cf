"""Rounds: applied, written, acted upon; and what happens when the write does not succeed."""

import asyncio

import pytest

from concerted.errors import Invalid, LeaseLost, Unreachable, WrongPhase
from concerted.messages import Custom
from concerted.ports.commands import Cancel, GetRun, Signal, Submit
from concerted.ports.store import Row, Write
from concerted.values import Objective, Outcome, encode


async def echo(run):
    return run.objective.description


async def waits(run):
    return await run.signal("go")


async def sleeps(run):
    await asyncio.sleep(1)


async def asks(run):
    return (await run.ask("ann", Custom(name="HELLO"))).value


def test_nothing_leaves_before_the_commit(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: "hello")
        order = []
        append, send = b.store.append, ann.send

        async def watched(writes):
            order.append("append")
            answers = await append(writes)
            order.append("durable")
            return answers

        b.store.append = watched
        ann.send = lambda batch: (order.append("send"), send(batch))
        await b.submit()
        assert (await b.end()).result == "hello"
        assert order == ["append", "durable", "send", "append", "durable"]

    bench(main, s=asks)


def test_a_run_that_only_computes_takes_one_commit(bench):
    async def main(b):
        before = b.coordinator.rounds.commits
        await b.submit(objective=Objective(description="hi"))
        assert b.coordinator.rounds.commits == before + 1
        assert await b.kinds() == ["run.created", "run.started", "run.completed"]

    bench(main, s=echo)


def test_a_hundred_runs_submitted_at_once_share_a_commit(bench):
    async def main(b):
        before = b.coordinator.rounds.commits
        await asyncio.gather(*(b.submit(run=f"r{number}") for number in range(100)))
        assert b.coordinator.rounds.commits == before + 1

    bench(main, s=echo, manager={"max_concurrent_coordinations": 100})


def test_a_fenced_run_is_let_go_and_whoever_waits_is_told(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        taken = encode({"node": "other", "epoch": 2, "attempts": 0, "reason": "test"})
        row = Row(stream="run:r", at=0.0, kind="run.resumed", data=taken)
        await b.store.append([Write(rows=[row], run="r", epoch=1)])
        waiting = asyncio.ensure_future(b.serve(GetRun(id="r", wait_s=60)))
        with pytest.raises(LeaseLost):
            await b.serve(Signal(id="r", name="go", request_id="one"))
        assert "r" not in b.coordinator.rounds.live
        assert (await waiting).status == "active"
        assert await b.kinds() == ["run.created", "run.started", "run.resumed"]
        assert b.coordinator.failed is None

    bench(main, s=waits)


def test_other_runs_go_on_when_one_is_fenced(bench):
    async def main(b):
        await b.submit(run="r")
        await b.submit(run="q")
        taken = encode({"node": "other", "epoch": 2, "attempts": 0, "reason": "test"})
        await b.store.append(
            [Write(rows=[Row(stream="run:r", at=0.0, kind="run.resumed", data=taken)], run="r", epoch=1)]
        )
        results = await asyncio.gather(
            b.serve(Signal(id="r", name="go", payload=1, request_id="one")),
            b.serve(Signal(id="q", name="go", payload=2, request_id="two")),
            return_exceptions=True,
        )
        assert isinstance(results[0], LeaseLost)
        assert (await b.end("q")).result == 2

    bench(main, s=waits)


def test_when_the_store_fails_everything_is_given_up_and_all_waiters_hear_it(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit("asks")
        await b.submit("waits", run="q")

        async def broken(writes):
            raise Unreachable("no space left on device")

        b.store.append = broken
        ends = [asyncio.ensure_future(b.end(run)) for run in ("r", "q")]
        await asyncio.sleep(0)
        ann.reply("hello")
        for end in ends:
            with pytest.raises(Unreachable, match="no space left on device"):
                await end
        with pytest.raises(Unreachable, match="start again"):
            await b.submit(run="new")
        with pytest.raises(Unreachable):
            await b.serve(Signal(id="q", name="go", request_id="one"))

    bench(main, asks=asks, waits=waits)


def test_after_the_store_has_failed_nothing_more_is_sent(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()

        async def broken(writes):
            raise Unreachable("gone")

        b.store.append = broken
        ann.reply("hello")
        sent = len(ann.sent)
        await asyncio.sleep(100)
        assert len(ann.sent) == sent

    bench(main, s=asks)


def test_what_was_acknowledged_before_the_failure_is_there_after_a_restart(bench):
    async def main(b):
        await b.submit()
        await b.serve(Signal(id="r", name="other", payload=1, request_id="one"))

        async def broken(writes):
            raise Unreachable("gone")

        b.store.append = broken
        with pytest.raises(Unreachable):
            await b.serve(Signal(id="r", name="go", payload=2, request_id="two"))
        await b.again()
        assert [event.ref for event in await b.log("signal.received")] == ["one"]
        await b.serve(Signal(id="r", name="go", payload=2, request_id="two"))
        assert (await b.end()).result == 2

    bench(main, s=waits)


def test_an_input_after_the_end_is_refused_and_not_written(bench):
    async def main(b):
        await b.submit()
        results = await asyncio.gather(
            *(b.serve(Signal(id="r", name="go", payload=number, request_id=str(number))) for number in range(3)),
            return_exceptions=True,
        )
        assert results[0] is None
        assert [type(result) for result in results[1:]] == [WrongPhase, WrongPhase]
        assert (await b.kinds())[-2:] == ["signal.received", "run.completed"]

    bench(main, s=waits)


def test_a_cancel_that_comes_together_with_the_end_changes_nothing(bench):
    async def main(b):
        await b.submit()
        _, view = await asyncio.gather(
            b.serve(Signal(id="r", name="go", payload=1, request_id="one")), b.serve(Cancel(id="r"))
        )
        assert view.status in ("active", "completed")
        assert (await b.end()).status == "completed"

    bench(main, s=waits)


def test_a_strategy_that_returns_no_json_fails_alone(bench):
    async def returns_an_object(run):
        return object()

    async def returns_half_a_character(run):
        return Outcome(success=True, result={"text": "\ud800"})

    async def raises_half_a_character(run):
        raise ValueError("\ud800")

    async def restarts_with_an_object(run):
        run.restart(object())

    async def returns_a_wrong_outcome(run):
        return Outcome(success="perhaps")

    wrong = {
        each.__name__: each
        for each in (
            returns_an_object, returns_half_a_character, raises_half_a_character, restarts_with_an_object,
            returns_a_wrong_outcome,
        )
    }  # fmt: skip

    async def main(b):
        for name in wrong:
            await b.submit(name, run=name)
            assert (await b.end(name)).status == "failed", name
        await b.submit("echo", objective=Objective(description="well"))
        assert (await b.end()).result == "well"

    bench(main, echo=echo, **wrong)


def test_a_row_that_the_store_refuses_stops_its_run_alone(bench):
    async def writes_a_wrong_row(run):
        run.record("task.claimed", ref="t", nothing="fits")

    async def writes_a_wrong_row_later(run):
        await asyncio.sleep(1)
        run.record("task.claimed", ref="t", nothing="fits")

    async def writes_control_characters(run):
        run.record("note", ref="a\nb")

    async def main(b):
        await b.submit("waits", run="q")
        with pytest.raises(Invalid, match="epoch"):
            await b.submit("writes_a_wrong_row", run="never")
        await asyncio.gather(b.submit("writes_a_wrong_row_later", run="w"), b.submit("sleeps", run="s"))
        view = await b.end("w")
        assert view.status == "parked"
        assert "cannot be kept" in view.reason
        assert (await b.end("s")).status == "completed"
        await b.submit("writes_control_characters", run="c")
        assert (await b.end("c")).status == "failed"
        await b.serve(Signal(id="q", name="go", payload=1, request_id="one"))
        assert (await b.end("q")).result == 1

    bench(
        main,
        waits=waits,
        sleeps=sleeps,
        writes_a_wrong_row=writes_a_wrong_row,
        writes_a_wrong_row_later=writes_a_wrong_row_later,
        writes_control_characters=writes_control_characters,
    )


@pytest.mark.parametrize("kind", ["reply.received", "run.completed", "command.sent", "run.restarted", "agent.gone"])
def test_a_strategy_may_not_forge_what_the_engine_writes(bench, kind):
    async def forges(run):
        run.record(kind, ref="1")

    async def main(b):
        await b.submit()
        view = await b.end()
        assert view.status == "failed"
        assert kind in view.reason

    bench(main, s=forges)


def test_a_request_id_that_cannot_be_kept_is_refused_at_the_door(bench):
    async def main(b):
        await b.submit()
        for wrong in ("", "a\nb", " ", "x" * 300):
            with pytest.raises(Exception, match="request"):
                await b.serve(Signal(id="r", name="go", request_id=wrong))
        assert b.coordinator.failed is None
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        assert (await b.end()).result == 1

    bench(main, s=waits)


def test_a_repeated_signal_is_not_acknowledged_before_the_first_is_durable(bench):
    async def main(b):
        await b.submit()
        append, gate = b.store.append, asyncio.Event()

        async def slow(writes):
            await gate.wait()
            return await append(writes)

        b.store.append = slow
        first = asyncio.ensure_future(b.serve(Signal(id="r", name="x", payload=1, request_id="one")))
        await asyncio.sleep(0.01)
        second = asyncio.ensure_future(b.serve(Signal(id="r", name="x", payload=1, request_id="one")))
        await asyncio.sleep(1)
        assert not first.done()
        assert not second.done()
        gate.set()
        await asyncio.gather(first, second)
        assert len(await b.log("signal.received")) == 1

    bench(main, s=waits)


def test_a_repeated_submit_is_not_acknowledged_before_the_first_is_durable(bench):
    async def main(b):
        append, gate = b.store.append, asyncio.Event()

        async def slow(writes):
            await gate.wait()
            return await append(writes)

        b.store.append = slow
        command = Submit(id="r", strategy="s", objective=Objective())
        first = asyncio.ensure_future(b.serve(command))
        await asyncio.sleep(0.01)
        second = asyncio.ensure_future(b.serve(command))
        await asyncio.sleep(1)
        assert not second.done()
        gate.set()
        assert [(await first).existed, (await second).existed] == [False, True]

    bench(main, s=waits)


def test_inputs_that_come_during_a_commit_wait_for_the_next_round(bench):
    async def collects(run):
        return [await run.signal("go") for _ in range(4)]

    async def main(b):
        await b.submit()
        append, gate = b.store.append, asyncio.Event()

        async def slow(writes):
            await gate.wait()
            return await append(writes)

        b.store.append = slow
        signals = [asyncio.ensure_future(b.serve(Signal(id="r", name="go", payload=0, request_id="0")))]
        await asyncio.sleep(0.01)
        signals += [
            asyncio.ensure_future(b.serve(Signal(id="r", name="go", payload=number, request_id=str(number))))
            for number in (1, 2, 3)
        ]
        before = b.coordinator.rounds.commits
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(*signals)
        assert b.coordinator.rounds.commits == before + 2
        assert (await b.end()).result == [0, 1, 2, 3]

    bench(main, s=collects)
