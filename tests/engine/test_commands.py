"""The commands: given again they change nothing more, and what is wrong is said at the door."""

import asyncio

import pytest

from concerted.engine.commands import HANDLERS, serve, serve_line
from concerted.engine.permissions import Principal
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound
from concerted.ports.commands import COMMANDS, Archive, Cancel, Events, GetRun, Rebuild, Signal, Status, Submit, Why
from concerted.values import Objective, Task


async def waits(run):
    return await run.signal("go")


async def over(run):
    return "over"


def test_every_command_has_a_handler_and_every_handler_a_command():
    assert set(HANDLERS) == set(COMMANDS.values())


def test_the_same_submit_again_attaches(bench):
    async def main(b):
        first, second = await b.submit(), await b.submit()
        assert (first.existed, second.existed) == (False, True)
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        await b.end()
        third = await b.submit()
        assert (third.existed, third.status) == (True, "completed")

    bench(main, s=waits)


@pytest.mark.parametrize(
    "other",
    [{"strategy": "t"}, {"objective": Objective(tasks=(Task(id="x"),))}, {"options": {"a": 1}}],
    ids=["strategy", "objective", "options"],
)
def test_the_same_id_with_other_content_is_a_conflict(bench, other):
    async def main(b):
        await b.submit(options={})
        with pytest.raises(Conflict, match="another id"):
            await b.submit(**{"strategy": "s", **other})
        await b.again()
        with pytest.raises(Conflict):
            await b.submit(**{"strategy": "s", **other})

    bench(main, s=waits, t=waits)


@pytest.mark.parametrize("name", ["", " r", "a/b", "a*", "x" * 201, "a\nb"])
def test_a_name_that_cannot_name_a_run_is_refused(bench, name):
    async def main(b):
        with pytest.raises(Invalid, match="cannot name a run"):
            await b.submit(run=name)

    bench(main, s=waits)


def test_an_unknown_strategy_is_refused_before_anything_is_written(bench):
    async def main(b):
        with pytest.raises(NotFound, match="strategy"):
            await b.submit("nothing")
        assert await b.store.last_seq() == 0

    bench(main)


def test_a_second_cancel_changes_nothing(bench):
    async def main(b):
        await b.submit()
        await asyncio.gather(*(b.serve(Cancel(id="r", reason=f"reason {n}")) for n in range(3)))
        assert (await b.end()).status == "cancelled"
        again = await b.serve(Cancel(id="r", reason="later"))
        assert again.status == "cancelled"
        (requested,) = await b.log("cancel.requested")
        assert requested.data["reason"] == "reason 0"

    bench(main, s=waits)


def test_cancelling_what_is_over_or_not_there(bench):
    async def main(b):
        await b.submit()
        await b.end()
        assert (await b.serve(Cancel(id="r"))).status == "completed"
        with pytest.raises(NotFound):
            await b.serve(Cancel(id="nothing"))

    bench(main, s=over)


def test_a_signal_counts_once_per_request_id(bench):
    async def twice(run):
        return [await run.signal("go"), await run.signal("go")]

    async def main(b):
        await b.submit()
        await asyncio.gather(*(b.serve(Signal(id="r", name="go", payload=1, request_id="one")) for _ in range(5)))
        assert (await b.view()).status == "active"
        await b.serve(Signal(id="r", name="go", payload=2, request_id="two"))
        assert (await b.end()).result == [1, 2]

    bench(main, s=twice)


def test_get_run_waits_no_longer_than_it_is_told(bench):
    async def main(b):
        await b.submit()
        began = b.loop.time()
        assert (await b.serve(GetRun(id="r", wait_s=5))).status == "active"
        assert b.loop.time() == began + 5
        with pytest.raises(NotFound):
            await b.serve(GetRun(id="nothing", wait_s=5))

    bench(main, s=waits)


def test_events_wait_for_news_and_end_without_any(bench):
    async def main(b):
        await b.submit()
        last = await b.store.last_seq()
        waiting = asyncio.ensure_future(b.serve(Events(after=last, wait_s=60)))
        await asyncio.sleep(3)
        await b.serve(Signal(id="r", name="other", request_id="one"))
        assert [event.kind for event in await waiting] == ["signal.received"]
        began = b.loop.time()
        assert await b.serve(Events(after=last + 1, wait_s=7)) == []
        assert b.loop.time() == pytest.approx(began + 7)

    bench(main, s=waits)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_page_has_a_bound(bench, limit):
    async def main(b):
        with pytest.raises(Invalid, match="limit"):
            await b.serve(Events(limit=limit))

    bench(main)


def test_who_may_do_what(bench):
    async def main(b):
        await b.submit()
        viewer, agent, operator = (Principal(role, role) for role in ("viewer", "agent", "operator"))
        await serve(b.coordinator, Status(), viewer)
        for principal, command in (
            (viewer, Signal(id="r", name="go", request_id="one")),
            (agent, Cancel(id="r")),
            (agent, Submit(id="q", strategy="s", objective=Objective())),
            (operator, Rebuild()),
            (operator, Archive(id="r")),
        ):
            with pytest.raises(NotAllowed, match="it takes the role"):
                await serve(b.coordinator, command, principal)
        await serve(b.coordinator, Signal(id="r", name="go", request_id="one"), agent)

    bench(main, s=waits)


def test_a_line_that_is_no_command_is_answered_with_an_error(bench):
    async def main(b):
        me = Principal("me", "admin")
        for line in (b"", b"{", b"[]", b'{"id":1}', b'{"id":1,"command":{"command":"fly"}}', b'{"id":1,"command":{}}'):
            assert b'"invalid"' in await serve_line(b.coordinator, line, me)
        answer = await serve_line(b.coordinator, b'{"id":7,"command":{"command":"status"}}', me)
        assert b'"id":7' in answer
        assert b'"ok":' in answer

    bench(main)


def test_why_explains_runs_tasks_and_agents_and_refuses_what_is_ambiguous(bench):
    async def works(run):
        run.record("tasks.added", tasks=[{"id": "t"}])
        reply = await run.execute(Task(id="t"), "ann")
        run.record("task.done", agent="ann", ref="t", epoch=reply.epoch, result=reply.value)
        return reply.value

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await asyncio.sleep(0.1)
        waiting = (await b.serve(Why(subject="r"))).waiting
        assert any("ann" in each.unblocked_by or "ann" in each.waiting_for for each in waiting)
        ann.reply("done")
        await b.end()
        assert any("ann" in line for line in (await b.serve(Why(subject="t"))).lines)
        assert any("registered" in line or "ann" in line for line in (await b.serve(Why(subject="ann"))).lines)
        await b.submit(run="q")
        with pytest.raises(Invalid, match="say which"):
            await b.serve(Why(subject="t"))
        assert (await b.serve(Why(subject="q:t"))).lines
        with pytest.raises(NotFound):
            await b.serve(Why(subject="nothing"))

    bench(main, s=works)


def test_the_tables_are_what_the_log_says(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        await b.submit(run="q")
        await b.serve(Cancel(id="q"))
        await b.end("q")
        assert await b.serve(Rebuild()) == {"differed": 0}

    bench(main, s=waits)
