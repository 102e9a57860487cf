"""The contract net on a stage: the real coordinator, agents with prices of their own, virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, Refused
from concerted.config.settings import ContractNet, Coordination, ManagerSettings, Strategies
from concerted.engine.commands import serve
from concerted.engine.permissions import LOCAL
from concerted.messages import CallForProposals, ContractAcceptance, Proposal
from concerted.ports.commands import Signal
from concerted.values import RunId, Task

QUICK = Coordination(strategies=Strategies(contract_net=ContractNet(proposal_timeout=4.0)))
PROMISED_S = 10.0


def contractor(
    name: str, cost: float, *, takes_s: float = 1.0, do: Callable[..., Any] | None = None,
    answer: Callable[[CallForProposals], Any] | None = None, **profile: Any,
) -> Agent:  # fmt: skip
    """Make an agent that proposes every task for `cost` and ten seconds, unless `answer` says otherwise."""
    agent = Agent(name, **profile)

    async def work(task: Task) -> str:
        await asyncio.sleep(takes_s)
        return f"{task.id} by {name}"

    agent.task()(do or work)
    agent.on(CallForProposals)(answer or (lambda request: Proposal(cost=cost, estimated_duration_s=PROMISED_S)))
    return agent


def boss() -> Agent:
    """Make who will be the manager, by its profile."""
    return Agent("boss", capabilities={"leadership": 1.0})


def by(view: Any) -> dict[str, str | None]:
    return {one.id: one.agent for one in view.tasks if one.status == "done"}


def contracts(view: Any) -> list[tuple[str, str, str, float]]:
    return [
        (one["terms"]["task"], one["terms"]["contractor"], one["status"], round(one["balance"], 6))
        for one in view.result["contracts"]
    ]


async def signal(stage: Any, payload: Any, name: str = "one") -> None:
    await serve(stage.coordinator, Signal(id=RunId("r"), name="cancel", payload=payload, request_id=name), LOCAL)


# The whole of it


def test_the_best_proposal_gets_the_contract_and_is_paid(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        ann = await stage.enter(contractor("ann", 4.0))
        bob = await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a", max_budget=8.0)])
        assert view.success
        assert by(view) == {"a": "bob"}
        assert view.result["manager"] == "boss"
        assert contracts(view) == [("a", "bob", "completed", 2.0)]
        (contract,) = view.result["contracts"]
        assert contract["score"] == pytest.approx(0.3 * 0.75 + 0.25 * 0.0 + 0.25 + 0.2 * 0.5)
        assert contract["terms"]["duration_s"] == PROMISED_S
        counts = ("contracts_negotiated", "contracts_completed", "total_value", "calls", "rounds")
        assert [view.result[name] for name in counts] == [1, 1, 2.0, 1, 1]
        assert view.result["endings"] == {"a": "done"}
        assert view.result["accounts"] == {"bob": {"earned": 2.0, "penalties": 0.0, "compensation": 0.0}}
        assert bob.types() == ["CALL_FOR_PROPOSALS", "CONTRACT_ACCEPTANCE", "EXECUTE_TASK", "CONTRACT_ENDED"]
        assert ann.types() == ["CALL_FOR_PROPOSALS", "REJECT_PROPOSAL"]
        assert view.participants["boss"].role == "manager"
        assert view.participants["ann"].role == "contractor"

    play(act)


def test_a_call_says_all_that_the_specification_puts_into_it(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        heard: list[CallForProposals] = []

        def answer(request: CallForProposals) -> Proposal:
            heard.append(request)
            return Proposal(cost=1.0)

        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, answer=answer, capabilities={"law": 0.9}))
        await stage.run("contract_net", [task("a", max_budget=8.0, required_capabilities={"law": 0.5})])
        (call,) = heard
        assert (call.cfp, call.issuer, call.task.id, call.budget, call.round) == ("r#1", "boss", "a", 8.0, 0)
        assert call.task.required_capabilities == {"law": 0.5}
        assert call.reply_by == pytest.approx(stage.clock.now() - stage.seconds + 60.0)
        assert call.evaluation_criteria == {"cost": 0.3, "time": 0.25, "quality": 0.25, "reliability": 0.2}
        assert call.contract_duration_s == 24 * 3600.0
        assert call.penalty_clauses.late == 0.1

    play(act)


def test_agents_without_a_say_of_their_own_work_too_and_in_the_order_of_the_graph(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy"):
            await stage.agent(name)
        view = await stage.run("contract_net", [task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")])
        assert view.success
        assert set(view.result["endings"].values()) == {"done"}
        assert stage.seconds == pytest.approx(3.0)

    play(act)


# Who manages


def test_the_option_names_the_manager_and_a_stranger_is_an_error(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob"):
            await stage.agent(name)
        view = await stage.run("contract_net", [task("a")], manager="bob")
        assert (view.result["manager"], by(view)) == ("bob", {"a": "ann"})

    async def wrong(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("contract_net", [task("a")], manager="bo")
        assert view.status == "failed"
        assert "the option manager names 'bo', who is no agent of it; there are ann" in view.reason

    play(act)
    play(wrong)


def test_a_manager_that_is_alone_does_the_work_itself(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("contract_net", [task("a")])
        assert (view.result["manager"], by(view)) == ("ann", {"a": "ann"})

    play(act)


def test_a_lost_manager_is_replaced_and_contracts_go_on(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        chief = await stage.enter(boss())
        await stage.enter(contractor("bob", 1.0, takes_s=5.0))
        await stage.submit("contract_net", [task("a"), task("b", "a")])
        await asyncio.sleep(2.0)
        chief.lose()
        view = await stage.end()
        assert view.success
        assert view.result["manager"] == "ann"
        assert [one.agent for one in await stage.log("manager.selected")] == ["boss", "ann"]
        assert [one["terms"]["manager"] for one in view.result["contracts"]] == ["boss", "ann"]

    play(act)


# Refusals, silence, nonsense


def test_silence_lasts_until_reply_by_and_what_comes_later_is_late(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def slowly(request: CallForProposals) -> Proposal:
            await asyncio.sleep(10.0)
            return Proposal(cost=0.0)

        await stage.enter(boss())
        slow = await stage.enter(contractor("ann", 0.0, answer=slowly))
        await stage.enter(contractor("bob", 5.0, takes_s=20.0))
        view = await stage.run("contract_net", [task("a")])
        assert by(view) == {"a": "bob"}
        assert stage.seconds == pytest.approx(24.0)
        (rejected,) = [one for one in slow.heard if one.type == "REJECT_PROPOSAL"]
        assert b"late: the call was closed at its reply-by" in bytes(rejected.payload)
        (late,) = await stage.log("reply.late")
        assert late.agent == "ann"
        (judged,) = await stage.log("proposals.evaluated")
        assert judged.data["without"] == {"ann": "no answer came in time"}

    play(act, QUICK)


def test_nobody_proposes_and_the_task_ends_as_no_proposal(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        def no(request: CallForProposals) -> None:
            raise Refused("no time")

        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, answer=no))
        await stage.enter(contractor("bob", 1.0, answer=lambda request: {"proposal": None, "reason": "too hard"}))
        view = await stage.run("contract_net", [task("a"), task("b", mandatory=False, retries=0), task("c", "a")])
        assert not view.success
        assert view.result["endings"] == {"a": "no_proposal", "b": "no_proposal", "c": "failed"}
        error = {one.id: one.error for one in view.tasks}["a"]
        assert error == "no proposal to accept in 3 calls; ann: refuse: no time; bob: refuse: too hard"
        assert stage.seconds == pytest.approx(8.0)  # two pauses between three calls
        assert view.result["contracts"] == []

    play(act, QUICK)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"cost": -1.0}, "its cost is -1; it must be at least 0 and finite"),
        ({"cost": 1.0, "quality_guarantee": 95}, "its quality_guarantee is 95; levels are 0..1"),
        ("I would", "its answer is no proposal: Expected `object`, got `str`"),
        ({"performative": "inform-done"}, "inform-done cannot come from you now"),
        ({"performative": "agree"}, "agree cannot come from you now"),
        ({"cost": 1.0, "cfp": "another"}, "it answers call another, and this one is r#1"),
    ],
)
def test_what_cannot_be_said_is_not_understood_and_changes_nothing(play: Any, task: Any, answer: Any, why: str) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        odd = await stage.enter(contractor("ann", 1.0, answer=lambda request: answer))
        await stage.enter(contractor("bob", 9.0))
        view = await stage.run("contract_net", [task("a")])
        assert by(view) == {"a": "bob"}
        (told,) = await stage.log("contract.not_understood")
        assert (told.agent, told.ref, told.data["about"], told.data["reason"]) == ("ann", "a", "r#1", why)
        assert [one.type for one in odd.heard] == ["CALL_FOR_PROPOSALS", "NOT_UNDERSTOOD"]
        assert view.result["contracts_negotiated"] == 1

    play(act)


def test_only_those_are_asked_who_can_do_it_by_their_profile(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        cheap = await stage.enter(contractor("ann", 0.0, capabilities={"law": 0.4}))
        await stage.enter(contractor("bob", 9.0, capabilities={"law": 0.6}))
        view = await stage.run("contract_net", [task("a", required_capabilities={"law": 0.5})])
        assert by(view) == {"a": "bob"}
        assert cheap.heard == []

    play(act)


def test_a_task_nobody_can_do_waits_for_somebody_who_comes(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0))
        await stage.submit("contract_net", [task("a", required_capabilities={"law": 0.5})])
        await asyncio.sleep(1.0)
        (waits,) = await stage.log("task.waiting")
        assert waits.data["reason"] == "nobody who can do it is here"
        await stage.enter(contractor("bob", 9.0, capabilities={"law": 0.6}))
        view = await stage.end()
        assert by(view) == {"a": "bob"}
        assert stage.seconds == pytest.approx(2.0)

    play(act, QUICK)


def test_who_does_not_answer_is_not_waited_for_in_every_call(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0))
        silent = await stage.enter(contractor("bob", 1.0))
        silent.deaf_to.add("CALL_FOR_PROPOSALS")
        view = await stage.run("contract_net", [task("a"), task("b", "a"), task("c", "b")])
        assert view.success
        assert stage.seconds == pytest.approx(4.0 + 3.0)

    play(act, QUICK)


def test_a_call_asks_a_bounded_number_and_the_next_one_asks_others(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        def no(request: CallForProposals) -> None:
            raise Refused("no time")

        await stage.enter(boss())
        for name in ("ann", "bob", "cy", "dee"):
            await stage.enter(contractor(name, 1.0, answer=no))
        await stage.enter(contractor("eve", 1.0))
        view = await stage.run("contract_net", [task("a")], max_contractors=2, history={"cy": {"kept": 5}})
        assert by(view) == {"a": "eve"}
        asked = [one.data["contractors"] for one in await stage.log("cfp.issued")]
        assert asked == [["cy", "ann"], ["bob", "dee"], ["eve"]]
        assert stage.seconds == pytest.approx(1.0)  # no pause as long as somebody is left

    play(act)


# Rounds


def test_who_asks_too_much_is_offered_the_budget_and_may_come_down(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        def answer(request: CallForProposals) -> Proposal:
            wanted = request.counter
            return Proposal(cost=12.0 if wanted is None else max(9.0, wanted.cost), estimated_duration_s=PROMISED_S)

        await stage.enter(boss())
        await stage.enter(contractor("ann", 0.0, answer=answer))
        view = await stage.run("contract_net", [task("a", max_budget=10.0)])
        assert contracts(view) == [("a", "ann", "completed", 10.0)]
        assert view.result["rounds"] == 2
        first, second = await stage.log("cfp.issued")
        assert "counter" not in first.data
        assert second.data["counter"] == {"cost": 10.0}
        judged = await stage.log("proposals.evaluated")
        assert judged[0].data["unfit"] == {"ann": "over budget: 12 > 10"}

    play(act)


def test_rounds_go_on_as_long_as_the_price_falls_and_an_earlier_proposal_stands(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        def down_to(least: float) -> Callable[[CallForProposals], Proposal]:
            def answer(request: CallForProposals) -> Proposal:
                wanted = 10.0 if request.counter is None else request.counter.cost
                if wanted < least:
                    raise Refused(f"not below {least:g}")
                return Proposal(cost=wanted, estimated_duration_s=PROMISED_S)

            return answer

        await stage.enter(boss())
        await stage.enter(contractor("ann", 0.0, answer=down_to(9.5)))
        await stage.enter(contractor("bob", 0.0, answer=down_to(8.0)))
        view = await stage.run("contract_net", [task("a")], improvement=0.1)
        assert contracts(view) == [("a", "bob", "completed", 8.1)]  # 10, 9, 8.1, and nobody goes to 7.29
        assert view.result["rounds"] == 4
        scores = [one.data["scores"] for one in await stage.log("proposals.evaluated")]
        assert [costs["ann"][1] for costs in scores] == [10.0, 10.0, 10.0, 10.0]
        assert [costs["bob"][1] for costs in scores] == pytest.approx([10.0, 9.0, 8.1, 8.1])

    play(act)


@pytest.mark.parametrize("rounds", [0, 2])
def test_there_are_no_more_rounds_than_allowed(play: Any, task: Any, rounds: int) -> None:
    async def act(stage: Any) -> None:
        def answer(request: CallForProposals) -> Proposal:
            return Proposal(cost=10.0 if request.counter is None else request.counter.cost)

        await stage.enter(boss())
        await stage.enter(contractor("ann", 0.0, answer=answer))
        view = await stage.run("contract_net", [task("a")], improvement=0.1, negotiation_rounds=rounds)
        assert view.result["rounds"] == rounds + 1
        assert view.result["total_value"] == pytest.approx(10.0 * 0.9**rounds)

    play(act)


# After the award


def test_a_declined_contract_goes_to_the_next_proposal_that_binds(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        fickle = contractor("ann", 1.0)
        fickle.on(ContractAcceptance)(lambda request: {"accepted": False, "reason": "changed my mind"})
        await stage.enter(fickle)
        await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "bob", "completed", 2.0)]
        assert view.result["rounds"] == 1
        (declined,) = await stage.log("contract.declined")
        assert (declined.agent, declined.data["reason"]) == ("ann", "changed my mind")

    play(act)


@pytest.mark.parametrize(
    ("answer", "reason", "is_told"),
    [
        ("gladly", "does not say whether it is accepted", True),
        ({"performative": "propose", "cost": 3.0}, "it gave no reason", True),
        ({"performative": "inform-result"}, "it gave no reason", True),
        ({"performative": "not-understood", "reason": "what is a?"}, "what is a?", False),
    ],
)
def test_an_acceptance_that_is_none_is_no_contract(
    play: Any, task: Any, answer: Any, reason: str, is_told: bool
) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        odd = contractor("ann", 1.0)
        odd.on(ContractAcceptance)(lambda request: answer)
        player = await stage.enter(odd)
        await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a")])
        assert by(view) == {"a": "bob"}
        (declined,) = await stage.log("contract.declined")
        assert reason in declined.data["reason"]
        assert ("NOT_UNDERSTOOD" in player.types()) == is_told
        assert "EXECUTE_TASK" not in player.types()

    play(act)


def test_silence_about_the_terms_is_a_refusal(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        (await stage.enter(contractor("ann", 1.0))).deaf_to.add("CONTRACT_ACCEPTANCE")
        await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "bob", "completed", 2.0)]
        assert stage.seconds == pytest.approx(31.0)

    play(act)


def test_a_failure_costs_its_penalty_and_the_next_proposal_is_taken(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def fail(task: Task) -> None:
            await asyncio.sleep(1.0)
            raise ValueError("broken")

        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, do=fail))
        await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "ann", "failed", -0.5), ("a", "bob", "completed", 2.0)]
        assert view.result["calls"] == 1
        assert view.result["history"] == {
            "ann": {"kept": 0, "late": 0, "broken": 1},
            "bob": {"kept": 1, "late": 0, "broken": 0},
        }
        assert view.result["execution_results"][0]["reason"] == "ValueError: broken"

    play(act)


def test_when_no_proposal_binds_any_more_there_is_a_new_call(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        tries = []

        async def fail_once(task: Task) -> str:
            tries.append(task.id)
            await asyncio.sleep(1.0)
            if len(tries) == 1:
                raise ValueError("broken")
            return "done"

        def briefly(request: CallForProposals) -> Proposal:
            return Proposal(cost=2.0, valid_until=request.reply_by - 59.5)

        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, do=fail_once))
        await stage.enter(contractor("bob", 0.0, answer=briefly, do=fail_once))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "ann", "failed", -0.5), ("a", "bob", "completed", 2.0)]
        assert view.result["calls"] == 2  # bob's first proposal no longer bound when ann failed

    play(act)


def test_attempts_are_bounded_and_then_the_task_has_failed(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def fail(task: Task) -> None:
            raise ValueError("broken")

        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, do=fail))
        view = await stage.run("contract_net", [task("a"), task("b", "a")])
        assert view.result["endings"] == {"a": "failed", "b": "failed"}
        assert [status for _, _, status, _ in contracts(view)] == ["failed"] * 3

    play(act)


def test_a_lost_contractor_is_replaced_and_pays(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        ann = await stage.enter(contractor("ann", 1.0, takes_s=9.0))
        await stage.enter(contractor("bob", 2.0))
        await stage.submit("contract_net", [task("a")])
        await asyncio.sleep(2.0)
        ann.lose()
        view = await stage.end()
        assert contracts(view) == [("a", "ann", "failed", -0.5), ("a", "bob", "completed", 2.0)]
        assert stage.seconds == pytest.approx(3.0)

    play(act)


def test_a_lease_that_runs_out_ends_the_contract_and_the_next_one_is_made(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        (await stage.enter(contractor("ann", 1.0))).deaf_to.add("EXECUTE_TASK")
        await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "ann", "failed", -0.5), ("a", "bob", "completed", 2.0)]
        assert len(await stage.log("claim.expired")) == 1
        assert view.result["calls"] == 1

    play(act)


def test_a_late_result_is_taken_and_its_penalty_deducted(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 4.0, takes_s=15.0))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "ann", "completed", 3.8)]
        assert view.result["contracts"][0]["penalties"] == {"late": pytest.approx(0.2)}
        assert view.result["accounts"]["ann"] == {"earned": 4.0, "penalties": pytest.approx(0.2), "compensation": 0.0}
        assert view.result["history"]["ann"] == {"kept": 0, "late": 1, "broken": 0}

    play(act)


def test_a_task_has_penalties_of_its_own_and_the_other_clauses_are_those_of_the_settings(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        ann = await stage.enter(contractor("ann", 4.0, takes_s=15.0))
        view = await stage.run("contract_net", [task("a", penalties={"late": 1.0, "cap": 0.4}), task("b", "a")])
        assert contracts(view) == [("a", "ann", "completed", 2.4), ("b", "ann", "completed", 3.8)]
        first = next(message for message in ann.heard if message.type == "CALL_FOR_PROPOSALS")
        clauses = msgspec.json.decode(first.payload)["penalty_clauses"]
        assert clauses == {"late": 1.0, "failure": 0.5, "decommitment": 0.2, "cap": 0.4}

    play(act)


def test_a_contract_fails_that_lacks_what_the_task_demands_and_its_own_penalty_is_booked(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def careless(task: Task) -> dict[str, Any]:
            return {"page": 1, "quality_metrics": {"recall": 0.5}}

        async def careful(task: Task) -> dict[str, Any]:
            return {"page": 1, "quality_metrics": {"recall": 0.9}}

        await stage.enter(boss())
        await stage.enter(contractor("ann", 2.0, do=careless))
        await stage.enter(contractor("bob", 3.0, do=careful))
        demands = {"deliverables": ("page",), "quality_metrics": {"recall": 0.8}, "penalties": {"failure": 0.25}}
        view = await stage.run("contract_net", [task("a", **demands)])
        assert contracts(view) == [("a", "ann", "failed", -0.5), ("a", "bob", "completed", 3.0)]
        assert view.result["contracts"][0]["reason"] == "quality metric recall is 0.5; 0.8 was promised"

    play(act)


def dated(cost: float, start_s: float, end_s: float, takes_s: float | None = None) -> Callable[..., Proposal]:
    """Propose to begin and to be done so long after being asked."""

    def propose(request: CallForProposals) -> Proposal:
        asked_at = request.reply_by - 60.0
        return Proposal(
            cost=cost, start_at=asked_at + start_s, end_at=asked_at + end_s, estimated_duration_s=takes_s
        )  # fmt: skip

    return propose


@pytest.mark.parametrize(("takes_s", "balance"), [(1.0, 4.0), (9.0, 4.0), (15.0, 3.8)])
def test_work_begins_at_the_start_agreed_on_and_is_late_after_the_end_agreed_on(
    play: Any, task: Any, takes_s: float, balance: float
) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 0.0, takes_s=takes_s, answer=dated(4.0, 100.0, 110.0)))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "ann", "completed", balance)]
        (contract,) = view.result["contracts"]
        assert contract["terms"]["start_at"] - contract["created_at"] == pytest.approx(100.0)
        (claimed,) = await stage.log("task.claimed")
        assert claimed.at == pytest.approx(contract["terms"]["start_at"])
        assert stage.seconds == pytest.approx(100.0 + takes_s)

    play(act)


def test_who_can_begin_at_once_is_preferred_to_who_cannot(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 0.0, answer=dated(1.0, 50.0, 60.0)))
        await stage.enter(contractor("bob", 1.0))
        view = await stage.run("contract_net", [task("a", max_duration_s=60.0)])
        assert by(view) == {"a": "bob"}

    play(act)


def test_a_contractor_lost_before_its_start_is_replaced_at_once(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        ann = await stage.enter(contractor("ann", 0.0, answer=dated(1.0, 100.0, 110.0)))
        await stage.enter(contractor("bob", 0.0, answer=dated(9.0, 150.0, 160.0)))
        await stage.submit("contract_net", [task("a")])
        await asyncio.sleep(5.0)
        ann.lose()
        view = await stage.end()
        assert contracts(view) == [("a", "ann", "failed", -0.5), ("a", "bob", "completed", 9.0)]
        assert view.result["contracts"][0]["reason"] == "lost before it was to begin"
        assert view.result["contracts"][1]["created_at"] - view.result["contracts"][0]["created_at"] < 10.0

    play(act)


def test_a_task_called_off_before_its_start_is_paid_for(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 0.0, answer=dated(1.0, 1000.0, 1010.0)))
        await stage.submit("contract_net", [task("a")])
        await asyncio.sleep(5.0)
        await signal(stage, {"task": "a"})
        view = await stage.end()
        assert contracts(view) == [("a", "ann", "cancelled", 0.2)]
        assert not await stage.log("task.claimed")

    play(act)


def test_a_start_survives_the_coordinator(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 0.0, answer=dated(1.0, 10.0, 12.0)))
        await stage.submit("contract_net", [task("a")])
        for _ in range(3):
            await asyncio.sleep(3.0)
            await stage.crash()
        view = await stage.end()
        assert contracts(view) == [("a", "ann", "completed", 1.0)]
        (claimed,) = await stage.log("task.claimed")
        assert claimed.at == pytest.approx(view.result["contracts"][0]["terms"]["start_at"])

    play(act)


def test_a_proposal_that_is_done_after_the_deadline_is_offered_the_deadline(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        def propose(request: CallForProposals) -> Proposal:
            wanted = request.counter.end_at if request.counter is not None else None
            return Proposal(cost=1.0, end_at=wanted or request.reply_by + 1000.0)

        await stage.enter(boss())
        ann = await stage.enter(contractor("ann", 0.0, answer=propose))
        view = await stage.run("contract_net", [task("a", deadline_s=100.0)])
        assert contracts(view) == [("a", "ann", "completed", 1.0)]
        calls = [msgspec.json.decode(one.payload) for one in ann.heard if one.type == "CALL_FOR_PROPOSALS"]
        assert [call["due_at"] - calls[0]["reply_by"] for call in calls] == [pytest.approx(40.0)] * 2
        assert view.result["rounds"] == 2

    play(act)


def test_a_contract_that_is_not_fulfilled_while_it_binds_has_failed(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, takes_s=100.0))
        await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a")], contract_duration=20.0)
        assert contracts(view) == [("a", "ann", "failed", -0.5), ("a", "bob", "completed", 2.0)]
        assert stage.seconds == pytest.approx(21.0)

    play(act)


def test_a_result_that_falls_short_of_its_terms_is_a_failure(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        def promise(request: CallForProposals) -> Proposal:
            return Proposal(cost=1.0, estimated_duration_s=PROMISED_S, deliverables=("page", "index"))

        async def half(task: Task) -> dict[str, str]:
            return {"page": "..."}

        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, answer=promise, do=half))
        await stage.enter(contractor("bob", 2.0))
        view = await stage.run("contract_net", [task("a")])
        assert by(view) == {"a": "bob"}
        first = view.result["contracts"][0]
        assert (first["status"], first["reason"]) == ("failed", "the result lacks what was to be delivered: index")

    play(act)


def test_a_contractor_may_withdraw_at_a_price(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def withdraw(task: Task) -> None:
            await asyncio.sleep(1.0)
            raise Refused("found something better")

        await stage.enter(boss())
        await stage.enter(contractor("ann", 5.0, do=withdraw))
        await stage.enter(contractor("bob", 9.0))
        view = await stage.run("contract_net", [task("a")])
        assert contracts(view) == [("a", "ann", "decommitted", -1.0), ("a", "bob", "completed", 9.0)]
        assert {one.id: one.attempts for one in view.tasks} == {"a": 2}

    play(act)


def test_whoever_always_withdraws_is_not_asked_for_ever(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def withdraw(task: Task) -> None:
            raise Refused("no")

        await stage.enter(boss())
        await stage.enter(contractor("ann", 5.0, do=withdraw))
        view = await stage.run("contract_net", [task("a")])
        assert view.result["endings"] == {"a": "failed"}
        assert len(contracts(view)) == 3

    play(act, QUICK)


# Calling off


def test_a_task_is_called_off_and_the_manager_pays_for_it(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        ann = await stage.enter(contractor("ann", 5.0, takes_s=9.0, capacity=2))
        await stage.submit("contract_net", [task("a"), task("b"), task("c", "a", mandatory=False)])
        await asyncio.sleep(2.0)
        await signal(stage, {"task": "a", "reason": "not needed"})
        view = await stage.end()
        assert view.result["endings"] == {"a": "cancelled", "b": "done", "c": "failed"}
        assert sorted(contracts(view)) == [("a", "ann", "cancelled", 1.0), ("b", "ann", "completed", 5.0)]
        assert view.result["accounts"]["ann"] == {"earned": 5.0, "penalties": 0.0, "compensation": 1.0}
        assert view.result["history"]["ann"] == {"kept": 1, "late": 0, "broken": 0}
        assert not view.success  # a is mandatory
        assert "CANCEL_TASK" in ann.types()
        reasons = {one["terms"]["task"]: one.get("reason") for one in view.result["contracts"]}
        assert reasons == {"a": "called off: not needed", "b": None}

    play(act)


def test_a_task_is_called_off_while_it_is_negotiated_and_nobody_pays(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        silent = await stage.enter(contractor("ann", 5.0))
        silent.deaf_to.add("CALL_FOR_PROPOSALS")
        await stage.submit("contract_net", [task("a", mandatory=False)])
        await asyncio.sleep(1.0)
        await signal(stage, {"task": "a"})
        view = await stage.end()
        assert view.result["endings"] == {"a": "cancelled"}
        assert view.result["contracts"] == []
        assert silent.types() == ["CALL_FOR_PROPOSALS", "REJECT_PROPOSAL"]
        assert stage.seconds == pytest.approx(1.0)

    play(act)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"task": "z"}, "there is no task 'z' in this run"),
        ("a", "there is no task None in this run"),
        (None, 'send {"task": ID, "reason": TEXT}'),
        ({"task": "a"}, "task a is done already"),
    ],
)
def test_calling_off_what_is_not_there_changes_nothing(play: Any, task: Any, payload: Any, why: str) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 5.0))
        await stage.submit("contract_net", [task("a"), task("b", "a")])
        await asyncio.sleep(1.5)
        await signal(stage, payload)
        view = await stage.end()
        assert view.success
        (told,) = await stage.log("contract.not_understood")
        assert told.data["about"] == "cancel"
        assert why in told.data["reason"]

    play(act)


def test_at_the_deadline_of_the_run_what_is_done_is_kept_and_the_rest_paid_for(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 5.0, takes_s=9.0))
        view = await stage.run("contract_net", [task("a", priority=1), task("b")], timeout_s=12.0)
        assert view.status == "timed_out"
        assert view.result["endings"] == {"a": "done", "b": "cancelled"}
        assert contracts(view) == [("a", "ann", "completed", 5.0), ("b", "ann", "cancelled", 1.0)]
        assert view.result["contracts"][1]["reason"] == "the run ended first"

    play(act)


def test_a_task_past_its_deadline_fails_also_while_it_is_negotiated(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        (await stage.enter(contractor("ann", 5.0))).deaf_to.add("CALL_FOR_PROPOSALS")
        await stage.enter(contractor("bob", 5.0))
        view = await stage.run("contract_net", [task("a", deadline_s=2.0)])
        assert view.result["endings"] == {"a": "failed"}
        assert view.tasks[0].error == "its deadline of 2 s has passed"
        assert view.result["contracts"] == []

    play(act, QUICK)


# Records


def test_a_record_decides_between_equals_and_its_own_word_does_not(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, capabilities={"reliability": 1.0}))
        await stage.enter(contractor("bob", 1.0, capabilities={"reliability": 0.1}))
        view = await stage.run("contract_net", [task("a")], history={"bob": {"kept": 3}, "ann": {"broken": 1}})
        assert by(view) == {"a": "bob"}
        assert view.result["history"]["bob"] == {"kept": 4, "late": 0, "broken": 0}

    play(act)


def test_a_record_of_earlier_runs_is_read_from_the_log(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def fail(task: Task) -> None:
            raise ValueError("broken")

        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, do=fail))
        await stage.enter(contractor("bob", 1.0))
        first = await stage.run("contract_net", [task("a")])
        assert by(first) == {"a": "bob"}
        second = await stage.run("contract_net", [task("b")], run_id="q")
        assert [one["terms"]["contractor"] for one in second.result["contracts"]] == ["bob"]
        assert second.result["history"]["ann"] == {"kept": 0, "late": 0, "broken": 1}
        third = await stage.run("contract_net", [task("c")], run_id="p", history={})
        assert [one["terms"]["contractor"] for one in third.result["contracts"]] == ["ann", "bob"]

    play(act)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"history": {"ann": {"kept": -1}}}, "says that ann has kept -1 contracts; it cannot be below 0"),
        ({"history": {"ann": 0.9}}, "the option history must be agent -> {kept, late, broken}"),
        ({"history": {"ann": {"lost": 1}}}, "the option history must be agent -> {kept, late, broken}"),
        ({"level": 0}, "the option level is 0; it is the depth of subcontracting, from 1"),
        ({"improvement": 1.5}, "the options improvement of the run do not fit"),
        ({"late_penalty": -0.1}, "the options late_penalty of the run do not fit"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(play: Any, task: Any, options: dict[str, Any], why: str) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("contract_net", [task("a")], **options)
        assert view.status == "failed"
        assert why in view.reason

    play(act)


# Subcontracts


def builder(**more: Any) -> Agent:
    """Make a contractor that has walls and roof made by others and puts them together."""

    async def assemble(task: Task, work: Any) -> dict[str, Any]:
        return {"house": sorted(work.results.values())}

    def answer(request: CallForProposals) -> Any:
        if request.task.id != "house":
            raise Refused("only whole houses")
        parts = (Task(id="walls"), Task(id="roof", after=("walls",), **more))
        return Proposal(cost=10.0, estimated_duration_s=PROMISED_S, deliverables=("house",), subtasks=parts)

    return contractor("ann", 10.0, answer=answer, do=assemble)


def test_a_contractor_subcontracts_and_is_handed_the_results(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(builder())
        await stage.enter(
            contractor("bob", 2.0, answer=lambda call: None if call.task.id == "house" else {"cost": 2.0})
        )
        view = await stage.run("contract_net", [task("house")])
        assert view.success
        assert view.tasks[0].result == {"house": ["roof by bob", "walls by bob"]}
        assert contracts(view) == [("house", "ann", "completed", 10.0)]
        (ended,) = await stage.log("child.ended")
        child = ended.data["outcome"]["result"]
        assert (child["manager"], child["endings"]) == ("ann", {"roof": "done", "walls": "done"})
        assert child["accounts"]["bob"]["earned"] == 4.0

    play(act)


def test_a_contractor_whose_subcontracts_fail_has_failed(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(builder(required_capabilities={"roofing": 1.0}, retries=0))
        await stage.enter(contractor("bob", 20.0))
        view = await stage.run("contract_net", [task("house")])
        assert contracts(view) == [("house", "ann", "failed", -5.0), ("house", "bob", "completed", 20.0)]
        assert view.result["contracts"][0]["reason"].startswith("its subcontracts failed: 1 of 2 tasks not done; roof")

    play(act)


def test_subcontracting_has_an_end(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(builder())
        await stage.enter(contractor("bob", 20.0))
        view = await stage.run("contract_net", [task("house")], max_levels=1)
        assert by(view) == {"house": "bob"}
        (told,) = await stage.log("contract.not_understood")
        assert told.data["reason"] == "it has subtasks, and subcontracting ends at level 1"

    play(act)


def test_a_house_that_is_due_before_its_roof_is_not_begun(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(boss())
        await stage.enter(builder())
        await stage.enter(
            contractor("bob", 2.0, takes_s=5.0, answer=lambda call: None if call.task.id == "house" else {"cost": 2.0})
        )
        view = await stage.run("contract_net", [task("house", deadline_s=7.0)])
        assert view.result["endings"] == {"house": "failed"}
        (only,) = view.result["contracts"]
        assert (only["status"], only["reason"]) == ("failed", "the task was over before its subcontracts were")

    play(act)


# Durability


def test_a_dead_coordinator_goes_on_in_the_middle_of_a_contract(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        config = Coordination(manager=ManagerSettings(task_lease=30.0))
        stage.config = config
        await stage.enter(boss())
        await stage.enter(contractor("ann", 1.0, takes_s=4.0))
        await stage.submit("contract_net", [task("a"), task("b", "a")])
        await asyncio.sleep(2.0)
        await stage.crash()
        view = await stage.end()
        assert view.success
        assert len(contracts(view)) == 2
        assert len(await stage.log("contract.formed")) == 2

    play(act)
