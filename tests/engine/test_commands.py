"""The commands: given again they change nothing more, and what is wrong is said at the door."""

import asyncio

import msgspec
import pytest

from concerted.engine.commands import HANDLERS, serve, serve_line
from concerted.engine.permissions import Principal
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.ports.commands import (
    Archive,
    AskAgent,
    Cancel,
    Events,
    GetRun,
    Login,
    Rebuild,
    Resume,
    Signal,
    Status,
    Submit,
    Why,
    all_commands,
)
from concerted.ports.mail import MailCommand
from concerted.ports.primitive import Ask
from concerted.values import Objective, Task


async def waits(run):
    return await run.signal("go")


async def over(run):
    return "over"


def test_every_command_has_a_handler_and_every_handler_a_command():
    others = {kind for kind in all_commands().values() if issubclass(kind, Ask | MailCommand)}
    assert set(HANDLERS) == set(all_commands().values()) - others


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


def test_a_repeated_signal_counts_once_after_a_restart_too(bench):
    async def twice(run):
        return [await run.signal("go"), await run.signal("go")]

    async def main(b):
        await b.submit()
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        await b.again()
        await b.serve(Signal(id="r", name="go", payload=1, request_id="one"))
        await b.serve(Signal(id="r", name="go", payload=2, request_id="two"))
        assert (await b.end()).result == [1, 2]
        assert [row.ref for row in await b.log("signal.received")] == ["one", "two"]

    bench(main, s=twice)


def test_a_parked_run_is_cancelled_once_and_whoever_follows_the_log_hears_of_it(bench):
    async def main(b):
        await b.submit()
        b.strategies["s"] = over
        await b.again()
        assert (await b.end()).status == "parked"
        last = await b.store.last_seq()
        following = asyncio.ensure_future(b.serve(Events(after=last, wait_s=60)))
        await asyncio.sleep(1)
        began = b.loop.time()
        view = await b.serve(Cancel(id="r", reason="enough", by="ann"))
        assert (view.status, view.success) == ("cancelled", False)
        assert "called off while parked" in view.reason
        assert [event.kind for event in await following] == ["cancel.requested", "run.cancelled"]
        assert b.loop.time() == began
        assert (await b.serve(Cancel(id="r"))).status == "cancelled"
        assert await b.store.last_seq() == last + 2

    bench(main, s=waits)


def test_whoever_follows_the_log_hears_of_a_parked_run_that_goes_on(bench):
    async def main(b):
        await b.submit()
        b.strategies["s"] = over
        await b.again()
        await b.end()
        b.strategies["s"] = waits
        last = await b.store.last_seq()
        following = asyncio.ensure_future(b.serve(Events(after=last, wait_s=60)))
        await asyncio.sleep(1)
        assert (await b.serve(Resume(id="r", by="ann"))).status == "active"
        (unparked,) = await following
        assert (unparked.kind, unparked.data) == ("run.unparked", {"by": "ann"})
        await b.serve(Signal(id="r", name="go", payload="on", request_id="one"))
        assert (await b.end()).result == "on"

    bench(main, s=waits)


def test_two_who_resume_at_once_resume_once(bench):
    async def main(b):
        await b.submit()
        b.strategies["s"] = over
        await b.again()
        await b.end()
        b.strategies["s"] = waits
        await asyncio.gather(b.serve(Resume(id="r")), b.serve(Resume(id="r")))
        await b.serve(Signal(id="r", name="go", payload="on", request_id="one"))
        assert (await b.end()).result == "on"
        assert b.coordinator.slots._taken == {False: 0, True: 0}

    bench(main, s=waits)


def test_whoever_waits_for_a_run_hears_that_the_coordinator_closes(bench):
    async def main(b):
        await b.submit()
        end = asyncio.ensure_future(b.end())
        await asyncio.sleep(1)
        await b.coordinator.close()
        with pytest.raises(WrongPhase, match="closed"):
            await asyncio.wait_for(end, 1)

    bench(main, s=waits)


CHANGES = [
    Submit(id="q", strategy="s", objective=Objective()),
    Cancel(id="r"),
    Resume(id="r"),
    Signal(id="r", name="go", request_id="one"),
    AskAgent(agent="ann", type="HELLO"),
]


