"""One call for proposals: whom it passes over, what it writes down, what it rejects at its end."""

import json
from typing import Any

from concerted.agent import Agent, Refused
from concerted.messages import CallForProposals, Proposal


def bidder(name: str, cost: float, **profile: Any) -> Agent:
    agent = Agent(name, **profile)

    @agent.task()
    async def work(task: Any) -> str:
        return f"{task.id} by {name}"

    agent.on(CallForProposals)(lambda request: Proposal(cost=cost, estimated_duration_s=1.0))
    return agent


def test_a_proposal_whose_agent_has_no_room_by_now_is_passed_over(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for agent in (Agent("boss", capabilities={"leadership": 1.0}), bidder("ann", 1.0), bidder("bob", 9.0)):
            await stage.enter(agent)
        view = await stage.run("contract_net", [task("a"), task("b")])
        assert view.success
        assert sorted(one["terms"]["contractor"] for one in view.result["contracts"]) == ["ann", "bob"]
        assert view.result["calls"] == 2

    play(act)


def test_a_judged_round_says_who_is_unfit_and_who_made_no_proposal(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        def no(request: CallForProposals) -> None:
            raise Refused("asleep")

        cy = bidder("cy", 1.0)
        cy.answers.clear()
        cy.on(CallForProposals)(no)
        for agent in (Agent("boss", capabilities={"leadership": 1.0}), bidder("ann", 1.0), bidder("bob", 9.0), cy):
            await stage.enter(agent)
        await stage.run("contract_net", [task("a", max_budget=5.0)])
        (judged,) = await stage.log("proposals.evaluated")
        assert (judged.ref, judged.data["cfp"], judged.data["round"]) == ("a", "r#1", 0)
        assert judged.data["unfit"] == {"bob": "over budget: 9 > 5"}
        assert judged.data["without"] == {"cy": "refuse: asleep"}
        (score, cost) = judged.data["scores"]["ann"]
        assert cost == 1.0
        assert 0.0 < score < 1.0

    play(act)


def test_the_losers_are_rejected_when_the_task_is_decided_and_not_before(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(Agent("boss", capabilities={"leadership": 1.0}))
        await stage.enter(bidder("ann", 1.0))
        bob = await stage.enter(bidder("bob", 9.0))
        await stage.run("contract_net", [task("a")])
        (_, rejected) = bob.heard
        told = json.loads(bytes(rejected.payload))
        assert (rejected.type, told["cfp"], told["task"], told["reason"]) == (
            "REJECT_PROPOSAL", "r#1", "a", "task a is done",
        )  # fmt: skip

    play(act)
