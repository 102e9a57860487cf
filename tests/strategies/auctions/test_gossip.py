"""Auctions in which agents share the tasks out themselves, by talk that the run carries."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.messages import Bid, Bids, RequestBid, ShareOut
from concerted.sim.actors import stand_in
from concerted.strategies import choose
from concerted.testing.strategy_exam import STRATEGY_CHECKS, Setting, check_strategy
from concerted.values import AgentId, Objective, Profile, Task, TaskId

COSTS: Mapping[str, Mapping[str, float]] = {
    "ann": {"a": 1.0, "b": 2.0, "c": 9.0},
    "bob": {"a": 2.0, "b": 6.0, "c": 5.0},
    "cy": {"a": 3.0, "b": 3.0, "c": 8.0},
}
TALK = {"award": "cbba", "gossip": True}


def bidding(name: str) -> Agent:
    agent = Agent(name)

    @agent.on(RequestBid)
    def bid(request: RequestBid) -> Bids:
        wanted = [task.id for task in request.tasks]
        return Bids(bids=tuple(Bid(task=one, cost=COSTS[name][one], estimated_duration_s=10.0) for one in wanted))

    @agent.task()
    async def do(task: Any) -> str:
        await asyncio.sleep(1.0)
        return f"{task.id} by {name}"

    return agent


def tasks(names: str = "abc") -> list[Task]:
    return [Task(id=TaskId(name), max_budget=10.0) for name in names]


def winners(view: Any) -> dict[str, str]:
    return {task.id: task.agent for task in view.tasks}


def test_by_talk_agents_come_to_what_they_come_to_when_it_is_played_through(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in COSTS:
            await stage.enter(bidding(name))
        played = await stage.run("auction", tasks(), run_id="p", award="cbba")
        talked = await stage.run("auction", tasks(), **TALK)
        assert winners(talked) == winners(played) == {"a": "ann", "b": "cy", "c": "bob"}
        assert talked.result["payments"] == played.result["payments"]
        (shared,) = await stage.log("auction.shared")
        assert (shared.data["agreed"], shared.data["agents"]) == (True, ["ann", "bob", "cy"])
        types = stage.players["ann"].types()
        assert types.count("SHARE_OUT") == shared.data["rounds"]

    play(act)


def test_who_never_speaks_is_forgotten_and_the_others_share_its_tasks(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in COSTS:
            await stage.enter(bidding(name))
        stage.players["ann"].deaf_to.add("SHARE_OUT")
        view = await stage.run("auction", tasks("a"), **TALK)
        assert winners(view) == {"a": "bob"}
        (shared,) = await stage.log("auction.shared")
        assert shared.data["gone"] == {"ann": "timeout, 5 times"}
        told = "rounds of talk bob, cy agree on who does what; forgotten ann: timeout, 5 times"
        assert any(line.endswith(told) for line in await stage.why("r:a"))
        assert stage.seconds == pytest.approx(5 * 5.0 + 1.0)

    play(act)


def test_who_is_lost_during_the_talk_wins_nothing(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in COSTS:
            await stage.enter(bidding(name))
        stage.players["ann"].deaf_to.add("SHARE_OUT")
        await stage.submit("auction", tasks("a"), **TALK)
        await asyncio.sleep(2.0)
        stage.players["ann"].lose()
        assert winners(await stage.end()) == {"a": "bob"}
        (shared,) = await stage.log("auction.shared")
        assert shared.data["agents"] == ["bob", "cy"]

    play(act)


def test_where_agents_go_on_contradicting_each_other_nobody_has_the_task_and_the_result_says_so(play: Any) -> None:
    """Both say in every turn that they have won, whatever they hear."""

    async def act(stage: Any) -> None:
        for name in ("ann", "bob"):
            agent = bidding(name)

            def insist(request: ShareOut, name: str = name) -> Any:
                step = 1 if request.own is None else request.own.step + 1
                return {"agent": name, "step": step, "claims": {"a": [name, 99.0]}, "bundle": ["a"]}

            agent.on(ShareOut)(insist)
            await stage.enter(agent)
        await stage.submit("auction", tasks("a"), gossip_rounds=7, timeout_s=20.0, **TALK)
        view = await stage.end()
        assert not view.success
        (record,) = view.result["auction_results"]
        assert record["reason"] == "ann and bob each take it after 7 rounds of talk"
        shared = await stage.log("auction.shared")
        assert {one.data["rounds"] for one in shared} == {7}
        assert not any(one.data["agreed"] for one in shared)

    play(act)


def test_coordinators_die_in_the_middle_of_the_talk_and_it_comes_to_the_same(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in COSTS:
            agent = bidding(name)
            await stage.enter(agent)
        stage.players["cy"].deaf_to.add("SHARE_OUT")
        await stage.submit("auction", tasks(), **TALK)
        for at in range(5):
            await asyncio.sleep(2.0)
            if at == 2:
                stage.players["cy"].deaf_to.clear()
            await stage.crash()
        view = await stage.end()
        assert view.success
        assert winners(view) == {"a": "ann", "b": "cy", "c": "bob"}

    play(act)


def test_talk_under_another_award_is_refused(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann"))
        view = await stage.run("auction", tasks("a"), gossip=True)
        assert view.status == "failed"
        assert "gossip does not go with award optimal: take award cbba, or leave gossip out" in view.reason

    play(act)


def sharing() -> Setting:
    def agents(seed: int) -> list[Agent]:
        return [
            stand_in(Profile(id=AgentId(name), cost=cost, capacity=2), seed)
            for name, cost in (("ann", 1.0), ("bob", 2.0), ("cy", 3.0))
        ]

    return Setting(
        objective=Objective(description="a garden", tasks=tuple(tasks("abcd"))),
        agents=agents,
        options=TALK,
        matters=lambda outcome: (outcome["success"], {one["id"]: one["status"] for one in outcome["tasks"]}),
    )


@pytest.mark.exams
@pytest.mark.parametrize("check", STRATEGY_CHECKS)
def test_auctions_by_talk_pass_the_exam_also_when_messages_are_lost(check: str) -> None:
    check_strategy(choose.load("auction"), check, setting=sharing)
