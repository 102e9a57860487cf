"""Tasks meet at the sync points of their run: they arrive when they are done, and wait until it is complete."""

import asyncio

import pytest

from concerted.agent import Agent
from concerted.launch import open_coordinator
from concerted.values import AgentId, Meeting, Objective, Task, TaskId

MET = Meeting(id="met", participants=(AgentId("a"), AgentId("b")))


def task(name: str, **fields) -> Task:
    return Task(id=TaskId(name), kind="do", retries=0, **fields)


def play(tmp_path, objective: Objective, *, strategy: str = "auction", beside=None):
    """Run an objective with three agents; return the view, the order of the tasks and the session's points."""
    order: list[str] = []

    async def main():
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as coordinator:
            for name in ("ann", "bob", "cy"):
                agent = Agent(name)

                @agent.task("do")
                async def do(task):
                    await asyncio.sleep(0.05)
                    order.append(task.id)
                    if task.payload.get("fail"):
                        raise ValueError("no")
                    return f"{task.id} is done"

                await coordinator.register(agent)
            running = asyncio.ensure_future(coordinator.run(strategy, objective, id="r", timeout_s=30))
            if beside is not None:
                await beside(coordinator)
            return await running, order

    return asyncio.run(main())


@pytest.mark.parametrize("strategy", ["auction", "contract_net", "leader_follower"])
def test_a_task_waits_until_those_it_waits_for_have_met(tmp_path, strategy):
    tasks = (task("c", waits_for=("met",)), task("a", arrives_at=("met",)), task("b", arrives_at=("met",)))
    view, order = play(tmp_path, Objective(tasks=tasks, sync=(MET,)), strategy=strategy)
    assert view.success
    assert order[-1] == "c"
    assert {one.status for one in view.tasks} == {"done"}


def test_a_point_that_comes_to_nothing_fails_what_waits_for_it_and_says_so(tmp_path):
    tasks = (task("c", waits_for=("met",)), task("a", arrives_at=("met",)), task("b", payload={"fail": True}))
    met = Meeting(id="met", participants=(AgentId("a"), AgentId("b")), deadline_s=0.5)
    view, order = play(tmp_path, Objective(tasks=tasks, sync=(met,)))
    by_id = {one.id: one for one in view.tasks}
    assert by_id["c"].status == "failed"
    assert "sync point met" in by_id["c"].error
    assert "expired" in by_id["c"].error
    assert "c" not in order


def test_tasks_meet_a_script_at_a_shared_point(tmp_path):
    met = Meeting(id="gate", participants=(AgentId("a"), AgentId("boss")), shared=True)
    tasks = (task("a", arrives_at=("gate",)), task("c", waits_for=("gate",)))

    async def boss(coordinator):
        point = coordinator.sync_point("gate")
        while (await coordinator.get("r")).started_at is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        told = await point.arrive("boss", {"go": True}, timeout_s=20)
        assert told.sync_data == {"a": "a is done", "boss": {"go": True}}

    async def when_there(coordinator):
        for _ in range(200):
            if any(event.kind == "sync_point.created" for event in await coordinator.events(kind="sync_point.created")):
                return await boss(coordinator)
            await asyncio.sleep(0.02)
        raise AssertionError("the run never made its point")

    view, order = play(tmp_path, Objective(tasks=tasks, sync=(met,)), beside=when_there)
    assert view.success
    assert order == ["a", "c"]


def test_a_task_may_come_after_another_and_wait_for_a_point(tmp_path):
    tasks = (
        task("a", arrives_at=("met",)),
        task("b", arrives_at=("met",)),
        task("x"),
        task("c", waits_for=("met",), after=(TaskId("x"),)),
    )
    view, order = play(tmp_path, Objective(tasks=tasks, sync=(MET,)))
    assert view.success
    assert order[-1] == "c"
