"""Leader and followers, on the real coordinator with real agents, in virtual time."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, Refused
from concerted.config.settings import Coordination, LeaderFollower, ManagerSettings, Strategies
from concerted.messages import AssumeLeadership, CheckProgress, DecomposeObjective, FollowLeader, decode_request
from concerted.strategies.leader_follower import LeaderResult
from concerted.values import AgentId, Objective, Task, TaskId

LEADER = {"leadership": 1.0, "reliability": 1.0}
QUICK = Coordination(strategies=Strategies(leader_follower=LeaderFollower(election_timeout=3.0)))


def requests(player: Any, kind: type) -> list[Any]:
    """Return the requests of one type that an agent was sent."""
    heard = [decode_request(envelope.type, bytes(envelope.payload)) for envelope in player.heard]
    return [request for request in heard if isinstance(request, kind)]


def result(view: Any) -> LeaderResult:
    return msgspec.convert(view.result, LeaderResult)


def doers(view: Any) -> dict[str, str]:
    return {task.id: task.agent for task in view.tasks}


async def at_work(task: Task, work: Any) -> str:
    await asyncio.sleep(10.0)
    return str(task.id)


# who leads


def test_the_fittest_leads_and_everybody_is_told(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        bob = await stage.agent("bob", capabilities=LEADER)
        cy = await stage.agent("cy")
        view = await stage.run("leader_follower", [task("a")])
        assert view.success
        assert result(view).leader == "bob"
        (term,) = result(view).terms
        assert (term.term, term.score, term.scores) == (1, 80.0, {"bob": 80.0, "ann": 60.0, "cy": 60.0})
        (assumed,) = requests(bob, AssumeLeadership)
        assert (assumed.term, assumed.followers, assumed.done) == (1, ("ann", "cy"), {})
        (followed,) = requests(cy, FollowLeader)
        assert (followed.term, followed.leader) == (1, "bob")
        assert requests(bob, FollowLeader) == []
        roles = {agent: part.role for agent, part in view.participants.items()}
        assert roles == {"ann": "follower", "bob": "leader", "cy": "follower"}
        (elected,) = await stage.log("leader.elected")
        assert (elected.agent, elected.data["term"]) == ("bob", 1)

    play(act)


def test_of_equals_the_first_id_leads(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("cy", "bob", "ann"):
            await stage.agent(name)
        assert result(await stage.run("leader_follower", [task("a")])).leader == "ann"

    play(act)


def test_who_does_not_answer_in_time_does_not_lead(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        (await stage.agent("ann", capabilities=LEADER)).deaf_to.add("GET_STATUS")
        await stage.agent("bob")
        view = await stage.run("leader_follower", [task("a")])
        assert result(view).leader == "bob"

    play(act, QUICK)


def test_the_loads_part_of_the_score_can_be_the_specifications(play: Any, task: Any) -> None:
    """At a load of 30 % nothing is left of it, so the idle one leads though it is a little less able."""

    async def act(stage: Any) -> None:
        leaders = []
        for mode in ("sound", "specification"):
            busy = Agent("ann", capabilities={"leadership": 1.0, "reliability": 0.5})
            busy.on("GET_STATUS")(lambda request: {"id": "ann", "load": 0.4})
            await stage.enter(busy)
            await stage.agent("bob")
            stage.store.load(type(stage.store)().export())
            await stage.crash()
            leaders.append(result(await stage.run("leader_follower", [task("a")], mode=mode)).leader)
        assert leaders == ["ann", "bob"]

    play(act)


def test_a_silent_follower_keeps_nobody_waiting(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob")
        (await stage.agent("cy")).deaf_to.add("FOLLOW_LEADER")
        view = await stage.run("leader_follower", [task("a"), task("b")])
        assert view.success
        assert stage.seconds == pytest.approx(1.0)

    play(act)


def test_one_who_will_not_lead_is_followed_by_the_next(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        unwilling = Agent("ann", capabilities=LEADER)

        @unwilling.on(AssumeLeadership)
        def assume(request: AssumeLeadership) -> None:
            raise Refused("I follow")

        unwilling.task()(at_work)
        await stage.enter(unwilling)
        await stage.agent("bob")
        view = await stage.run("leader_follower", [task("a")])
        assert [(term.leader, term.ended) for term in result(view).terms] == [
            ("ann", "it did not assume leadership: I follow"),
            ("bob", ""),
        ]
        assert doers(view) == {"a": "ann"}

    play(act)


def test_when_nobody_answers_the_election_is_held_again_until_somebody_does(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        player = await stage.agent("ann")
        player.deaf_to.add("GET_STATUS")
        await stage.submit("leader_follower", [task("a")])
        await asyncio.sleep(20.0)
        player.deaf_to.clear()
        view = await stage.end()
        assert view.success

    play(act, QUICK)


# what the leader does


def test_the_followers_work_and_the_leader_does_not(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob")
        await stage.agent("cy")
        view = await stage.run("leader_follower", [task(f"t{number}") for number in range(4)])
        assert Counter(doers(view).values()) == {"bob": 2, "cy": 2}
        assert stage.seconds == pytest.approx(2.0)

    play(act)


def test_a_leader_without_followers_does_the_work_itself(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("leader_follower", [task("a"), task("b", "a")])
        assert doers(view) == {"a": "ann", "b": "ann"}

    play(act)


def test_the_leader_works_where_no_follower_can(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", capabilities=LEADER | {"python": 1.0})
        await stage.agent("bob")
        tasks = [task("a", required_capabilities={"python": 0.5}), task("b"), task("c", agent=AgentId("ann"))]
        view = await stage.run("leader_follower", tasks)
        assert view.success
        assert (doers(view)["a"], doers(view)["c"]) == ("ann", "ann")

    play(act)


def test_a_leader_may_decompose_the_objective_in_its_own_way(play: Any) -> None:
    async def act(stage: Any) -> None:
        leader = Agent("ann", capabilities=LEADER)

        @leader.on(DecomposeObjective)
        def decompose(request: DecomposeObjective) -> list[Task]:
            words = request.objective.description.split()
            return [Task(id=TaskId(word)) for word in words]

        await stage.enter(leader)
        await stage.agent("bob")
        view = await stage.run("leader_follower", Objective(description="write print bind"))
        assert [one.id for one in view.tasks] == ["bind", "print", "write"]
        assert view.success

    play(act)


def test_a_leader_may_assign_in_its_own_way_even_to_itself(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        leader = Agent("ann", capabilities=LEADER, capacity=9)

        @leader.on(CheckProgress)
        def assign(request: CheckProgress) -> dict[TaskId, str]:
            return {task.id: "ann" for task in request.ready}

        leader.task()(at_work)
        await stage.enter(leader)
        await stage.agent("bob")
        view = await stage.run("leader_follower", [task("a"), task("b")])
        assert doers(view) == {"a": "ann", "b": "ann"}

    play(act)


def test_a_leader_cannot_give_a_task_to_who_lacks_what_it_requires(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        leader = Agent("ann", capabilities=LEADER)

        @leader.on(CheckProgress)
        def assign(request: CheckProgress) -> dict[TaskId, str]:
            return {task.id: "bob" for task in request.ready}

        await stage.enter(leader)
        await stage.agent("bob")
        await stage.agent("cy", capabilities={"python": 1.0})
        view = await stage.run("leader_follower", [task("a", required_capabilities={"python": 0.5}, retries=0)])
        assert view.tasks[0].error == "the leader has found nobody for it, in 1 checks"

    play(act)


def test_the_leader_sees_what_is_new_and_no_more_than_there_is_room_for(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        leader = await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob", capacity=2)
        view = await stage.run("leader_follower", [task(f"t{number:03}") for number in range(300)], timeout_s=900.0)
        assert view.success
        checks = requests(leader, CheckProgress)
        assert max(len(check.ready) for check in checks) == 256
        told = [name for check in checks for name in check.done]
        assert len(told) == len(set(told))

    play(act)


# what goes wrong


def test_when_the_leader_is_lost_another_takes_over_and_nothing_is_done_twice(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        done: Counter[str] = Counter()

        async def do(task: Any, work: Any) -> str:
            await asyncio.sleep(1.0)
            done[task.id] += 1
            return f"{task.id}!"

        await stage.agent("ann", do, capabilities=LEADER)
        await stage.agent("bob", do)
        cy = await stage.agent("cy", do)
        tasks = [task("a"), task("b", "a"), task("c", "b"), task("d", "c")]
        await stage.submit("leader_follower", tasks)
        await asyncio.sleep(1.5)
        stage.players["ann"].lose("killed")
        view = await stage.end()
        assert view.success
        assert done == {"a": 1, "b": 1, "c": 1, "d": 1}
        assert stage.seconds == pytest.approx(4.0), "what was being done went on"
        first, second = result(view).terms
        assert (first.leader, first.term, second.leader, second.term) == ("ann", 1, "cy", 2)
        assert second.scores == {"cy": 60.0, "bob": 30.0}, "bob is busy, and ann is gone"
        (assumed,) = requests(cy, AssumeLeadership)
        assert (assumed.term, assumed.done) == (2, {"a": "a!"})
        assert len(requests(cy, DecomposeObjective)) == 0, "the tasks are known"
        (lost,) = await stage.log("leader.lost")
        assert (lost.agent, lost.data["term"]) == ("ann", 1)

    play(act)


def test_a_leader_that_leaves_three_checks_unanswered_is_replaced(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        (await stage.agent("ann", capabilities=LEADER)).deaf_to.add("CHECK_PROGRESS")
        await stage.agent("bob")
        view = await stage.run("leader_follower", [task("a")])
        assert [term.leader for term in result(view).terms] == ["ann", "bob"]
        assert result(view).terms[0].ended == "it left 3 progress checks unanswered: timeout"
        assert stage.seconds == pytest.approx(21.0)  # three checks of 5 s, then 5 s in which it gets no work

    play(act)


def test_a_missed_check_is_forgiven_when_the_next_is_answered(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        ann = await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob")
        ann.deaf_to.add("CHECK_PROGRESS")
        await stage.submit("leader_follower", [task("a")])
        await asyncio.sleep(12.0)
        ann.deaf_to.clear()
        view = await stage.end()
        assert [term.leader for term in result(view).terms] == ["ann"]

    play(act)


def test_a_leader_whose_answers_make_no_sense_gives_nobody_anything(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        mad = Agent("ann", capabilities=LEADER)
        mad.on(CheckProgress)(lambda request: [1, 2, 3])
        await stage.enter(mad)
        await stage.agent("bob")
        view = await stage.run("leader_follower", [task("a", retries=1)])
        assert view.tasks[0].error == "the leader has found nobody for it, in 2 checks"

    play(act)


def test_a_leader_that_decomposes_into_nonsense_is_replaced(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name, answer in (("ann", "eleven"), ("bob", [{"id": "a", "after": ["b"]}])):
            mad = Agent(name, capabilities=LEADER)
            mad.on(DecomposeObjective)(lambda request, answer=answer: answer)
            mad.task()(at_work)
            await stage.enter(mad)
        await stage.agent("cy")
        view = await stage.run("leader_follower", [task("z")])
        assert view.success
        first, second, third = result(view).terms
        assert "is no list of tasks" in first.ended
        assert "task 'a' comes after 'b', which nobody has named" in second.ended
        assert third.leader == "cy"

    play(act)


def test_tasks_of_the_objective_that_make_no_graph_fail_the_run_at_once(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("leader_follower", [task("a", "a")])
        assert (view.status, stage.seconds) == ("failed", 0.0)
        assert "in a circle: a -> a" in view.reason

    play(act)


def test_a_follower_that_is_lost_is_followed_by_another(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob")
        await stage.agent("cy")
        await stage.submit("leader_follower", [task("a")])
        await asyncio.sleep(0.5)
        stage.players["bob"].lose()
        view = await stage.end()
        assert (doers(view), view.tasks[0].epoch) == ({"a": "cy"}, 2)

    play(act)


def test_a_follower_that_refuses_is_passed_over_though_the_leader_names_it_again(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def refuse(task: Any, work: Any) -> None:
            raise Refused("no")

        await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob", refuse)
        await stage.agent("cy")
        view = await stage.run("leader_follower", [task("a")])
        assert doers(view) == {"a": "cy"}
        assert len(await stage.log("task.claimed")) == 2

    play(act)


def test_a_task_that_everybody_refuses_fails_in_the_end(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def refuse(task: Any, work: Any) -> None:
            raise Refused("no")

        await stage.agent("ann", refuse, capabilities=LEADER)
        await stage.agent("bob", refuse)
        view = await stage.run("leader_follower", [task("a", retries=1)])
        assert view.tasks[0].status == "failed"
        assert [event.agent for event in await stage.log("task.claimed")] == ["bob", "ann", "bob", "ann"]

    play(act)


def test_an_agent_that_cannot_be_reached_is_not_tried_over_and_over(play: Any, task: Any) -> None:
    """Its circuit breaker is open, so every command comes back lost at once, though the agent is there."""

    async def act(stage: Any) -> None:
        await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob")
        member = stage.coordinator.roster.members[AgentId("bob")]
        await stage.submit("leader_follower", [task("a")])
        member.breaker = member.breaker.failed(0.0).failed(0.0).failed(0.0).failed(0.0).failed(0.0)
        view = await stage.end()
        assert view.success
        assert len(await stage.log("task.claimed")) < 10

    play(act)


def test_a_task_for_which_there_is_nobody_waits_and_then_fails(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        await stage.agent("bob")
        view = await stage.run("leader_follower", [task("a", required_capabilities={"magic": 1.0}), task("b")])
        assert view.tasks[0].error == "the leader has found nobody for it, in 3 checks"
        assert view.tasks[1].status == "done"
        (waiting,) = await stage.log("task.waiting")
        assert waiting.ref == "a"

    play(act)


def test_at_the_deadline_of_the_run_what_is_done_is_in_the_outcome(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def do(task: Any, work: Any) -> str:
            await asyncio.sleep(task.payload["takes"])
            return "ok"

        await stage.agent("ann", capabilities=LEADER)
        await stage.agent("bob", do, capacity=2)
        tasks = [task("quick", payload={"takes": 1.0}), task("slow", payload={"takes": 99.0})]
        view = await stage.run("leader_follower", tasks, timeout_s=10.0)
        assert view.status == "timed_out"
        assert {one.id: one.status for one in view.tasks} == {"quick": "done", "slow": "cancelled"}
        assert result(view).tasks_completed == 1
        assert result(view).leader == "ann"

    play(act)


def test_a_leader_that_finds_no_tasks_has_not_succeeded(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("leader_follower", Objective(description="whatever"))
        assert (view.success, view.reason) == (False, "there were no tasks")

    play(act)


def test_results_that_no_envelope_would_hold_are_handed_over_by_name_alone(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def do(task: Any, work: Any) -> str:
            await asyncio.sleep(1.0)
            return "x" * 1500

        await stage.agent("ann", do, capabilities=LEADER)
        bob = await stage.agent("bob", do)
        await stage.submit("leader_follower", [task("a"), task("b", "a"), task("c"), task("d", "c"), task("e", "d")])
        await asyncio.sleep(2.5)
        stage.players["ann"].lose()
        assert (await stage.end()).success
        (assumed,) = requests(bob, AssumeLeadership)
        assert {name: len(value or "") for name, value in assumed.done.items()} == {"a": 1500, "b": 0}

    play(act, Coordination(manager=ManagerSettings(max_envelope_bytes=4096)))


def test_a_crash_at_any_moment_changes_nothing_in_the_end(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy"):
            await stage.agent(name)
        await stage.submit("leader_follower", [task("a"), task("b"), task("c", "a"), task("d", "b", "c")])
        for _ in range(6):
            await asyncio.sleep(0.3)
            await stage.crash()
        view = await stage.end()
        assert view.success
        assert sorted(event.ref for event in await stage.log("task.done")) == ["a", "b", "c", "d"]
        assert len(await stage.log("leader.elected")) >= 1

    play(act)
