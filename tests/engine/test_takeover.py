"""Takeover: a new coordinator over what an old one has left, with the same code, other code, or none."""

import asyncio

import pytest

from concerted.engine.takeover import check_replay, history, last_life, rebuild_instance
from concerted.errors import Diverged, NotFound, Unreachable, WrongPhase
from concerted.messages import Custom
from concerted.ports.commands import Cancel, Resume, Signal, Submit
from concerted.ports.store import RunRecord
from concerted.values import Objective, Outcome, Task

HELLO = Custom(name="HELLO")


async def asks(run):
    reply = await run.ask("ann", HELLO)
    await run.signal("go")
    return reply.value


def test_what_is_unanswered_is_sent_again_under_the_same_key_and_a_higher_epoch(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await b.again()
        await b.again()
        assert len(set(ann.keys)) == 1
        assert sorted({envelope.epoch for envelope in ann.sent}) == [1, 2, 3]
        ann.reply("hello")
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == "hello"

    bench(main, s=asks)


def test_what_is_answered_is_not_sent_again(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: "hello")
        await b.submit()
        await asyncio.sleep(1)
        await b.again()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == "hello"
        assert len(ann.sent) == 1

    bench(main, s=asks)


def test_a_finished_run_is_left_in_peace(bench):
    async def main(b):
        await b.agent("ann", lambda request: "hello")
        await b.submit()
        await b.serve(Signal(id="r", name="go", request_id="one"))
        await b.end()
        before = await b.kinds()
        await b.again()
        assert await b.kinds() == before
        assert "r" not in b.coordinator.rounds.live
        with pytest.raises(WrongPhase):
            await b.serve(Signal(id="r", name="go", request_id="two"))

    bench(main, s=asks)


def test_a_queued_run_waits_again_without_a_row(bench):
    async def main(b):
        for run in ("r", "q"):
            await b.submit(run=run)
        await b.again()
        assert await b.kinds("run:q") == ["run.created"]
        assert (await b.view("q")).waiting[0].waiting_for.startswith("a free slot")
        await b.serve(Cancel(id="r"))
        await b.end("r")
        await asyncio.sleep(0.1)
        assert (await b.view("q")).status == "active"

    bench(main, s=asks, manager={"max_concurrent_coordinations": 1})


def test_a_run_of_an_unknown_strategy_is_left_alone_and_says_so(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        del b.strategies["s"]
        await b.again()
        assert "r" not in b.coordinator.rounds.live
        view = await b.view()
        assert view.status == "active"
        assert "strategy" in view.waiting[0].waiting_for
        b.strategies["s"] = asks
        await b.again()
        b.wires["ann"].reply("hello")
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == "hello"

    bench(main, s=asks)


@pytest.mark.parametrize(
    ("changed", "recorded", "now"),
    [
        (Custom(name="GOODBYE"), "HELLO to ann", "GOODBYE to ann"),
        (Custom(name="HELLO", data=1), "HELLO to ann (payload", "HELLO to ann (payload"),
    ],
)
def test_changed_code_is_parked_and_the_message_names_both_sides(bench, changed, recorded, now):
    async def other(run):
        await run.ask("ann", changed)
        await run.signal("go")

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        b.strategies["s"] = other
        await b.again()
        view = await b.end()
        assert view.status == "parked"
        assert f"the log has command 1: {recorded}" in view.reason
        assert f"the code now does command 1: {now}" in view.reason
        assert "run.version" in view.reason
        assert view.waiting[0].waiting_for.startswith("a person")
        ann.reply("hello")
        await asyncio.sleep(1)
        assert (await b.view()).status == "parked"

    bench(main, s=asks)


OTHER_CODE = {}


def other_code(fn):
    OTHER_CODE[fn.__name__] = fn
    return fn


@other_code
async def asks_another_agent(run):
    await run.ask("bob", HELLO)
    await run.signal("go")


@other_code
async def asks_nobody(run):
    await run.signal("go")


@other_code
async def asks_twice(run):
    await asyncio.gather(run.ask("ann", HELLO), run.ask("ann", HELLO))
    await run.signal("go")


@other_code
async def starts_a_child(run):
    await run.child("s", Objective())


@other_code
async def ends_at_once(run):
    return "over"


@other_code
async def breaks_at_once(run):
    raise ValueError("new bug")


@other_code
async def does_something(run):
    await run.do("side", int)


@other_code
async def restarts(run):
    run.restart(1)


@pytest.mark.parametrize("name", sorted(OTHER_CODE))
def test_any_other_code_is_parked_and_right_again_when_the_old_code_is_back(bench, name):
    async def main(b):
        await b.agent("ann")
        await b.agent("bob")
        await b.submit()
        before = await b.kinds()
        b.strategies["s"] = OTHER_CODE[name]
        await b.again()
        assert (await b.end()).status == "parked", "it went on with other code"
        assert (await b.kinds())[len(before) :] == ["run.resumed", "run.parked"]
        b.strategies["s"] = asks
        await b.serve(Resume(id="r"))
        await asyncio.sleep(1)
        b.wires["ann"].reply("hello")
        await b.serve(Signal(id="r", name="go", request_id="one"))
        assert (await b.end()).result == "hello"

    bench(main, s=asks)


def test_a_parked_run_whose_strategy_was_mended_goes_on_from_where_it_stood(bench, monkeypatch):
    monkeypatch.setattr("concerted.runs.loop.STEPS", 1000)

    async def spins(run):
        reply = await run.ask("ann", HELLO)
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return reply

    async def mended(run):
        reply = await run.ask("ann", HELLO)
        again = await run.ask("ann", Custom(name="AGAIN"))
        return [reply.value, again.value]

    async def main(b):
        ann = await b.agent("ann", lambda request: request.name)
        await b.submit()
        assert (await b.end()).status == "parked"
        b.strategies["s"] = mended
        await b.serve(Resume(id="r"))
        assert (await b.end()).result == ["HELLO", "AGAIN"]
        assert [envelope.type for envelope in ann.sent] == ["HELLO", "AGAIN"]
        verdicts = await check_replay(b.store, [await b.store.get(RunRecord, "r")], b.strategy)
        assert verdicts == {"r": None}

    bench(main, s=spins)


def test_a_mended_run_may_end_where_it_stood(bench, monkeypatch):
    monkeypatch.setattr("concerted.runs.loop.STEPS", 1000)

    async def spins(run):
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def mended(run):
        return "mended"

    async def main(b):
        await b.submit()
        assert (await b.end()).status == "parked"
        b.strategies["s"] = mended
        await b.serve(Resume(id="r"))
        assert (await b.end()).result == "mended"
        assert await b.kinds() == ["run.created", "run.started", "run.parked", "run.unparked", "run.completed"]

    bench(main, s=spins)


def test_resuming_a_run_that_is_not_parked_changes_nothing(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        before = await b.kinds()
        assert (await b.serve(Resume(id="r"))).status == "active"
        assert await b.kinds() == before
        with pytest.raises(NotFound):
            await b.serve(Resume(id="nothing"))

    bench(main, s=asks)


def test_a_parked_run_can_be_cancelled(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        b.strategies["s"] = ends_at_once
        await b.again()
        assert (await b.end()).status == "parked"
        view = await b.serve(Cancel(id="r", reason="enough"))
        assert view.status == "cancelled"
        assert (await b.serve(Cancel(id="r"))).status == "cancelled"

    bench(main, s=asks)


# poison


def test_a_run_that_kills_the_process_again_and_again_is_parked(bench, tmp_path):
    async def main(b):
        b.world["black_box"] = tmp_path / "box"
        await b.agent("ann")
        await b.again()
        await b.submit()
        for _ in range(3):
            b.coordinator.box.enter("r")  # the process dies while this run executes
            b.coordinator.box._map = None  # and so nothing is cleaned up
            await b.again()
        view = await b.end()
        assert view.status == "parked"
        assert "3 times in a row" in view.reason
        await b.serve(Resume(id="r"))
        await asyncio.sleep(1)
        assert (await b.view()).status == "active"

    bench(main, s=asks, manager={"max_attempts": 2})


def test_deaths_with_progress_in_between_do_not_count(bench, tmp_path):
    async def collects(run):
        return [await run.signal("go") for _ in range(6)]

    async def main(b):
        b.world["black_box"] = tmp_path / "box"
        await b.again()
        await b.submit()
        for number in range(5):
            b.coordinator.box.enter("r")
            b.coordinator.box._map = None
            await b.again()
            await b.serve(Signal(id="r", name="go", payload=number, request_id=str(number)))
        assert (await b.view()).status == "active"

    bench(main, s=collects, manager={"max_attempts": 2})


def test_other_runs_are_not_blamed(bench, tmp_path):
    async def main(b):
        b.world["black_box"] = tmp_path / "box"
        await b.again()
        for run in ("r", "q"):
            await b.submit(run=run)
        for _ in range(4):
            b.coordinator.box.enter("q")
            b.coordinator.box._map = None
            await b.again()
        assert (await b.end("q")).status == "parked"
        assert (await b.view("r")).status == "active"

    bench(main, s=asks, manager={"max_attempts": 2})


# children


async def parent(run):
    outcome = await run.child("leaf", Objective(description="x"))
    return [outcome.success, outcome.result, outcome.reason]


async def leaf(run):
    return await run.signal("go")


def test_parent_and_child_are_taken_over_together(bench):
    async def main(b):
        await b.submit("parent")
        await b.again()
        await b.serve(Signal(id="r/1", name="go", payload=7, request_id="one"))
        assert (await b.end()).result == [True, 7, ""]
        assert await b.kinds("run:r/1") == [
            "run.created", "run.started", "run.resumed", "signal.received", "run.completed",
        ]  # fmt: skip

    bench(main, parent=parent, leaf=leaf)


def test_a_child_that_ended_before_its_parent_could_hear_of_it_is_not_run_again(bench):
    async def main(b):
        await b.submit("parent")
        lost = b.coordinator.tell_parent
        b.coordinator.tell_parent = lambda *_: None  # the process dies between the two commits
        await b.serve(Signal(id="r/1", name="go", payload=7, request_id="one"))
        await asyncio.sleep(1)
        assert lost
        assert (await b.view("r/1")).status == "completed"
        await b.again()
        assert (await b.end()).result == [True, 7, ""]
        assert (await b.kinds("run:r/1")).count("run.created") == 1

    bench(main, parent=parent, leaf=leaf)


def test_a_child_that_nobody_waits_for_is_called_off_after_a_crash_too(bench):
    async def hasty(run):
        try:
            async with asyncio.timeout(1):
                await run.child("leaf", Objective())
        except TimeoutError:
            return await run.signal("end")

    async def main(b):
        await b.submit("hasty")
        b.coordinator.stop_child = lambda *_: None  # the process dies before it can tell the child
        await asyncio.sleep(2)
        assert (await b.view("r/1")).status == "active"
        await b.again()
        assert (await b.end("r/1")).status == "cancelled"

    bench(main, hasty=hasty, leaf=leaf)


def test_a_child_of_a_run_that_has_ended_is_called_off_after_a_crash_too(bench):
    async def hasty(run):
        child = asyncio.ensure_future(run.child("leaf", Objective()))
        await asyncio.sleep(1)
        return "over" if not child.done() else None

    async def main(b):
        await b.submit("hasty")
        b.coordinator.stop_child = lambda *_: None
        assert (await b.end()).result == "over"
        await b.again()
        assert (await b.end("r/1")).status == "cancelled"

    bench(main, hasty=hasty, leaf=leaf)


def test_a_parked_child_is_not_started_again_and_its_parent_waits(bench):
    async def other(run):
        return "other"

    async def main(b):
        await b.submit("parent")
        b.strategies["leaf"] = other
        await b.again()
        assert (await b.end("r/1")).status == "parked"
        await b.again()
        assert (await b.view("r/1")).status == "parked"
        assert (await b.kinds("run:r/1")).count("run.created") == 1
        assert (await b.view()).status == "active"
        b.strategies["leaf"] = leaf
        await b.serve(Resume(id="r/1"))
        await b.serve(Signal(id="r/1", name="go", payload=7, request_id="one"))
        assert (await b.end()).result == [True, 7, ""]

    bench(main, parent=parent, leaf=leaf)


def test_a_parked_child_that_is_cancelled_ends_its_parents_waiting(bench):
    async def other(run):
        return "other"

    async def main(b):
        await b.submit("parent")
        b.strategies["leaf"] = other
        await b.again()
        await b.end("r/1")
        await b.serve(Cancel(id="r/1"))
        success, _, reason = (await b.end()).result
        assert success is False
        assert "parked" in reason

    bench(main, parent=parent, leaf=leaf)


def test_a_parked_parent_that_is_cancelled_takes_its_child_along(bench):
    async def main(b):
        await b.submit("parent")
        b.strategies["parent"] = ends_at_once
        await b.again()
        assert (await b.end()).status == "parked"
        await b.serve(Cancel(id="r"))
        assert (await b.end("r/1")).status == "cancelled"

    bench(main, parent=parent, leaf=leaf)


def test_a_parked_parent_finds_its_child_again(bench):
    async def main(b):
        await b.submit("parent")
        b.strategies["parent"] = ends_at_once
        await b.again()
        assert (await b.end()).status == "parked"
        assert (await b.view("r/1")).status == "active", "a person has yet to decide about the parent"
        await b.serve(Signal(id="r/1", name="go", payload=7, request_id="one"))
        await b.end("r/1")
        b.strategies["parent"] = parent
        await b.serve(Resume(id="r"))
        assert (await b.end()).result == [True, 7, ""]

    bench(main, parent=parent, leaf=leaf)


def test_a_parent_that_sleeps_is_woken_by_its_child_and_does_not_start_it_again(bench):
    async def slow(run):
        await asyncio.sleep(200)
        return "slow"

    async def patient(run):
        return (await run.child("slow", Objective())).result

    async def main(b):
        await b.submit("patient", timeout_s=1000.0)
        await asyncio.sleep(100)
        assert set(b.coordinator.sleepers.dormant) == {"r", "r/1"}
        assert (await b.end()).result == "slow"
        assert (await b.kinds("run:r/1")).count("run.created") == 1

    bench(main, patient=patient, slow=slow, manager={"idle_eviction": 10.0})


# replay --check


def test_check_replay_says_for_each_run_whether_it_would_diverge_and_writes_nothing(bench):
    async def main(b):
        await b.agent("ann", lambda request: "hello")
        await b.submit(run="done")
        await b.serve(Signal(id="done", name="go", request_id="one"))
        await b.end("done")
        await b.submit(run="open")
        await asyncio.sleep(1)
        before = await b.store.last_seq()
        runs = [await b.store.get(RunRecord, run) for run in ("done", "open")]
        assert await check_replay(b.store, runs, b.strategy) == {"done": None, "open": None}
        b.strategies["s"] = asks_another_agent
        verdicts = await check_replay(b.store, runs, b.strategy)
        assert all("the log has command 1: HELLO to ann" in verdict for verdict in verdicts.values())
        assert await b.store.last_seq() == before

    bench(main, s=asks)


def test_an_outcome_that_is_not_the_same_again_diverges(bench):
    count = []

    async def counts(run):
        count.append(1)
        return Outcome(success=True, result=len(count))

    async def main(b):
        await b.submit()
        await b.end()
        (verdict,) = (await check_replay(b.store, [await b.store.get(RunRecord, "r")], b.strategy)).values()
        assert verdict is not None
        assert '"result":1' in verdict
        assert '"result":2' in verdict

    bench(main, s=counts)


def test_a_history_is_replayed_from_its_last_restart_only(bench):
    async def restarts_once(run):
        await run.ask("ann", Custom(name="HELLO", data=run.state))
        if run.state is None:
            run.restart(1)
        await run.signal("go")

    async def main(b):
        await b.agent("ann", lambda request: "hello")
        await b.submit()
        await asyncio.sleep(1)
        entries = await history(b.store, "r")
        assert last_life(entries)[0].kind == "run.restarted"
        done = asyncio.get_running_loop().create_future()
        b.loop.call_soon(lambda: done.set_result(rebuild_instance("r", entries, b.strategy)))
        instance = await done
        assert instance.restarts == 1
        assert instance.commands == 2
        instance.abandon()

    bench(main, s=restarts_once)


def test_a_payload_is_compared_by_its_hash(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        (sent,) = await b.log("command.sent")
        assert len(sent.data["digest"]) == 16
        assert b.wires["ann"].keys[0] == f"r/1/{sent.data['digest']}"

        async def other(run):
            await run.ask("ann", Custom(name="HELLO", data={"a": 1}))

        entries = await history(b.store, "r")
        rebuilt = asyncio.get_running_loop().create_future()

        def call():
            try:
                rebuild_instance("r", entries, lambda _: other)
            except Diverged as error:
                rebuilt.set_exception(error)

        b.loop.call_soon(call)
        with pytest.raises(Diverged) as caught:
            await rebuilt
        assert caught.value.facts["recorded"] != caught.value.facts["now"]

    bench(main, s=asks)


def test_the_same_submit_again_after_a_crash_finds_its_run(bench):
    async def main(b):
        command = Submit(id="r", strategy="s", objective=Objective(tasks=(Task(id="t"),)))
        await b.agent("ann")
        assert not (await b.serve(command)).existed
        await b.again()
        assert (await b.serve(command)).existed

    bench(main, s=asks)


def test_a_strategy_whose_finally_awaits_makes_no_noise_when_it_is_let_go(bench):
    ends = []

    async def tidy(run):
        try:
            await run.signal("go")
        finally:
            ends.append("began")
            await run.ask("ann", Custom(name="TIDY"))
            ends.append("never")

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        await b.again()
        assert ends == ["began"]
        assert ann.sent == []

    bench(main, s=tidy)


# what passed while nobody was there


def test_timers_that_came_due_meanwhile_fire_at_the_start_in_order(bench):
    async def naps(run):
        order = []

        async def nap(seconds):
            await asyncio.sleep(seconds)
            order.append([seconds, run.now()])

        await asyncio.gather(nap(30), nap(10), nap(20), nap(200))
        return order

    async def main(b):
        begun = b.clock.now()
        await b.submit(timeout_s=1000.0)
        await asyncio.sleep(5)
        b.crash()
        await asyncio.sleep(95)
        await b.start()
        assert (await b.end()).result == [[10, begun + 100], [20, begun + 100], [30, begun + 100], [200, begun + 200]]
        assert [row.ref for row in await b.log("timer.fired")] == ["2", "3", "1", "4"]

    bench(main, s=naps)


def test_an_ask_whose_deadline_passed_meanwhile_times_out_at_the_start(bench):
    async def asks_briefly(run):
        reply = await run.ask("ann", HELLO, deadline=10.0)
        return [reply.status, run.now()]

    async def main(b):
        begun = b.clock.now()
        await b.agent("ann")
        await b.submit()
        b.crash()
        await asyncio.sleep(50)
        await b.start()
        assert (await b.end()).result == ["timeout", begun + 50]

    bench(main, s=asks_briefly)


def test_a_run_whose_own_deadline_passed_meanwhile_ends_as_timed_out(bench):
    async def main(b):
        await b.submit(timeout_s=20.0)
        b.crash()
        await asyncio.sleep(100)
        await b.start()
        assert (await b.end()).status == "timed_out"

    bench(main, s=leaf)


def test_a_lease_is_granted_anew_after_a_takeover(bench):
    async def executes(run):
        return (await run.execute(Task(id="t"), "ann")).status

    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        b.crash()
        await asyncio.sleep(100)
        await b.start()
        await asyncio.sleep(25)
        assert (await b.view()).status == "active"
        ann.reply("done")
        assert (await b.end()).result == "ok"

    bench(main, s=executes)


def test_the_death_of_a_process_is_counted_once(bench, tmp_path):
    async def main(b):
        b.world["black_box"] = tmp_path / "box"
        await b.again()
        await b.submit()
        for _ in range(2):
            b.coordinator.box.enter("r")
            b.coordinator.box._map = None
            await b.again()
        assert (await b.end()).status == "parked"
        before = await b.kinds()
        await b.serve(Resume(id="r"))
        await asyncio.sleep(1)
        assert (await b.kinds())[len(before) :] == ["run.unparked"]

    bench(main, s=leaf, manager={"max_attempts": 1})


def test_what_nobody_here_can_do_is_refused_and_not_forgotten(bench):
    async def main(b):
        await b.submit()
        del b.strategies["s"]
        await b.again()
        for command in (Cancel(id="r"), Signal(id="r", name="go", request_id="one")):
            with pytest.raises(Unreachable, match="waits for a coordinator that has its strategy"):
                await b.serve(command)
        b.strategies["s"] = leaf
        await b.again()
        assert (await b.serve(Cancel(id="r"))).status == "cancelled"

    bench(main, s=leaf)


def test_a_parked_run_whose_strategy_is_gone_stays_parked(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        b.strategies["s"] = ends_at_once
        await b.again()
        assert (await b.end()).status == "parked"
        before = await b.kinds()
        del b.strategies["s"]
        with pytest.raises(NotFound, match="strategy"):
            await b.serve(Resume(id="r"))
        assert (await b.view()).status == "parked"
        assert await b.kinds() == before

    bench(main, s=asks)


@pytest.mark.parametrize("crashes", [0, 2])
def test_what_is_counted_of_a_run_is_the_same_after_a_replay(bench, crashes):
    async def main(b):
        await b.agent("ann", lambda request: "hello")
        await b.submit()
        await asyncio.sleep(2)
        for _ in range(crashes):
            await b.again()
        await asyncio.sleep(3)
        await b.serve(Signal(id="r", name="go", request_id="one"))
        metrics = (await b.end()).metrics
        assert (metrics.messages, metrics.replies, metrics.rounds, metrics.wall_s) == (1, 1, 4 + crashes, 5.0)
        assert metrics.waiting_s == {"HELLO": 0.0, "signal or timer": 5.0, "slot": 0.0}

    bench(main, s=asks)
