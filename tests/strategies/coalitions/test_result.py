"""What the coalitions of a run came to."""

from typing import Any

from concerted.board.task import TaskState
from concerted.groups.bargaining import ProfitSharing
from concerted.groups.coalition import Coalition, Contract, Governance
from concerted.groups.formation import CoalitionValue
from concerted.groups.history import History
from concerted.strategies.coalitions.result import Chronicle
from concerted.values import AgentId, Task, TaskId


def coalition(name: str, status: Any, **roles: str) -> Coalition:
    agents = tuple(sorted(roles))
    shares = dict.fromkeys(agents, 1.0)
    return Coalition(
        id=name, agents=agents, task=Task(id=TaskId("t")), status=status, created_at=0.0,
        value=CoalitionValue(total=2.0, individual_contributions=shares, synergy=0.0, risk_adjusted=2.0),
        profit_sharing=ProfitSharing(shares=shares, acceptance_rate=1.0, negotiation_rounds=1, finalized_at=0.0),
        governance=Governance(leader=agents[0], roles=roles),
        contract=Contract(
            coalition_id=name, task=TaskId("t"), parties=agents, shares=shares, obligations=roles, created_at=0.0
        ),
    )  # fmt: skip


def test_what_everybody_earns_is_summed_over_coalitions() -> None:
    chronicle = Chronicle()
    chronicle.ended(coalition("c1", "completed", ann="leader", bob="law"), {"ann": 3.0, "bob": 1.0})
    chronicle.ended(coalition("c2", "completed", ann="leader"), {"ann": 2.0})
    chronicle.ended(coalition("c3", "refused", cy="leader"), {})
    found = chronicle.outcome(None, ["ann", "bob", "cy"], History(), {}, timed_out=False)
    assert found.result.earned == {"ann": 5.0, "bob": 1.0}
    assert found.result.payments == {"c1": {"ann": 3.0, "bob": 1.0}, "c2": {"ann": 2.0}}
    assert [one.id for one in found.result.coalitions] == ["c1", "c2", "c3"]
    roles = {agent: part.role for agent, part in found.participants.items()}
    assert roles == {"ann": "leader", "bob": "law", "cy": ""}  # who has refused had no part in it


def test_what_was_done_for_coalitions_is_everybodys_own() -> None:
    part = TaskState(Task(id=TaskId("a/1/bob")), "done", agent=AgentId("bob"), epoch=1)
    failed = TaskState(Task(id=TaskId("b/2/bob")), "failed", agent=AgentId("bob"), epoch=3)
    states = {part.id: part, failed.id: failed}
    found = Chronicle().outcome(None, [], History(), states, timed_out=False)
    assert (found.participants["bob"].done, found.participants["bob"].failed) == (("a/1/bob",), ("b/2/bob",))


def test_without_tasks_it_has_not_succeeded() -> None:
    found = Chronicle().outcome(None, [], History(), {}, timed_out=True)
    assert (found.success, found.reason) == (False, "the deadline passed first: there were no tasks")
