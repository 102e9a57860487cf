"""Contracts at work: how each end comes about, and what is said to the contractor."""

import asyncio
import json
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.allocation.contracts.conversation import TRANSITIONS
from concerted.messages import CallForProposals, ContractAcceptance, Proposal
from concerted.strategies.contracts.work import end_of

ENDS = {"done": "completed", "failed": "failed", "decommitted": "decommitted", "cancelled": "cancelled"}


@pytest.mark.parametrize("act", TRANSITIONS["active"])
def test_the_contract_ends_as_its_conversation_does(act: Any) -> None:
    assert end_of(act) == ENDS[TRANSITIONS["active"][act]]


@pytest.mark.parametrize(
    ("raised", "status", "balance", "penalties"),
    [(None, "completed", 4.0, {}), (ValueError("broken"), "failed", -2.0, {"failure": 2.0})],
)
def test_the_contractor_is_told_how_its_contract_was_settled(
    play: Any, task: Any, raised: Exception | None, status: str, balance: float, penalties: dict[str, float]
) -> None:
    async def act(stage: Any) -> None:
        ann = Agent("ann")

        @ann.task()
        async def work(task: Any) -> None:
            if raised is not None:
                raise raised

        ann.on(CallForProposals)(lambda request: Proposal(cost=4.0))
        player = await stage.enter(ann)
        await stage.run("contract_net", [task("a", retries=0)])
        told = json.loads(bytes(player.heard[-1].payload))
        assert player.types()[-1] == "CONTRACT_ENDED"
        assert (told["contract"], told["task"], told["status"]) == ("r#1/ann", "a", status)
        assert (told["balance"], told["penalties"]) == (balance, penalties)

    play(act)


def test_the_run_can_end_while_a_contractor_thinks_about_the_terms(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        player = await stage.agent("ann")
        player.deaf_to.add("CONTRACT_ACCEPTANCE")
        view = await stage.run("contract_net", [task("a")], timeout_s=3.0)
        assert view.status == "timed_out"
        assert view.result["endings"] == {"a": "cancelled"}
        assert view.result["contracts"] == []
        assert player.types()[-1] == "REJECT_PROPOSAL"

    play(act)


def test_a_task_due_while_the_terms_are_thought_about_comes_to_no_contract(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def slowly(request: ContractAcceptance) -> bool:
            await asyncio.sleep(5.0)
            return True

        ann = Agent("ann")
        ann.task()(lambda task: None)
        ann.on(ContractAcceptance)(slowly)
        player = await stage.enter(ann)
        view = await stage.run("contract_net", [task("a", deadline_s=2.0)])
        assert view.result["endings"] == {"a": "failed"}
        assert view.result["contracts"] == []
        assert player.types() == ["CALL_FOR_PROPOSALS", "CONTRACT_ACCEPTANCE", "REJECT_PROPOSAL"]

    play(act)