@pytest.mark.parametrize("command", CHANGES, ids=lambda command: type(command).__name__)
def test_a_closed_coordinator_does_nothing_and_says_so(bench, command):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        await b.coordinator.close()
        with pytest.raises(WrongPhase, match="closed"):
            await b.serve(command)

    bench(main, s=waits)


def test_an_agent_can_be_asked_outside_a_run(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: request.data)
        answer = await b.serve(AskAgent(agent="ann", type="HELLO", data=[1, 2]))
        assert (answer["status"], answer["value"]) == ("ok", [1, 2])
        assert (await b.serve(AskAgent(agent="bob", type="HELLO")))["status"] == "lost"
        with pytest.raises(Invalid, match="REQUEST_VOTE: the payload does not fit"):
            await b.serve(AskAgent(agent="ann", type="REQUEST_VOTE", data={"term": "one"}))
        assert len(ann.sent) == 1

    bench(main)


def test_an_archived_run_is_told_where_it_went_and_an_open_one_is_refused(bench):
    async def main(b):
        await b.submit()
        with pytest.raises(WrongPhase):
            await b.serve(Archive(id="r"))
        await b.serve(Cancel(id="r"))
        first = await b.serve(Archive(id="r"))
        assert first["stream"] == "run:r"
        assert await b.serve(Archive(id="r")) == first

    bench(main, s=waits)


def test_a_door_learns_whom_it_has_reached(bench):
    async def main(b):
        assert await b.serve(Login()) == {"node": "node-1", "url": "memory://"}

    bench(main)


def test_an_error_keeps_its_code_and_facts_over_a_wire(bench):
    async def main(b):
        await b.submit()
        line = b'{"id":9,"command":{"command":"get_run","id":"nothing"}}'
        answer = msgspec.json.decode(await serve_line(b.coordinator, line, Principal("me", "viewer")))
        assert (answer["id"], answer["error"]["code"], answer["error"]["facts"]) == (9, "not_found", {"run": "nothing"})
        line = b'{"id":10,"command":{"command":"cancel","id":"r"}}'
        answer = msgspec.json.decode(await serve_line(b.coordinator, line, Principal("me", "viewer")))
        assert (answer["id"], answer["error"]["code"]) == (10, "not_allowed")
        assert "me is viewer and may not cancel; it takes the role operator" in answer["error"]["message"]

    bench(main, s=waits)


def test_a_bug_of_ours_is_told_to_the_caller_and_shown_to_the_host(bench):
    async def main(b):
        complaints = []
        b.loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        bug = ZeroDivisionError("ours")

        async def broken(*_):
            raise bug

        b.store.get = broken
        line = b'{"id":3,"command":{"command":"get_run","id":"r"}}'
        answer = msgspec.json.decode(await serve_line(b.coordinator, line, Principal("me", "viewer")))
        del b.store.get
        assert (answer["id"], answer["error"]["code"]) == (3, "error")
        assert "ZeroDivisionError: ours" in answer["error"]["message"]
        assert complaints == [bug]

    bench(main)


def test_a_submit_may_name_who_takes_part_and_how_long_it_may_take(bench):
    async def who(run):
        await run.signal("go")
        return sorted(run.agents)

    async def main(b):
        for name in ("ann", "bob", "cy"):
            await b.agent(name)
        await b.submit(agents=("cy", "ann"), timeout_s=10.0)
        view = await b.view()
        assert view.deadline_at == view.started_at + 10
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == ["ann", "cy"]

    bench(main, s=who)


def test_a_second_cancel_does_not_cut_the_tidying_short(bench):
    async def tidies(run):
        try:
            await run.signal("go")
        finally:
            await asyncio.sleep(10)
            run.record("tidied")

    async def main(b):
        await b.submit()
        assert (await b.serve(Cancel(id="r", reason="first"))).status == "active"
        await asyncio.sleep(5)
        assert (await b.serve(Cancel(id="r", reason="second"))).status == "active"
        assert (await b.end()).status == "cancelled"
        assert (await b.kinds())[2:] == ["cancel.requested", "timer.fired", "tidied", "run.cancelled"]

    bench(main, s=tidies)
