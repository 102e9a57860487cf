"""A contract net of hard bargainers: examined at every commit, and under many seeds its book is audited."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, Refused, Work
from concerted.allocation.contracts.contract import settle
from concerted.messages import CallForProposals, ContractTerms, Proposal
from concerted.ports.commands import Submit
from concerted.sim.actors import stand_in
from concerted.sim.faults import Faults
from concerted.sim.play import simulate
from concerted.sim.world import Played, Scenario
from concerted.strategies import choose
from concerted.strategies.contracts.book import ContractNetResult
from concerted.testing.strategy_exam import STRATEGY_CHECKS, Setting, check_strategy
from concerted.values import AgentId, Objective, Profile, RunId, Task, TaskId

SEEDS = 200
WORK = Objective(
    description="a house",
    tasks=(
        Task(id=TaskId("plan"), max_budget=6.0),
        Task(id=TaskId("house"), after=(TaskId("plan"),), retries=5),
        Task(id=TaskId("garden"), mandatory=False, required_capabilities={"gardening": 0.5}, retries=0),
    ),
)


def bargainers(seed: int) -> list[Agent]:
    """Make a boss; ann, who has parts of a house made by others; bob, who comes down; cy, who withdraws and is late."""
    boss, ann, bob, cy = (
        stand_in(Profile(id=AgentId(name), capabilities={"leadership": level}, capacity=capacity), seed)
        for name, level, capacity in (("boss", 1.0, 1), ("ann", 0.5, 1), ("bob", 0.0, 2), ("cy", 0.0, 1))
    )
    ann.on(CallForProposals)(has_others_do_it)
    bob.on(CallForProposals)(comes_down)
    cy.on(CallForProposals)(promises_too_much)
    cy.tasks.clear()
    cy.task()(withdraws)
    return [boss, ann, bob, cy]


def has_others_do_it(request: CallForProposals) -> Proposal:
    if request.task.id != "house":
        raise Refused("only houses")
    parts = (Task(id=TaskId("walls")), Task(id=TaskId("roof"), after=(TaskId("walls"),)))
    return Proposal(cost=1.0, estimated_duration_s=20.0, subtasks=parts)


def comes_down(request: CallForProposals) -> Proposal:
    if request.task.id == "garden":
        raise Refused("it hates gardens")
    wanted = None if request.counter is None else request.counter.cost
    return Proposal(cost=9.0 if wanted is None else max(5.0, wanted), estimated_duration_s=60.0)


def promises_too_much(request: CallForProposals) -> Any:
    if request.task.id == "plan":
        return {"cost": -1.0}  # not understood
    return Proposal(cost=0.5, estimated_duration_s=0.1)


async def withdraws(task: Task, work: Work) -> dict[str, str]:
    await asyncio.sleep(0.3)
    if task.id == "house":
        raise Refused("somebody pays more")
    return {"task": task.id, "by": "cy"}


def bargaining() -> Setting:
    return Setting(
        objective=WORK,
        agents=bargainers,
        options={"improvement": 0.2},
        strategies={"contract_net": choose.load("contract_net")},
        matters=lambda outcome: (outcome["success"], {one["id"]: one["status"] for one in outcome["tasks"]}),
    )


@pytest.mark.parametrize("check", STRATEGY_CHECKS)
def test_hard_bargainers_pass_the_exam(check: str) -> None:
    check_strategy(choose.load("contract_net"), check, setting=bargaining)


def dated(seed: int) -> list[Agent]:
    """Make a boss; ann, who begins in a while; bob, who falls short of what the task demands."""
    boss, ann, bob = (
        stand_in(Profile(id=AgentId(name), capabilities={"leadership": level}), seed)
        for name, level in (("boss", 1.0), ("ann", 0.5), ("bob", 0.0))
    )
    ann.on(CallForProposals)(begins_later)
    ann.tasks.clear()
    ann.task()(lambda task: {"page": task.id})
    bob.on(CallForProposals)(lambda request: Proposal(cost=1.0, end_at=request.reply_by))
    bob.tasks.clear()
    bob.task()(lambda task: {"nothing": task.id})
    return [boss, ann, bob]


def begins_later(request: CallForProposals) -> Proposal:
    return Proposal(cost=5.0, start_at=request.reply_by + 5.0, end_at=request.reply_by + 30.0)


def appointments() -> Setting:
    tasks = tuple(
        Task(
            id=TaskId(name),
            after=tuple(TaskId(one) for one in after),
            retries=5,
            deliverables=("page",),
            penalties={"late": 1.0, "failure": 2.0, "cap": 2.0},
        )
        for name, after in (("first", ""), ("second", ["first"]))
    )
    return Setting(
        objective=Objective(description="two pages", tasks=tasks),
        agents=dated,
        strategies={"contract_net": choose.load("contract_net")},
        matters=lambda outcome: (outcome["success"], {one["id"]: one["status"] for one in outcome["tasks"]}),
    )


@pytest.mark.parametrize("check", STRATEGY_CHECKS)
def test_contracts_with_dates_and_penalties_of_their_own_pass_the_exam(check: str) -> None:
    check_strategy(choose.load("contract_net"), check, setting=appointments)


def test_whatever_breaks_every_task_has_one_ending_and_the_book_is_right() -> None:
    scenario = Scenario(
        runs=(Submit(id=RunId("r"), strategy="contract_net", objective=WORK, options={"improvement": 0.2}),),
        agents=bargainers,
        strategies=choose.load,
        plan="bargaining.yaml",
    )
    wrong: list[str] = []
    seen: set[str] = set()
    completed: list[int] = []

    def audit(seed: int, played: Played | None, problems: Sequence[str]) -> None:
        assert played is not None, problems
        completed.extend([seed] * (played.records[RunId("r")].status == "completed"))
        wrong.extend(f"seed {seed}: {line}" for line in faults_in_the_log(played))
        for name, record in played.records.items():
            ended = msgspec.json.decode(record.result) if record.result else {}
            if ended.get("outcome"):
                outcome = ended["outcome"]
                seen.update(one["status"] for one in outcome["result"]["contracts"])
                seen.update(outcome["result"]["endings"].values())
                wrong.extend(f"seed {seed}, {name}: {line}" for line in faults_in_the_book(outcome))

    report = simulate(scenario, range(SEEDS), Faults(swarm=True), watch=audit)
    assert report.ok, "\n".join(f"{failure.command}\n  {failure.problems}" for failure in report.failures)
    assert not wrong, "\n".join(wrong[:10])
    assert len(completed) >= 0.9 * SEEDS, report.statuses
    assert report.coordinators > SEEDS, "no coordinator has died at all"
    assert seen >= {"completed", "failed", "decommitted", "done", "no_proposal"}


def faults_in_the_log(played: Played) -> list[str]:
    """Look for a contract that was formed or settled twice, or formed while another one on its task stood."""
    wrong, standing, settled = [], {}, set()
    for entry in played.log:
        if not entry.kind.startswith("contract."):
            continue
        value = entry.value()
        if entry.kind == "contract.formed":
            if (entry.stream, entry.ref) in standing:
                wrong.append(f"{value['contract']} was formed while {standing[entry.stream, entry.ref]} stood")
            standing[entry.stream, entry.ref] = value["contract"]
        elif entry.kind == "contract.settled":
            if value["contract"] in settled:
                wrong.append(f"{value['contract']} was settled twice")
            settled.add(value["contract"])
            if standing.pop((entry.stream, entry.ref), None) != value["contract"]:
                wrong.append(f"{value['contract']} was settled and did not stand")
    return wrong + [f"{contract} was never settled" for contract in standing.values()]


def faults_in_the_book(outcome: dict[str, Any]) -> list[str]:
    """Compare a result with itself and with the tasks: each ending, each payment, each penalty."""
    result = msgspec.convert(outcome["result"], ContractNetResult)
    wrong = []
    for task in outcome["tasks"]:
        ending = result.endings[task["id"]]
        if {"no_proposal": "failed"}.get(ending, ending) != task["status"]:
            wrong.append(f"{task['id']} is {task['status']}, and in the book {ending}")
        kept = [one for one in result.contracts if one.terms.task == task["id"] and one.status == "completed"]
        if len(kept) != (task["status"] == "done"):
            wrong.append(f"{task['id']} is {task['status']} under {len(kept)} fulfilled contracts")
    if outcome["success"] != all(ending == "done" for task, ending in result.endings.items() if task != "garden"):
        wrong.append(f"success is {outcome['success']} with {result.endings}")
    for contract in result.contracts:
        if contract.status == "active" or contract.ended_at is None:
            wrong.append(f"{contract.id} has not ended")
            continue
        due = settle(msgspec.convert(contract.terms, ContractTerms), contract.status, contract.ended_at)
        if (due.balance, due.penalties) != (contract.balance, contract.penalties):
            wrong.append(f"{contract.id} came to {contract.balance}, by its clauses to {due.balance}")
    for agent, account in result.accounts.items():
        balances = sum(one.balance or 0.0 for one in result.contracts if one.terms.contractor == agent)
        if abs(account.earned - account.penalties + account.compensation - balances) > 1e-9:
            wrong.append(f"the account of {agent} does not add up to {balances}: {account}")
    return wrong
