"""Coalitions, on the real coordinator with real agents, in virtual time."""

import asyncio
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, Refused
from concerted.engine.commands import serve
from concerted.engine.permissions import LOCAL
from concerted.groups.history import History, Record
from concerted.messages import (
    AgreeToContract,
    CoalitionChanged,
    ProposeDivision,
    RequestDivision,
    RequestVote,
    ValueCoalitions,
    decode_request,
)
from concerted.ports.mail import FetchMessages, SendMessage
from concerted.run import Fact
from concerted.strategies.coalition import past_history
from concerted.strategies.coalitions.result import CoalitionResult
from concerted.values import AgentId, Meeting, Objective, RunId, Task, TaskId

BUDGET = 20.0


def result(view: Any) -> CoalitionResult:
    return msgspec.convert(view.result, CoalitionResult)


def requests(player: Any, kind: type) -> list[Any]:
    heard = [decode_request(envelope.type, bytes(envelope.payload)) for envelope in player.heard]
    return [request for request in heard if isinstance(request, kind)]


def contract(name: str = "deal", *after: str, **fields: Any) -> Task:
    """A task that no agent can do alone: it takes French and law."""
    wants = {"required_capabilities": {"french": 0.8, "law": 0.5}, "max_budget": BUDGET}
    return Task(id=TaskId(name), after=tuple(TaskId(one) for one in after), **{**wants, **fields})


async def firm(stage: Any, *, do: Any = None) -> None:
    """Bring in ann, who has French; bob and cy, who have law, bob for less; dan, who has neither."""
    await stage.agent("ann", do, capabilities={"french": 0.9, "leadership": 0.9}, cost=3.0)
    await stage.agent("bob", do, capabilities={"law": 0.6}, cost=1.0)
    await stage.agent("cy", do, capabilities={"law": 0.7}, cost=4.0)
    await stage.agent("dan", do, capabilities={"cooking": 1.0}, cost=0.5)


def person(name: str, **profile: Any) -> Agent:
    """Make an agent that does anything in a second."""
    agent = Agent(name, **profile)

    @agent.task()
    async def do(task: Task) -> str:
        await asyncio.sleep(1.0)
        return f"{task.id} by {name}"

    return agent


def test_those_who_can_do_it_together_for_least_do_it(play: Any) -> None:
    async def act(stage: Any) -> None:
        seen: dict[str, Any] = {}

        async def do(task: Task, work: Any) -> str:
            seen[task.id] = (task.payload["coalition"], dict(work.results))
            await asyncio.sleep(1.0)
            return f"{task.id} is done"

        await firm(stage, do=do)
        view = await stage.run("coalition", [contract()])
        assert view.success, view
        (formed,) = result(view).coalitions
        assert (formed.agents, formed.status) == (("ann", "bob"), "completed")
        assert formed.id == "r/deal/1"
        assert formed.value.total == pytest.approx(BUDGET - 4.0)
        assert sum(formed.profit_sharing.shares.values()) == pytest.approx(BUDGET - 4.0)
        assert formed.profit_sharing.acceptance_rate == 1.0
        assert formed.profit_sharing.negotiation_rounds == 1
        (only,) = formed.profit_sharing.rounds
        assert (only.proposal, only.accepted) == (formed.profit_sharing.first, {"ann": True, "bob": True})
        assert (formed.stability, formed.expected_utility) == (1.0, formed.value.risk_adjusted)
        assert formed.governance.leader == "ann"
        assert formed.governance.roles == {"ann": "leader", "bob": "law"}
        assert formed.communication_channels == ("coalition/r/deal/1",)
        assert formed.contract.parties == ("ann", "bob")
        assert result(view).earned == pytest.approx(formed.profit_sharing.shares)
        assert seen["deal/1/bob"][0]["role"] == "law"
        assert seen["deal"] == (seen["deal"][0], {"deal/1/bob": "deal/1/bob is done"})
        assert seen["deal"][0]["members"] == ["ann", "bob"]
        tasks = {task.id: task for task in view.tasks}
        assert (tasks["deal"].agent, tasks["deal"].result) == ("ann", "deal is done")
        assert tasks["deal/1/bob"].status == "done"
        assert view.participants["bob"].done == ("deal/1/bob",)
        (told,) = requests(stage.players["bob"], CoalitionChanged)
        assert (told.status, told.payments) == ("completed", result(view).payments["r/deal/1"])
        assert requests(stage.players["cy"], AgreeToContract) == []

    play(act)


