"""The work of a coalition: parts for the members, the whole for the leader, and what a loss does to it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from concerted.board.task import TaskState
from concerted.config.settings import Coalition as Rules
from concerted.config.settings import Coordination
from concerted.groups.bargaining import ProfitSharing
from concerted.groups.coalition import Coalition, Contract, Governance
from concerted.groups.formation import CoalitionValue, Terms, ValuedCoalition
from concerted.messages import Reply, ReplyStatus, RequestVote
from concerted.run import Replies
from concerted.strategies.coalitions.work import Work
from concerted.values import AgentId, Task, TaskId

DEAL = Task(id=TaskId("deal"), kind="sign", payload={"pages": 3}, required_capabilities={"law": 0.5}, max_budget=9.0)


def active(**roles: str) -> Coalition:
    agents = tuple(AgentId(name) for name in sorted(roles))
    shares = dict.fromkeys(agents, 2.0)
    return Coalition(
        id="r/deal/1", agents=agents, task=DEAL, status="active", created_at=0.0,
        communication_channels=("coalition/1",), value=worth(agents).value,
        profit_sharing=ProfitSharing(shares=shares, acceptance_rate=1.0, negotiation_rounds=1, finalized_at=0.0),
        governance=Governance(leader=agents[0], roles=dict(roles)),
        contract=Contract(
            coalition_id="r/deal/1", task=DEAL.id, parties=agents, shares=shares, obligations=dict(roles),
            created_at=0.0,
        ),
    )  # fmt: skip


def worth(agents: Sequence[AgentId], feasible: bool = True) -> ValuedCoalition:
    each = dict.fromkeys(agents, 2.0)
    value = CoalitionValue(total=2.0 * len(agents), individual_contributions=each, synergy=0.0, risk_adjusted=4.0)
    return ValuedCoalition(
        agents=tuple(agents), value=value, stability=1.0, feasible=feasible, expected_utility=4.0, epsilon=0.0,
        reasons=() if feasible else ("too few",),
    )  # fmt: skip


class Scene:
    """As much of a run as the work asks: agents that answer as told to, and vote.

    answers: agent -> how each of its commands is answered in turn; afterwards, and for who is not named, `ok`.
    done: (task, agent, results) of all that was done.
    """

    def __init__(self, *agents: str, votes: bool = True, **answers: Sequence[ReplyStatus]) -> None:
        self.agents = dict.fromkeys(agents)
        self.config = Coordination()
        self.kinds: list[str] = []
        self.done: list[tuple[Task, str, dict[str, Any]]] = []
        self._answers = {agent: list(given) for agent, given in answers.items()}
        self._votes = votes
        self._epochs: dict[str, int] = {}

    def now(self) -> float:
        return 1.0

    def record(self, kind: str, **facts: Any) -> None:
        self.kinds.append(kind)

    async def execute(self, task: Task, agent: AgentId, *, deadline: float | None, results: dict[str, Any]) -> Reply:
        epoch = self._epochs[task.id] = self._epochs.get(task.id, 0) + 1
        status = self._answers[agent].pop(0) if self._answers.get(agent) else "ok"
        if status == "lost":
            self.agents.pop(agent, None)
        if status == "ok":
            self.done.append((task, agent, results))
            return Reply(agent=agent, status="ok", value=f"{task.id}!", epoch=epoch)
        return Reply(agent=agent, status=status, error=f"it {status}", epoch=epoch)

    async def gather(self, agents: Sequence[AgentId], request: RequestVote, *, deadline: float) -> Replies:
        return Replies(Reply(agent=agent, status="ok", value={"granted": self._votes}) for agent in agents)


class Formed:
    """As much of a formation as the work asks, after a loss."""

    terms = Terms()

    def __init__(self, feasible: bool = True) -> None:
        self._feasible = feasible

    async def assess(self, members: Sequence[AgentId]) -> ValuedCoalition:
        return worth(members, self._feasible)

    def govern(self, task: Task, members: Sequence[AgentId], sharing: ProfitSharing) -> Governance:
        return Governance(
            leader=members[0], roles={agent: "leader" if agent == members[0] else "law" for agent in members}
        )


def do(scene: Scene, coalition: Coalition, formed: Any = None) -> tuple[Work, TaskState]:
    work = Work(scene, Rules(), coalition, formed or Formed(), {})  # type: ignore[arg-type]
    return work, asyncio.run(work.do(DEAL, {TaskId("before"): 1}))


def doers(scene: Scene) -> list[tuple[str, str]]:
    return [(task.id, agent) for task, agent, _ in scene.done]


def test_each_member_does_its_part_and_the_leader_the_whole() -> None:
    scene = Scene("ann", "bob")
    _, state = do(scene, active(ann="leader", bob="law"))
    assert (state.status, state.agent, state.result) == ("done", "ann", "deal!")
    (part, doer, given), (whole, leader, results) = scene.done
    assert (part.id, doer, part.kind, part.required_capabilities, part.max_budget) == (
        "deal/1/bob", "bob", "sign", {}, None,
    )  # fmt: skip
    assert part.payload["pages"] == 3
    assert part.payload["coalition"] == {
        "id": "r/deal/1", "members": ["ann", "bob"], "leader": "ann", "role": "law", "share": 2.0,
        "channel": "coalition/1",
    }  # fmt: skip
    assert (whole.id, leader, given, results) == ("deal", "ann", {"before": 1}, {"before": 1, part.id: f"{part.id}!"})


def test_after_a_loss_the_rest_do_what_is_left() -> None:
    scene = Scene("ann", "bob", "cy", cy=["lost"])
    work, state = do(scene, active(ann="leader", bob="law", cy="law"))
    assert state.status == "done"
    assert doers(scene) == [("deal/1/bob", "bob"), ("deal", "ann")]
    assert (work.coalition.agents, work.coalition.lost, work.coalition.status) == (("ann", "bob"), ("cy",), "active")
    assert work.unwilling == []
    assert "coalition.member_lost" in scene.kinds


def test_if_the_leader_is_lost_another_does_the_whole() -> None:
    scene = Scene("ann", "bob", "cy", ann=["lost"])
    _, state = do(scene, active(ann="leader", bob="law", cy="law"))
    assert (state.status, state.agent, state.epoch) == ("done", "bob", 2)
    assert doers(scene) == [("deal/1/bob", "bob"), ("deal/1/cy", "cy"), ("deal", "bob")]


def test_who_refuses_its_part_is_no_member_any_more() -> None:
    scene = Scene("ann", "bob", "cy", bob=["refused"])
    work, state = do(scene, active(ann="leader", bob="law", cy="law"))
    assert state.status == "done"
    assert (work.unwilling, work.coalition.agents) == (["bob"], ("ann", "cy"))
    (left,) = work.coalition.exits
    assert (left.agent, left.penalty, left.compensation) == ("bob", 0.2, {"ann": 0.1, "cy": 0.1})
    assert "coalition.penalized" in scene.kinds


def test_whoever_is_lost_while_another_walks_away_has_no_part_in_the_penalty() -> None:
    scene = Scene("ann", "bob", "cy", bob=["refused"], cy=["lost"])
    work, _ = do(scene, active(ann="leader", bob="law", cy="law"))
    assert [(each.agent, each.compensation) for each in work.coalition.exits] == [("bob", {"ann": 0.2})]


def test_all_who_walk_away_at_once_have_left_and_owe() -> None:
    scene = Scene("ann", "bob", "cy", bob=["refused"], cy=["refused"])
    work, _ = do(scene, active(ann="leader", bob="law", cy="law"), Formed(feasible=False))
    assert (work.coalition.status, work.coalition.agents, work.coalition.lost) == ("dissolved", ("ann",), ("bob", "cy"))
    assert [(each.agent, each.compensation) for each in work.coalition.exits] == [
        ("bob", {"ann": 0.2}), ("cy", {"ann": 0.2}),
    ]  # fmt: skip


def test_a_cancelled_claim_is_no_walking_away() -> None:
    scene = Scene("ann", "bob", "cy", bob=["cancelled"])
    work, _ = do(scene, active(ann="leader", bob="law", cy="law"))
    assert (work.coalition.lost, work.coalition.exits) == (("bob",), ())


def test_the_rest_that_cannot_go_on_or_does_not_want_to_is_dissolved() -> None:
    for votes, feasible, told in ((False, True, "did not vote to go on"), (True, False, "the rest cannot go on")):
        scene = Scene("ann", "bob", "cy", votes=votes, cy=["lost"])
        work, state = do(scene, active(ann="leader", bob="law", cy="law"), Formed(feasible))
        assert (state.status, work.coalition.status) == ("ready", "dissolved")
        assert told in work.coalition.reason


def test_a_part_is_tried_again_as_often_as_the_task_allows() -> None:
    scene = Scene("ann", "bob", bob=["failed", "failed"])
    _, state = do(scene, active(ann="leader", bob="law"))
    assert state.status == "done"
    scene = Scene("ann", "bob", bob=["failed", "failed", "failed"])
    work, state = do(scene, active(ann="leader", bob="law"))
    assert (state.status, work.coalition.status) == ("ready", "active")  # the forum ends it
    assert work.why_not() == "deal/1/bob: it failed (attempt 3 of bob, the last)"
    assert doers(scene) == []
