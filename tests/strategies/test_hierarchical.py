"""The hierarchy, on the real coordinator with real agents, in virtual time."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, Refused
from concerted.messages import AssumeLeadership, CheckProgress, DecomposeObjective, decode_request
from concerted.strategies.hierarchies.tree import HierarchyResult
from concerted.values import Meeting, Objective, Task, TaskId


def result(view: Any) -> HierarchyResult:
    return msgspec.convert(view.result, HierarchyResult)


def doers(view: Any) -> dict[str, str]:
    return {task.id: task.agent for task in view.tasks}


def requests(player: Any, kind: type) -> list[Any]:
    heard = [decode_request(envelope.type, bytes(envelope.payload)) for envelope in player.heard]
    return [request for request in heard if isinstance(request, kind)]


async def crew(stage: Any, **more: Any) -> None:
    """Bring in two bakers and two singers; ann and cy are the fittest to lead, ann most."""
    for name, trade, lead in (("ann", "bake", 0.9), ("bob", "bake", 0.1), ("cy", "sing", 0.8), ("dee", "sing", 0.1)):
        await stage.agent(name, capabilities={trade: 0.9, "leadership": lead}, **more)


def bake(task: Any, name: str, *after: str, **fields: Any) -> Task:
    return task(name, *after, required_capabilities={"bake": 0.5}, **fields)


def sing(task: Any, name: str, *after: str, **fields: Any) -> Task:
    return task(name, *after, required_capabilities={"sing": 0.5}, **fields)


def test_each_cluster_does_what_it_can_do(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        tasks = [bake(task, "b1"), bake(task, "b2"), sing(task, "s1"), sing(task, "s2")]
        view = await stage.run("hierarchical", tasks, clusters=2)
        assert view.success
        assert {doers(view)[one] for one in ("b1", "b2")} == {"ann", "bob"}
        assert {doers(view)[one] for one in ("s1", "s2")} == {"cy", "dee"}
        found = result(view)
        assert (found.hierarchy_levels, found.total_agents, found.clusters_formed) == (2, 4, 2)
        assert (found.tasks_completed, found.total_tasks) == (4, 4)
        first, second = found.cluster_results
        assert (first.leader, first.agent_count, first.tasks_completed) == ("ann", 2, 2)
        assert (second.leader, second.agent_count, second.tasks_completed) == ("cy", 2, 2)
        assert [child.strategy for child in first.result] == ["auction"]
        assert found.inter_cluster_result.leaders == {"c1": "ann", "c2": "cy"}
        assert {agent: part.role for agent, part in view.participants.items()} == {
            "ann": "leader", "bob": "member", "cy": "leader", "dee": "member",
        }  # fmt: skip
        assert sorted(view.participants["ann"].done + view.participants["bob"].done) == ["b1", "b2"]

    play(act)


def test_what_comes_after_another_clusters_work_gets_its_results(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        seen: dict[str, Any] = {}

        async def do(task: Task, work: Any) -> str:
            seen[task.id] = dict(work.results)
            await asyncio.sleep(1.0)
            return f"{task.id} is done"

        await crew(stage, do=do)
        tasks = [bake(task, "cake"), sing(task, "song", "cake"), bake(task, "icing", "song", "cake")]
        view = await stage.run("hierarchical", tasks, clusters=2)
        assert view.success
        assert seen == {
            "cake": {}, "song": {"cake": "cake is done"}, "icing": {"cake": "cake is done", "song": "song is done"},
        }  # fmt: skip
        delegated = [(row.ref, row.data["tasks"]) for row in await stage.log("tasks.delegated")]
        assert delegated == [("c1", ["cake"]), ("c2", ["song"]), ("c1", ["icing"])]

    play(act)


def test_what_one_cluster_could_not_do_the_head_gives_to_another(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def refuse(task: Task, work: Any) -> None:
            raise Refused("not I")

        for name, lead in (("ann", 0.9), ("bob", 0.1)):
            await stage.agent(name, do=refuse, capabilities={"bake": 0.9, "leadership": lead})
        for name in ("cy", "dee"):
            await stage.agent(name, capabilities={"sing": 0.9, "bake": 0.1})
        view = await stage.run(
            "hierarchical", [task("cake", required_capabilities={"bake": 0.1}, retries=0)], clusters=2
        )
        assert view.success, view
        assert doers(view)["cake"] in ("cy", "dee")
        (moved,) = result(view).inter_cluster_result.reassigned
        assert (moved.task_id, moved.to, moved.by) == ("cake", "c2", "ann")
        (asked,) = requests(stage.players["ann"], CheckProgress)
        assert [one.id for one in asked.ready] == ["cake"]
        assert sorted(asked.free) == ["cy"]

    play(act)


def test_a_failed_attempt_counts_wherever_it_was_made(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        tried: list[str] = []

        async def fail(task: Task, work: Any) -> None:
            tried.append(task.id)
            raise ValueError("burnt")

        await crew(stage, do=fail)
        view = await stage.run("hierarchical", [task("cake", retries=1), task("party", "cake")], clusters=2)
        assert not view.success
        assert tried == ["cake", "cake"]
        told = {one.id: (one.status, one.error) for one in view.tasks}
        assert told["cake"][0] == "failed"
        assert told["party"] == ("failed", "it comes after cake, and cake was not done")

    play(act)


def test_a_lost_leader_has_a_successor_and_nothing_finished_is_done_again(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        done: Counter[str] = Counter()

        async def do(task: Task, work: Any) -> str:
            await asyncio.sleep(5.0)
            done[task.id] += 1
            return str(task.id)

        await crew(stage, do=do)
        tasks = [bake(task, f"b{number}") for number in range(4)]
        await stage.submit("hierarchical", tasks, clusters=2)
        await asyncio.sleep(7.0)
        stage.players["ann"].lose()
        view = await stage.end()
        assert view.success
        first = [one for one, agent in doers(view).items() if agent == "ann"]
        assert first
        assert all(done[one] == 1 for one in first)
        assert result(view).inter_cluster_result.leaders["c1"] == "bob"
        elected = [(row.agent, row.ref) for row in await stage.log("leader.elected")]
        assert elected == [("ann", "c1"), ("cy", "c2"), ("bob", "c1")]

    play(act)


def test_of_a_lost_cluster_only_what_is_unfinished_is_done_by_others(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        done: list[str] = []

        def working(name: str) -> Any:
            async def do(task: Task, work: Any) -> str:
                await asyncio.sleep(5.0)
                done.append(f"{task.id} by {name}")
                return name

            return do

        for name, levels in (("ann", {"x": 0.9}), ("bob", {"x": 0.9}), ("cy", {"y": 0.9, "x": 0.1}),
                             ("dee", {"y": 0.9, "x": 0.1})):  # fmt: skip
            await stage.agent(name, do=working(name), capabilities=levels)
        tasks = [task(f"t{number}", required_capabilities={"x": 0.1}) for number in range(8)]
        await stage.submit("hierarchical", tasks, clusters=2)
        await asyncio.sleep(7.0)
        for name in ("ann", "bob"):
            stage.players[name].lose()
        view = await stage.end()
        assert view.success, view.tasks
        counts = Counter(doers(view).values())
        assert (counts["ann"], counts["bob"]) == (1, 1)  # those were done before, and by nobody else
        for one, agent in doers(view).items():
            if agent in ("ann", "bob"):
                assert [each for each in done if each.startswith(f"{one} ")] == [f"{one} by {agent}"]
        assert [cluster.cluster_id for cluster in result(view).cluster_results] == ["c1", "c2"]
        assert stage.seconds < 60

    play(act)


def test_a_leader_that_will_not_lead_is_not_asked_again(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        proud = Agent("ann", capabilities={"bake": 0.9, "leadership": 1.0})

        @proud.on(AssumeLeadership)
        def refuse(request: AssumeLeadership) -> None:
            raise Refused("I follow")

        @proud.task()
        async def do(task: Task) -> str:
            await asyncio.sleep(1.0)
            return "done"

        ann = await stage.enter(proud)
        await stage.agent("bob", capabilities={"bake": 0.9})
        view = await stage.run("hierarchical", [task("a"), task("b")], clusters=1)
        assert view.success
        assert result(view).inter_cluster_result.leaders == {"c1": "bob"}
        assert len(requests(ann, AssumeLeadership)) == 1
        (lost,) = await stage.log("leader.lost")
        assert (lost.agent, lost.ref) == ("ann", "c1")

    play(act)


def test_large_clusters_are_split_again_and_every_level_is_seen(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for number in range(16):
            trade = ("bake", "sing")[number % 2]
            await stage.agent(f"a{number:02}", capabilities={trade: 0.9, "x": (number // 8) / 2})
        tasks = [task(f"t{number:02}") for number in range(32)]
        view = await stage.run("hierarchical", tasks, clusters=2, split_above=4)
        assert view.success
        found = result(view)
        assert found.hierarchy_levels == 3
        inner = found.cluster_results[0].result[0]
        assert inner.strategy == "hierarchical"
        nested = msgspec.convert(inner.result, HierarchyResult)
        assert nested.total_agents == 8
        assert {child.strategy for part in nested.cluster_results for child in part.result} == {"auction"}
        assert nested.hierarchy_levels == 2

    play(act)


@pytest.mark.parametrize(("levels", "expected"), [(1, 2), (2, 2), (3, 3)])
def test_there_are_no_more_levels_than_asked_for(play: Any, task: Any, levels: int, expected: int) -> None:
    async def act(stage: Any) -> None:
        for number in range(9):
            await stage.agent(f"a{number}", capabilities={"x": number / 9})
        tasks = [task(f"t{number}") for number in range(9)]
        view = await stage.run("hierarchical", tasks, max_levels=levels, split_above=1)
        assert view.success
        assert result(view).hierarchy_levels == expected
        assert (result(view).clusters_formed == 1) == (levels == 1)

    play(act)


def test_the_strategy_inside_clusters_can_be_chosen(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("hierarchical", [task("a"), task("b")], clusters=2, cluster_strategy="leader_follower")
        assert view.success
        ran = [child.strategy for part in result(view).cluster_results for child in part.result]
        assert set(ran) == {"leader_follower"}

    play(act)


def test_where_there_are_no_tasks_the_head_is_asked_for_them(play: Any) -> None:
    async def act(stage: Any) -> None:
        head = Agent("ann", capabilities={"leadership": 1.0})

        @head.on(DecomposeObjective)
        def decompose(request: DecomposeObjective) -> list[Task]:
            return [Task(id=f"t{number}") for number in range(request.objective.data["parts"])]

        await stage.enter(head)
        for name in ("bob", "cy", "dee"):
            await stage.agent(name, capabilities={"x": 0.5})
        view = await stage.run("hierarchical", Objective(data={"parts": 3}))
        assert [one.id for one in view.tasks] == ["t0", "t1", "t2"]
        assert view.success

    play(act)


def test_a_run_without_any_task_says_so(play: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("hierarchical", Objective())
        assert (view.success, view.reason) == (False, "there were no tasks")

    play(act)


def test_what_nobody_can_do_fails_with_the_reason(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("hierarchical", [bake(task, "cake"), task("fly", required_capabilities={"wings": 0.5})])
        told = {one.id: (one.status, one.error) for one in view.tasks}
        assert told["cake"][0] == "done"
        assert told["fly"] == ("failed", "no cluster has an agent with wings 0.5")

    play(act)


def test_tasks_of_different_clusters_meet(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        tasks = (
            bake(task, "cake", arrives_at=("feast",)),
            sing(task, "song", arrives_at=("feast",)),
            bake(task, "coffee", waits_for=("feast",)),
        )
        objective = Objective(tasks=tasks, sync=(Meeting(id="feast"),))
        view = await stage.run("hierarchical", objective, clusters=2)
        assert view.success, view.tasks
        ended = {one.id: one.ended_at for one in view.tasks}
        began = {one.id: one.started_at for one in view.tasks}
        assert began["coffee"] >= max(ended["cake"], ended["song"])

    play(act)


def test_at_the_deadline_there_is_what_is_done(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        tasks = [bake(task, f"b{number:02}") for number in range(20)]
        view = await stage.run("hierarchical", tasks, clusters=2, timeout_s=5.5)
        assert view.status == "timed_out"
        done = [one for one in view.tasks if one.status == "done"]
        assert 0 < len(done) < 20
        assert result(view).tasks_completed == len(done)
        assert sorted(one.id for one in done) == sorted(one for part in view.participants.values() for one in part.done)

    play(act)


def test_who_comes_later_is_put_into_a_cluster(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", capabilities={"bake": 0.9})
        await stage.submit("hierarchical", [bake(task, "cake"), sing(task, "song", "cake")])
        await asyncio.sleep(0.5)
        await stage.agent("cy", capabilities={"sing": 0.9})
        view = await stage.end()
        assert view.success, view.tasks
        assert doers(view) == {"cake": "ann", "song": "cy"}

    play(act)


def test_options_that_fit_nowhere_are_refused(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("hierarchical", [task("a")], balance="even")
        assert view.status == "failed"
        assert "the options balance of the run do not fit" in view.reason

    play(act)


def test_tasks_in_a_circle_are_refused(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("hierarchical", [task("a", "b"), task("b", "a")])
        assert view.status == "failed"
        assert "a circle" in view.reason

    play(act)


def test_a_depth_that_is_no_number_is_refused(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("hierarchical", [task("a")], depth="deep")
        assert "the option depth of the run must be a whole number" in view.reason

    play(act)


def test_tasks_that_wait_for_each_other_at_meetings_fail(play: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        tasks = (
            Task(id=TaskId("a"), arrives_at=("m",), waits_for=("n",)),
            Task(id=TaskId("b"), arrives_at=("n",), waits_for=("m",)),
        )
        objective = Objective(tasks=tasks, sync=(Meeting(id="m"), Meeting(id="n")))
        view = await stage.run("hierarchical", objective, clusters=2)
        assert {one.error for one in view.tasks} == {"what it waits for waits for it"}

    play(act)