def test_after_a_refusal_the_next_best_is_formed(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        shy = person("bob", capabilities={"law": 0.6}, cost=1.0)

        @shy.on(AgreeToContract)
        def refuse(request: AgreeToContract) -> dict[str, bool]:
            return {"agreed": False}

        await stage.enter(shy)
        view = await stage.run("coalition", [contract()])
        assert view.success
        first, *_, last = result(view).coalitions
        assert (first.agents, first.status, first.refused_by) == (("ann", "bob"), "refused", ("bob",))
        assert first.reason == "not agreed to by bob"
        assert (last.agents, last.status) == (("ann", "cy"), "completed")
        assert result(view).history.agents["bob"].refused >= 1

    play(act)


def test_who_says_nothing_is_not_waited_for_again(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        stage.players["bob"].deaf_to.add("AGREE_TO_CONTRACT")
        view = await stage.run("coalition", [contract()], answer_timeout=4.0)
        assert view.success
        assert [one.agents for one in result(view).coalitions] == [("ann", "bob"), ("ann", "cy")]
        asked = {request.coalition for request in requests(stage.players["bob"], AgreeToContract)}
        assert asked == {"r/deal/1"}

    play(act)


def test_the_members_bargain_until_all_have_enough(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        greedy = person("bob", capabilities={"law": 0.6}, cost=1.0)

        @greedy.on(ProposeDivision)
        def want(request: ProposeDivision) -> dict[str, Any]:
            return {"accepted": request.shares["bob"] >= 10.0, "share": 10.0}

        bob = await stage.enter(greedy)
        view = await stage.run("coalition", [contract()])
        sharing = result(view).coalitions[-1].profit_sharing
        assert sharing.shares["bob"] >= 10.0
        assert sum(sharing.shares.values()) == pytest.approx(16.0)
        assert sharing.negotiation_rounds == len(requests(bob, ProposeDivision)) > 1
        assert not sharing.is_fallback

    play(act)


def test_without_agreement_the_shares_are_those_of_the_nucleolus(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        never = person("bob", capabilities={"law": 0.6}, cost=1.0)

        @never.on(ProposeDivision)
        def want(request: ProposeDivision) -> dict[str, Any]:
            return {"accepted": False}

        bob = await stage.enter(never)
        view = await stage.run("coalition", [contract()], profit_sharing_rounds=3)
        assert view.success
        sharing = result(view).coalitions[-1].profit_sharing
        assert sharing.is_fallback
        assert sharing.shares == pytest.approx({"ann": 8.0, "bob": 8.0})
        assert "the nucleolus instead" in sharing.note
        assert sharing.acceptance_rate == 0.5
        assert len(requests(bob, ProposeDivision)) == 3

    play(act)


# ann has the left glove, bob and cy a right one each
GLOVES = {"ann+bob": 12, "ann+cy": 12, "ann+bob+cy": 12}


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, [8.0, 2.0, 2.0]),
        ({"sharing": "banzhaf"}, [8.0, 2.0, 2.0]),
        ({"sharing": "nucleolus"}, [12.0, 0.0, 0.0]),
        ({"sharing": "owen", "unions": [["bob", "cy"]]}, [6.0, 3.0, 3.0]),
        ({"sharing": "myerson", "links": [["ann", "bob"], ["bob", "cy"]]}, [6.0, 6.0, 0.0]),
    ],
)
def test_bargaining_begins_at_shares_of_the_kind_that_was_asked_for(
    play: Any, options: dict[str, Any], shares: list[float]
) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        task = Task(id=TaskId("deal"), payload={"worths": GLOVES, "constraints": {"min_size": 3, "min_stability": 0}})
        view = await stage.run("coalition", [task], values="table", **options)
        assert view.success, view
        sharing = result(view).coalitions[-1].profit_sharing
        assert sharing.first == {
            name: pytest.approx(share) for name, share in zip(("ann", "bob", "cy"), shares, strict=True)
        }
        assert sharing.shares == sharing.first
        assert (sharing.sharing, sharing.note) == (options.get("sharing", "shapley"), "agreed")

    play(act)


def test_after_a_loss_the_rest_divide_by_the_same_idea(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def do(task: Task, work: Any) -> str:
            await asyncio.sleep(5.0)
            return "done"

        await firm(stage, do=do)
        worths = {"ann": 2, "ann+bob": 12, "ann+cy": 12, "ann+bob+cy": 30}
        task = Task(id=TaskId("deal"), payload={"worths": worths, "constraints": {"min_stability": 0}})
        await stage.submit("coalition", [task], values="table", sharing="nucleolus")
        await asyncio.sleep(1.0)
        stage.players["cy"].lose()
        view = await stage.end()
        (formed,) = result(view).coalitions
        assert (formed.agents, formed.lost) == (("ann", "bob"), ("cy",))
        assert formed.profit_sharing.note == "divided anew after cy was lost: to each its share by nucleolus"
        assert formed.contract.shares == {"ann": pytest.approx(7.0), "bob": pytest.approx(5.0)}

    play(act)


async def crew(stage: Any) -> None:
    """Bring in eighteen, all of whom are needed."""
    for number in range(18):
        await stage.agent(f"a{number:02}", capabilities={"oar": 0.055}, cost=1.0 + number % 3)


GALLEY = Task(id=TaskId("galley"), required_capabilities={"oar": 0.98}, max_budget=90.0)
LARGE = {"max_coalition_size": 20, "max_sampled": 300, "max_valued": 2_000}


def test_the_shares_of_many_members_are_sampled_with_intervals(play: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("coalition", [GALLEY], **LARGE)
        assert view.success, view
        (formed,) = result(view).coalitions
        assert len(formed.agents) == 18
        assert (formed.selection, formed.bound) == ("feasible", pytest.approx(90.0 - 0.98 / 0.055 * 35 / 18, abs=1.5))
        assert formed.value.total == pytest.approx(90.0 - 36.0)
        assert formed.profit_sharing.first == formed.value.individual_contributions
        assert sum(formed.profit_sharing.shares.values()) == pytest.approx(54.0)
        assert all(
            low <= formed.value.individual_contributions[agent] <= high
            for agent, (low, high) in formed.value.intervals.items()
        )
        assert sorted(formed.value.intervals) == sorted(formed.agents)
        (valued,) = await stage.log("coalition.valued")
        assert (valued.data["status"], valued.data["bound"]) == ("feasible", formed.bound)

    play(act)


def test_after_a_crash_what_was_sampled_is_what_it_was(play: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        await stage.submit("coalition", [GALLEY], **LARGE)
        await asyncio.sleep(0.5)  # at work
        (formed,) = await stage.log("coalition.proposed")
        await stage.crash()
        view = await stage.end()
        assert view.success, view
        (done,) = result(view).coalitions
        assert done.profit_sharing.shares == formed.data["shares"]
        assert len(await stage.log("coalition.proposed")) == 1

    play(act)


def test_so_many_who_do_not_agree_keep_the_shares_with_which_they_began(play: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        stage.players["a03"].deaf_to.add("PROPOSE_DIVISION")
        view = await stage.run("coalition", [GALLEY], **LARGE, profit_sharing_rounds=1, answer_timeout=2.0)
        sharing = result(view).coalitions[-1].profit_sharing
        assert sharing.is_fallback
        assert sharing.shares == sharing.first
        assert sharing.note.endswith("18 members are too many for the nucleolus")

    play(act)


def test_shares_that_so_many_cannot_have_are_refused_with_what_to_do(play: Any) -> None:
    async def act(stage: Any) -> None:
        await crew(stage)
        view = await stage.run("coalition", [GALLEY], **LARGE, sharing="nucleolus")
        assert view.status == "failed"
        assert "set max_coalition_size to 16, or sharing to shapley" in view.reason

    play(act)


def test_the_members_may_propose_in_turn(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        view = await stage.run("coalition", [contract()], bargaining="offers", discount=0.5)
        sharing = result(view).coalitions[-1].profit_sharing
        assert sharing.negotiation_rounds == 1
        assert sharing.shares["ann"] > sharing.shares["bob"]
        (asked,) = requests(stage.players["ann"], RequestDivision)
        assert asked.suggestion == pytest.approx(sharing.shares)
        assert requests(stage.players["bob"], RequestDivision) == []

    play(act)


def test_an_agent_may_be_asked_what_coalitions_are_worth(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        judge = person("ann", capabilities={"french": 0.9, "leadership": 0.9}, cost=3.0)

        @judge.on(ValueCoalitions)
        def value(request: ValueCoalitions) -> list[float]:
            return [10.0 if {"ann", "cy"} <= set(one) else 0.0 for one in request.coalitions]

        ann = await stage.enter(judge)
        view = await stage.run("coalition", [contract()], values="agents")
        assert result(view).coalitions[-1].agents == ("ann", "cy")
        asked = [one for request in requests(ann, ValueCoalitions) for one in request.coalitions]
        assert len(asked) == len(set(asked)) == 7  # all of ann, bob and cy, each once

    play(act)


def test_where_nobody_says_what_coalitions_are_worth_the_run_says_so(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        view = await stage.run("coalition", [contract()], values="agents")
        assert view.status == "failed"
        assert "task deal: nobody says what coalitions are worth" in view.reason

    play(act)


def test_worths_may_be_listed_with_the_task(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        task = Task(id=TaskId("deal"), payload={"worths": {"ann+dan": 9, "ann+bob": 5, "cy": 1}})
        view = await stage.run("coalition", [task], values="table")
        assert result(view).coalitions[-1].agents == ("ann", "dan")
        assert result(view).coalitions[-1].value.total == 9.0

    play(act)


def test_constraints_are_kept_to(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        view = await stage.run("coalition", [contract()], constraints={"must_exclude": ["bob"]})
        assert result(view).coalitions[-1].agents == ("ann", "cy")

    play(act)

    async def of_the_task(stage: Any) -> None:
        await firm(stage)
        task = contract(payload={"constraints": {"must_include": ["cy"], "max_size": 2}})
        view = await stage.run("coalition", [task])
        assert result(view).coalitions[-1].agents == ("ann", "cy")

    play(of_the_task)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"constraints": {"min_size": 3, "max_size": 2}}, "the constraints of the coalition for task deal do not fit"),
        ({"constraints": [1]}, "the option constraints of the run must be a table"),
        ({"stability_threshold": 2.0}, "the options stability_threshold of the run do not fit"),
        ({"history": {"agents": 3}}, "the option history of the run is no history of coalitions"),
        ({"values": "table"}, "its payload must have worths"),
        ({"sharing": "luck"}, "the options sharing of the run do not fit"),
        ({"sharing": "owen"}, "sharing owen needs the option unions: lists of the agents that belong together"),
        ({"sharing": "myerson"}, "sharing myerson needs the option links: pairs of the agents that can talk"),
        ({"unions": [["ann", "bob"], ["bob"]]}, "bob is in unions twice"),
        ({"links": [["ann", "ann"]]}, "a link of ann with itself is none"),
    ],
)
def test_what_does_not_fit_is_named(play: Any, options: dict[str, Any], told: str) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        view = await stage.run("coalition", [contract()], **options)
        assert view.status == "failed"
        assert told in view.reason

    play(act)


def test_what_no_coalition_can_do_fails_with_the_reason(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        view = await stage.run("coalition", [contract(required_capabilities={"wings": 0.5}), contract("next", "deal")])
        told = {task.id: task.error for task in view.tasks}
        assert told["deal"].startswith("nobody may join a coalition: ann has none of wings; bob has none of wings")
        assert told["next"] == "it comes after deal, and deal was not done"

    play(act)


def test_a_coalition_that_is_not_stable_enough_is_not_formed(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        pairs = {"ann+bob": 90, "ann+cy": 90, "bob+cy": 90, "ann+bob+cy": 90}
        task = Task(id=TaskId("deal"), payload={"worths": pairs, "constraints": {"min_size": 3}})
        view = await stage.run("coalition", [task], values="table")
        assert not view.success
        assert "no coalition is stable enough: ann, bob, cy at 0.67, below 0.70; its core is empty, epsilon = 30" in (
            view.tasks[0].error
        )

    play(act)


def test_when_a_member_is_lost_the_rest_go_on_if_they_can(play: Any) -> None:
    async def act(stage: Any) -> None:
        done: list[str] = []

        async def do(task: Task, work: Any) -> str:
            await asyncio.sleep(5.0)
            done.append(task.id)
            return f"{task.id} is done"

        await firm(stage, do=do)
        task = contract(payload={"constraints": {"must_include": ["bob", "cy"]}})
        await stage.submit("coalition", [task])
        await asyncio.sleep(7.0)  # the parts are done, ann is at the whole
        stage.players["cy"].lose()
        view = await stage.end()
        assert view.success, view.tasks
        assert done == ["deal/1/bob", "deal/1/cy", "deal"]

    play(act)


def test_when_the_rest_cannot_go_on_another_coalition_is_formed(play: Any) -> None:
    async def act(stage: Any) -> None:
        done: list[str] = []

        def working(name: str) -> Any:
            async def do(task: Task, work: Any) -> str:
                await asyncio.sleep(5.0)
                done.append(f"{task.id} by {name}")
                return name

            return do

        await stage.agent("ann", working("ann"), capabilities={"french": 0.9, "leadership": 0.9}, cost=3.0)
        await stage.agent("bob", working("bob"), capabilities={"law": 0.6}, cost=1.0)
        await stage.agent("cy", working("cy"), capabilities={"law": 0.7}, cost=4.0)
        await stage.submit("coalition", [contract()])
        await asyncio.sleep(2.0)
        stage.players["bob"].lose()
        view = await stage.end()
        assert view.success, view.tasks
        first, last = result(view).coalitions
        assert (first.agents, first.lost, first.status) == (("ann",), ("bob",), "dissolved")
        assert first.reason.startswith("bob is lost, and the rest cannot go on")
        assert (last.agents, last.status) == (("ann", "cy"), "completed")
        assert result(view).history.agents["bob"].left == 1
        (lost,) = await stage.log("coalition.member_lost")
        assert (lost.agent, lost.data["goes_on"]) == ("bob", False)
        assert await stage.log("coalition.penalized") == []  # who is lost has not walked away

    play(act)


def test_the_rest_vote_on_going_on(play: Any) -> None:
    async def act(stage: Any, votes: bool, status: str) -> None:
        for name in ("ann", "bob", "cy"):
            agent = Agent(name, capabilities={"law": 0.9, "leadership": 0.9 if name == "ann" else 0.1}, cost=1.0)

            @agent.task()
            async def do(task: Task) -> str:
                await asyncio.sleep(5.0)
                return "done"

            @agent.on(RequestVote)
            def say(request: RequestVote) -> dict[str, Any]:
                return {"granted": votes}

            await stage.enter(agent)
        worths = {"ann+bob": 10, "ann+cy": 10, "bob+cy": 10, "ann+bob+cy": 30}
        task = Task(id=TaskId("deal"), payload={"worths": worths})
        await stage.submit("coalition", [task], values="table", coalition_attempts=1)
        await asyncio.sleep(2.0)
        stage.players["cy"].lose()
        view = await stage.end()
        assert result(view).coalitions[0].status == status
        assert len(requests(stage.players["ann"], RequestVote)) == 1

    async def yes(stage: Any) -> None:
        await act(stage, True, "completed")

    async def no(stage: Any) -> None:
        await act(stage, False, "dissolved")

    play(yes)
    play(no)


def test_what_was_learned_of_an_agent_counts_the_next_time(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        bad = {"bob": {"completed": 0, "failed": 9, "refused": 0, "left": 3, "at": 1.0}}
        view = await stage.run("coalition", [contract()], history={"agents": bad}, max_coalition_size=2)
        assert result(view).coalitions[-1].agents == ("ann", "cy")
        assert result(view).history.agents["bob"].failed == 9
        assert result(view).history.agents["cy"].completed == 1
        assert result(view).history.pairs["ann"]["cy"].completed == 1

    play(act)


def test_a_later_run_goes_by_what_the_log_says_of_earlier_ones(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        fickle = Agent("bob", capabilities={"law": 0.6}, cost=1.0)

        @fickle.task()
        async def refuse(task: Task) -> None:
            raise Refused("not today")

        await stage.enter(fickle)
        for number in range(4):
            await stage.run("coalition", [contract()], run_id=f"r{number}")
        view = await stage.run("coalition", [contract()])
        first = result(view).coalitions[0]
        assert (first.agents, first.status) == (("ann", "cy"), "completed")  # bob is cheaper, and has walked away
        known = result(view).history
        assert known.agents["bob"].left >= 1
        assert known.agents["cy"].completed == known.pairs["ann"]["cy"].completed == 5
        anew = await stage.run("coalition", [contract()], run_id="anew", history={})
        assert result(anew).coalitions[0].lost == ("bob",)
        assert result(anew).history.agents["cy"].completed == 1

    play(act)


def test_what_is_read_of_earlier_runs_is_read_once(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        await stage.run("coalition", [contract()], run_id="earlier")
        await stage.submit("coalition", [contract()])
        await asyncio.sleep(0.5)
        await stage.crash()
        view = await stage.end()
        assert result(view).history.pairs["ann"]["bob"].completed == 2
        read = [one for one in await stage.log("effect.started") if one.data["name"] == "past coalition.ended"]
        assert len(read) == 1

    play(act)


def test_a_history_is_folded_from_how_coalitions_have_ended() -> None:
    ended = {"status": "completed", "agents": ["ann", "bob"], "lost": ["cy"], "refused_by": [], "reason": ""}
    told = past_history([Fact(run=RunId("q"), at=3.0, agent=None, ref="q/a/1", data=ended)])
    known = msgspec.convert(told, History)
    assert (known.agents[AgentId("ann")].completed, known.agents[AgentId("cy")].left) == (1, 1)
    assert known.pairs == {"ann": {"bob": Record(completed=1, at=3.0)}}
    assert msgspec.convert(past_history([]), History) == History()


def test_who_is_busy_is_waited_for(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        tasks = [contract("a", payload={"constraints": {"must_exclude": ["cy"]}}), contract("b")]
        view = await stage.run("coalition", tasks)
        assert view.success, view.tasks
        assert [one.id for one in result(view).coalitions] == ["r/a/1", "r/b/2"]
        ended = {one.id: one.ended_at for one in view.tasks}
        assert ended["b"] > ended["a"]

    play(act)


def test_a_failed_attempt_of_the_whole_ends_the_coalition_and_another_may_try(play: Any) -> None:
    async def act(stage: Any) -> None:
        tried: list[str] = []

        async def do(task: Task, work: Any) -> str:
            tried.append(task.id)
            if task.id == "deal":
                raise ValueError("no deal")
            return "done"

        await firm(stage, do=do)
        view = await stage.run("coalition", [contract(retries=1)])
        assert not view.success
        assert tried.count("deal") == 2
        assert [one.status for one in result(view).coalitions] == ["failed"]

    play(act)


def test_forming_takes_no_longer_than_it_may(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        for name in ("ann", "bob", "cy"):
            stage.players[name].deaf_to.add("PROPOSE_DIVISION")
        view = await stage.run("coalition", [contract()], formation_timeout=5.0, answer_timeout=10.0)
        assert view.tasks[0].error == "no coalition was formed within 5 s"

    play(act)


def test_at_the_deadline_what_is_at_work_is_dissolved(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def slow(task: Task, work: Any) -> None:
            await asyncio.sleep(60.0)

        await firm(stage, do=slow)
        view = await stage.run("coalition", [contract()], timeout_s=5.0)
        assert view.status == "timed_out"
        (ended,) = result(view).coalitions
        assert ended.status in ("failed", "dissolved")
        assert {one.id: one.status for one in view.tasks} == {"deal": "cancelled", "deal/1/bob": "cancelled"}

    play(act)


def test_a_run_without_any_task_says_so(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        view = await stage.run("coalition", Objective())
        assert (view.success, view.reason) == (False, "there were no tasks")

    play(act)


def test_an_agent_without_a_say_of_its_own_takes_what_is_at_least_what_it_has_alone(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        task = Task(id=TaskId("deal"), payload={"worths": {"ann": 6, "bob": 1, "ann+bob": 8}})
        view = await stage.run("coalition", [task], values="table", constraints={"min_size": 2})
        sharing = result(view).coalitions[-1].profit_sharing
        assert sharing.shares == pytest.approx({"ann": 6.5, "bob": 1.5})
        assert sharing.negotiation_rounds == 1

    play(act)


def test_who_will_not_do_its_part_has_walked_away(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        idle = Agent("bob", capabilities={"law": 0.6}, cost=1.0)

        @idle.task()
        async def refuse(task: Task) -> None:
            raise Refused("I have changed my mind")

        await stage.enter(idle)
        view = await stage.run("coalition", [contract()])
        assert view.success, view.tasks
        first, last = result(view).coalitions
        assert (first.lost, first.status, last.agents) == (("bob",), "dissolved", ("ann", "cy"))
        assert result(view).history.agents["bob"].left == 1
        assert "bob" not in result(view).earned
        (left,) = first.exits
        assert left.penalty == pytest.approx(0.1 * 8.0)  # of its share of 16
        assert result(view).penalties == {"bob": left.penalty}
        assert result(view).compensation == {"ann": pytest.approx(left.penalty)}
        (entry,) = await stage.log("coalition.penalized")
        assert (entry.agent, entry.ref, entry.data["penalty"]) == ("bob", "r/deal/1", left.penalty)
        (told,) = requests(stage.players["bob"], CoalitionChanged)
        assert (told.payments, told.penalties) == ({}, {"bob": left.penalty})

    play(act)


def test_tasks_that_wait_for_each_other_at_meetings_fail(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        tasks = (
            Task(id=TaskId("a"), arrives_at=("m",), waits_for=("n",)),
            Task(id=TaskId("b"), arrives_at=("n",), waits_for=("m",)),
        )
        objective = Objective(tasks=tasks, sync=(Meeting(id="m"), Meeting(id="n")))
        view = await stage.run("coalition", objective)
        assert {one.error for one in view.tasks} == {"what it waits for waits for it"}

    play(act)


def test_tasks_of_coalitions_meet(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        tasks = (contract("a", arrives_at=("m",)), contract("b", waits_for=("m",)), contract("c", arrives_at=("m",)))
        meeting = Meeting(id="m", participants=("a", "c"))
        view = await stage.run("coalition", Objective(tasks=tasks, sync=(meeting,)))
        assert view.success, view.tasks
        at = {one.id: (one.started_at, one.ended_at) for one in view.tasks}
        assert at["b"][0] >= max(at["a"][1], at["c"][1])

    play(act)


def test_members_write_to_each_other_under_their_channel(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def do(task: Task, work: Any) -> str:
            its = task.payload["coalition"]
            if its["role"] != "leader":
                others = tuple(agent for agent in its["members"] if agent != "bob")
                message = SendMessage(to=others, type=its["channel"], content="clause 3 is void", agent=AgentId("bob"))
                await serve(stage.coordinator, message, LOCAL)
            return "done"

        await firm(stage, do=do)
        view = await stage.run("coalition", [contract()])
        await stage.crash()
        (heard,) = await serve(stage.coordinator, FetchMessages(agent=AgentId("ann")), LOCAL)
        assert (heard.sender, heard.content) == ("bob", "clause 3 is void")
        assert (heard.type,) == result(view).coalitions[0].communication_channels

    play(act)
