"""What callers see: runs, tasks and agents, and why something does not move."""

import asyncio

import pytest

from concerted.engine.views import Viewer
from concerted.errors import Invalid, NotFound
from concerted.messages import Custom
from concerted.ports.commands import Cancel, Events, GetRun, Signal, Status, Why
from concerted.values import Objective, Outcome, ParticipantResult, Task, TaskResult

HELLO = Custom(name="HELLO")


async def waits(run):
    return await run.signal("go")


async def works(run):
    """Two tasks, one after the other."""
    run.record("tasks.added", tasks=[{"id": "first"}, {"id": "second", "after": ["first"]}])
    for name, agent in (("first", "ann"), ("second", "bob")):
        reply = await run.execute(Task(id=name), agent)
        run.record("task.done", agent=agent, ref=name, epoch=reply.epoch, result=reply.value)


async def why(b, subject):
    return await b.serve(Why(subject=subject))


async def waiting(b, subject="r"):
    return [each.waiting_for for each in (await why(b, subject)).waiting]


# runs


def test_a_finished_run_shows_its_outcome_whole(bench):
    async def finishes(run):
        run.progress(1, 2, phase="half")
        task = TaskResult(id="t", status="done", agent="ann", attempts=1, epoch=1, result=7)
        part = ParticipantResult(agent="ann", done=("t",), role="leader")
        return Outcome(success=True, result=[1], reason="well done", tasks=(task,), participants={"ann": part})

    async def main(b):
        await b.submit(plan="a plan")
        view = await b.end()
        assert (view.status, view.success, view.result, view.reason) == ("completed", True, [1], "well done")
        assert view.participants["ann"].role == "leader"
        assert view.progress == {"step": 1, "of": 2, "phase": "half"}
        assert view.plan == "a plan"
        assert view.metrics.rounds == 2
        assert view.waiting == ()
        assert view.created_at <= view.started_at <= view.ended_at

    bench(main, s=finishes)


