"""The workshop: a strategy of the simplest kind on it, and what it must not let happen."""

import asyncio
from typing import Any

import pytest

from concerted.errors import Invalid
from concerted.strategies import choose
from concerted.strategies.workshop.tasks import open_workshop
from concerted.values import AgentId, Objective, TaskId


@pytest.fixture
def rehearse(play: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play an act in which the strategy `mine` is this function of (run, workshop)."""

    def begin(act: Any, body: Any) -> None:
        async def coordinate(run: Any) -> Any:
            async with open_workshop(run) as shop:
                shop.add(run.objective.tasks)
                answer = await body(run, shop)
            return shop.outcome(answer)

        load = choose.load
        monkeypatch.setattr(choose, "load", lambda name: coordinate if name == "mine" else load(name))
        play(act)

    return begin


async def first_come(run: Any, shop: Any) -> None:
    """Give each open task to the first agent with room."""
    while shop.unfinished:
        seen = shop.changes
        for task in shop.waiting():
            room = shop.staff.free(run.agents)
            if room:
                shop.award(task.id, min(room))
        await shop.news(seen)


def test_a_strategy_of_six_lines_gets_everything_done(rehearse: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        await stage.agent("bob")
        view = await stage.run("mine", [task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")])
        assert view.success
        assert stage.seconds == pytest.approx(3.0)

    rehearse(act, first_come)


def test_news_is_not_missed_while_the_strategy_is_busy_with_something_else(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> Any:
        seen = shop.changes
        shop.award(TaskId("a"), AgentId("ann"))
        await asyncio.sleep(5.0)
        began = run.now()
        assert await shop.news(seen)
        assert not await shop.news(shop.changes, within=2.0)
        return run.now() - began

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        assert (await stage.run("mine", [task("a")])).result == pytest.approx(2.0)

    rehearse(act, body)


def test_an_agent_that_rests_is_given_nothing_until_its_rest_is_over(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> None:
        shop.staff.rest(AgentId("ann"), 7.0)
        assert shop.staff.free(run.agents) == {}
        await first_come(run, shop)

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        assert (await stage.run("mine", [task("a")])).success
        assert stage.seconds == pytest.approx(8.0)

    rehearse(act, body)


def test_an_agent_that_changes_or_comes_back_rests_no_more(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> None:
        shop.staff.rest(AgentId("ann"), 70.0)
        await first_come(run, shop)

    async def act(stage: Any) -> None:
        ann = await stage.agent("ann")
        await stage.submit("mine", [task("a")])
        await asyncio.sleep(2.0)
        ann._abilities.change(cost=2.0)
        await stage.end()
        assert stage.seconds == pytest.approx(3.0)

    rehearse(act, body)


def test_a_fault_of_our_own_in_the_work_on_a_task_ends_the_run_loudly(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> None:
        shop._results = None  # what a bug might do
        await first_come(run, shop)

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("mine", [task("a")])
        assert view.status == "failed"
        assert "TypeError" in view.reason

    rehearse(act, body)


def test_what_is_being_done_is_called_back_when_the_strategy_ends(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> None:
        shop.award(TaskId("a"), AgentId("ann"))
        await asyncio.sleep(0.5)

    async def act(stage: Any) -> None:
        ann = await stage.agent("ann")
        view = await stage.run("mine", [task("a"), task("b", "a")])
        assert [(one.status, one.error) for one in view.tasks] == [("cancelled", "the run ended first")] * 2
        await asyncio.sleep(0.1)
        assert ann.types() == ["EXECUTE_TASK", "CANCEL_TASK"]

    rehearse(act, body)


def test_a_task_can_be_given_up(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> None:
        shop.fail(TaskId("a"), "not worth it")
        await first_come(run, shop)

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("mine", [task("a"), task("b", "a"), task("c")])
        assert [one.error for one in view.tasks] == ["not worth it", "it comes after a, and a was not done", None]

    rehearse(act, body)


def test_the_log_leads_to_the_same_tasks_as_the_outcome(rehearse: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def fail(one: Any, work: Any) -> str:
            if one.id == "b":
                raise ValueError("no")
            return f"{one.id}!"

        await stage.agent("ann", fail)
        view = await stage.run("mine", [task("a"), task("b", retries=1), task("c", "b"), task("d", "a")])
        ended = {one.id: (one.status, one.attempts, one.result, one.error) for one in view.tasks}
        told: dict[str, Any] = {}
        for event in await stage.log("task.*"):
            if event.kind in ("task.done", "task.failed"):
                told[event.ref] = (event.kind[5:], event.data.get("result"), event.data.get("reason"))
        assert told == {name: (status, result, error) for name, (status, _, result, error) in ended.items()}

    rehearse(act, first_come)


def test_tasks_that_make_no_graph_are_refused(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> str:
        with pytest.raises(Invalid):
            shop.add([task("x", "y")])
        return "refused"

    async def act(stage: Any) -> None:
        assert (await stage.run("mine", [])).result == "refused"

    rehearse(act, body)


def test_tasks_come_after_what_was_done_before_the_run_and_get_its_results(rehearse: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        seen: dict[str, Any] = {}

        async def do(task: Any, work: Any) -> str:
            seen[task.id] = dict(work.results)
            return "done"

        await stage.agent("ann", do)
        objective = Objective(tasks=(task("b", "a"), task("c", "b", "a")), done={TaskId("a"): 7})
        view = await stage.run("mine", objective)
        assert view.success
        assert seen == {"b": {"a": 7}, "c": {"a": 7, "b": "done"}}

    rehearse(act, first_come)


def test_a_run_whose_agents_are_all_gone_waits_as_long_as_it_was_told_to(play: Any, task: Any) -> None:
    for strategy in ("auction", "leader_follower"):

        async def act(stage: Any, strategy: str = strategy) -> None:
            ann = await stage.agent("ann")
            await stage.submit(strategy, [task("a"), task("b", "a"), task("c", "b")], desertion_timeout=8.0)
            await asyncio.sleep(1.5)
            ann.lose()
            view = await stage.end()
            assert view.status == "timed_out"
            assert [one.status for one in view.tasks] == ["done", "cancelled", "cancelled"]
            assert 9.0 < stage.seconds < 25.0

        play(act)


def test_a_run_goes_on_when_somebody_comes_back_in_time(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        ann = await stage.agent("ann")
        await stage.submit("auction", [task("a"), task("b", "a")], desertion_timeout=8.0)
        await asyncio.sleep(1.5)
        ann.lose()
        await asyncio.sleep(5.0)
        await stage.agent("ann")
        assert (await stage.end()).success

    play(act)


def test_a_timeout_that_is_no_number_is_refused(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", [task("a")], desertion_timeout="soon")
        assert view.status == "failed"
        assert "the option desertion_timeout of the run must be a number of seconds" in view.reason

    play(act)