def test_tasks_are_shown_as_the_log_has_them_and_not_in_brief(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.agent("bob")
        await b.submit()
        first, second = (await b.view()).tasks
        assert (first.id, first.status, first.agent, first.epoch) == ("first", "running", "ann", 1)
        assert (second.id, second.status, second.agent) == ("second", "pending", None)
        ann.reply({"pages": 3})
        await asyncio.sleep(0.1)
        first, second = (await b.view()).tasks
        assert (first.status, first.result) == ("done", {"pages": 3})
        assert (second.status, second.agent) == ("running", "bob")
        brief = await b.serve(GetRun(id="r", brief=True))
        assert (brief.tasks, brief.waiting) == ((), ())

    bench(main, s=works)


def test_the_whole_at_a_glance(bench):
    async def main(b):
        await b.agent("ann")
        for run in ("a", "b", "c"):
            await b.submit("waits", run=run)
        await b.serve(Cancel(id="b"))
        status = await b.serve(Status())
        assert [run.id for run in status.runs] == ["a", "c"]
        assert status.counts == {"active": 2}
        assert [agent.id for agent in status.agents] == ["ann"]
        assert (status.url, status.owner) == ("memory://", b.coordinator.pid)
        assert (status.seq, status.now) == (await b.store.last_seq(), b.clock.now())
        everything = await b.serve(Status(all=True))
        assert everything.counts == {"active": 2, "cancelled": 1}
        assert len((await b.serve(Status(all=True, limit=1))).runs) == 1

    bench(main, waits=waits)


def test_the_store_alone_says_the_same_when_nobody_owns_it(bench):
    async def main(b):
        await b.agent("ann")
        await b.agent("bob")
        await b.submit()
        await asyncio.sleep(1)
        owned, unowned = Viewer(b.store, b.clock.now, b.coordinator), Viewer(b.store, b.clock.now)
        assert await unowned.run("r") == await owned.run("r")
        for subject in ("r", "r:second", "ann"):
            assert await unowned.why(subject) == await owned.why(subject)
        status = await unowned.status(everything=True, limit=100)
        assert status.owner is None
        assert [(agent.id, agent.state, agent.link) for agent in status.agents] == [
            ("ann", "alive", "test"),
            ("bob", "alive", "test"),
        ]

    bench(main, s=works)


@pytest.mark.parametrize("command", [GetRun(id="nothing"), Why(subject="nothing"), Why(subject="r:nothing")])
def test_what_is_not_there_is_not_found_and_it_is_said_where_to_look(bench, command):
    async def main(b):
        await b.submit()
        with pytest.raises(NotFound, match="concerted status --all"):
            await b.serve(command)

    bench(main, s=waits)


# why


def test_a_run_tells_its_story_from_its_beginning(bench):
    async def main(b):
        ann = await b.agent("ann")
        bob = await b.agent("bob")
        await b.submit()
        await asyncio.sleep(2)
        ann.reply("done")
        await asyncio.sleep(1)
        bob.reply("done too")
        await b.end()
        told = await why(b, "r")
        assert told.waiting == ()
        assert told.lines == (
            "+0.000s  run asked for: strategy s, 2 agents",
            "+0.000s  it got a slot on node node-1",
            "+0.000s  tasks: first, second",
            "+0.000s  ann claimed first (claim 1)",
            "+2.000s  ann did first; accepted under claim 1",
            "+2.000s  bob claimed second (claim 1)",
            "+3.000s  bob did second; accepted under claim 1",
            "+3.000s  run completed",
        )

    bench(main, s=works)


def test_a_task_says_whom_it_waits_for_and_who_can_unblock_it(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.agent("bob")
        await b.submit()
        await asyncio.sleep(1)
        (first,) = (await why(b, "first")).waiting
        assert (first.subject, first.waiting_for) == ("r:first", "the result from ann (claim 1)")
        assert (first.unblocked_by, first.deadline) == ("ann", (await b.view()).deadline_at)
        (second,) = (await why(b, "r:second")).waiting
        assert (second.waiting_for, second.unblocked_by) == ("task first", "ann")
        ann.reply("done")
        await asyncio.sleep(1)
        done = await why(b, "first")
        assert done.waiting == ()
        assert "ann did first; accepted under claim 1" in done.lines[-1]

    bench(main, s=works)


def test_a_task_of_several_runs_must_be_named_with_its_run(bench):
    async def main(b):
        await b.agent("ann")
        for run in ("q", "r"):
            await b.submit(run=run)
        with pytest.raises(Invalid, match="2 runs have a task 'first'; say which: q:first, r:first"):
            await why(b, "first")
        assert (await why(b, "q:first")).subject == "q:first"

    bench(main, s=works)


def test_a_run_comes_before_an_agent_and_an_agent_before_a_task(bench):
    async def main(b):
        await b.agent("ann")
        await b.agent("first")
        await b.submit(run="ann")
        assert "run asked for" in (await why(b, "ann")).lines[0]
        assert "registered" in (await why(b, "first")).lines[0]

    bench(main, s=works)


def test_an_agent_tells_its_story_what_it_holds_and_who_waits_for_it(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.agent("bob")
        await b.submit()
        ann.events.suspected("ann", "its process is being restarted")
        await asyncio.sleep(1)
        ann.events.returned("ann")
        await asyncio.sleep(1)
        told = await why(b, "ann")
        assert told.lines == (
            "+0.000s  ann registered (test)",
            "+0.000s  ann is suspect: its process is being restarted",
            "+1.000s  ann is back",
            "holds r:first under claim 1",
        )
        assert [each.subject for each in told.waiting] == ["r:first", "r:second"]
        assert (await why(b, "bob")).waiting == ()

    bench(main, s=works)


def test_whoever_is_waited_for_among_many_hears_of_it(bench):
    agents = [f"agent-{number}" for number in range(8)]

    async def asks_all(run):
        await run.gather(agents, HELLO, deadline=100.0)

    async def main(b):
        for agent in agents:
            await b.agent(agent)
        await b.submit()
        await asyncio.sleep(1)
        assert await waiting(b) == ["HELLO from agent-0, agent-1, agent-2, agent-3, agent-4 and 3 more"]
        for agent in agents:
            assert await waiting(b, agent) == [f"HELLO from {agent}"]
        b.wires["agent-7"].reply("hello")
        await asyncio.sleep(1)
        assert await waiting(b, "agent-7") == []
        assert await waiting(b, "agent-6") == ["HELLO from agent-6"]

    bench(main, s=asks_all)


def test_what_has_timed_out_is_not_waited_for_any_more(bench):
    async def asks_briefly(run):
        await asyncio.gather(run.ask("ann", HELLO, deadline=5.0), run.ask("bob", HELLO, deadline=50.0))
        await run.signal("go")

    async def main(b):
        await b.agent("ann")
        await b.agent("bob")
        await b.submit()
        await asyncio.sleep(10)
        assert await waiting(b) == ["HELLO from bob"]
        await asyncio.sleep(50)
        assert await waiting(b) == ["a signal or a timer"]
        assert (await Viewer(b.store, b.clock.now).why("r")).waiting == (await why(b, "r")).waiting

    bench(main, s=asks_briefly)


def test_whose_answer_is_not_needed_is_not_waited_for_any_more(bench):
    async def first_of_two(run):
        await run.gather(["ann", "bob"], HELLO, quorum=1)
        await run.signal("go")

    async def main(b):
        await b.agent("ann", lambda request: "hello")
        await b.agent("bob")
        await b.submit()
        await asyncio.sleep(1)
        assert await waiting(b) == ["a signal or a timer"]
        assert (await why(b, "bob")).waiting == ()

    bench(main, s=first_of_two)


def test_a_run_waits_visibly_for_a_child_and_for_local_work(bench):
    async def parent(run):
        await asyncio.gather(run.child("waits", Objective()), run.do("copying", lambda: asyncio.sleep(50)))

    async def main(b):
        await b.submit("parent")
        await asyncio.sleep(1)
        assert sorted(await waiting(b)) == ["child run r/1", "local effect copying"]
        await asyncio.sleep(50)
        assert await waiting(b) == ["child run r/1"]
        assert await waiting(b, "r/1") == ["a signal or a timer"]
        await b.serve(Signal(id="r/1", name="go", request_id="one"))
        assert (await b.end()).status == "completed"

    bench(main, parent=parent, waits=waits)


def test_a_lost_agent_is_not_waited_for_and_its_loss_is_told(bench):
    async def asks(run):
        reply = await run.ask("ann", HELLO)
        await run.signal("go")
        return reply.status

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        ann.events.lost("ann", "its process has ended")
        await asyncio.sleep(1)
        assert await waiting(b) == ["a signal or a timer"]
        assert (await why(b, "r")).lines[-1].endswith("ann was lost: its process has ended")

    bench(main, s=asks)


def test_a_parked_run_waits_for_a_person(bench):
    async def over(run):
        return "over"

    async def main(b):
        await b.submit()
        b.strategies["s"] = over
        await b.again()
        await b.end()
        (told,) = (await why(b, "r")).waiting
        assert told.waiting_for.startswith("a person: run r: the log has nothing of the kind here")
        assert told.unblocked_by == "`concerted resume` or `concerted cancel`"

    bench(main, s=waits)


# the log


def test_the_log_is_read_in_pages_by_stream_and_by_kind(bench):
    async def main(b):
        await b.agent("ann")
        for run in ("a", "b"):
            await b.submit("waits", run=run)
        everything = await b.serve(Events())
        assert [event.seq for event in everything] == [1, 2, 3, 4, 5]
        assert [event.seq for event in await b.serve(Events(after=1, until=3))] == [2, 3]
        assert [event.seq for event in await b.serve(Events(limit=2))] == [1, 2]
        assert {event.stream for event in await b.serve(Events(stream="run:*"))} == {"run:a", "run:b"}
        assert [event.kind for event in await b.serve(Events(kind="run.created"))] == ["run.created"] * 2
        assert everything[0].data["profile"]["id"] == "ann"

    bench(main, waits=waits)
