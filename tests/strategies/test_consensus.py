"""The strategy consensus: the agents judge, a rule decides, and the run says who approved and what keeps the log."""

import asyncio
from typing import Any

import pytest

from concerted.agent import Agent, Refused
from concerted.config.settings import Consensus, Coordination, Strategies
from concerted.consensus.decisions.certificate import verify
from concerted.messages import Judge
from concerted.strategies.consensus import ConsensusResult
from concerted.values import Objective

SHIP = Objective(description="ship it?", data={"build": 7})


def voter(name: str, choice: str, after_s: float = 1.0) -> Agent:
    agent = Agent(name)

    @agent.on(Judge)
    async def judge(request: Judge) -> dict[str, str]:
        await asyncio.sleep(after_s)
        return {"choice": choice, "reason": f"{name} has looked at build {(request.proposal or {}).get('build')}"}

    return agent


async def electorate(stage: Any, **choices: str) -> None:
    for name, choice in choices.items():
        await stage.enter(voter(name, choice))


def test_the_agents_of_the_run_judge_its_objective(play: Any) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="accept", bob="accept", cy="reject")
        view = await stage.run("consensus", SHIP)
        result = view.result
        assert (view.status, result["outcome"], result["question"]) == ("completed", "accepted", "ship it?")
        assert result["approved_by"] == ["ann", "bob"]
        assert (result["algorithm"], "one fault domain" in result["stored_by"][0]) == ("single", True)
        assert verify(result["certificate"]).valid
        assert result["certificate"]["ballots"][0]["reason"] == "ann has looked at build 7"
        assert {name: one.role for name, one in view.participants.items()} == dict.fromkeys(
            ("ann", "bob", "cy"), "voter"
        )

    play(act)


def test_why_tells_what_the_agents_think_and_what_came_of_it(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(voter("ann", "reject"))
        await stage.enter(voter("bob", "maybe", after_s=2.0))
        await stage.run("consensus", SHIP, id="ship-7", deadline=5)
        assert [line.partition("  ")[2] for line in (await stage.why("r"))[2:]] == [
            "asked ann, bob: JUDGE",
            "ann judges: reject (ann has looked at build 7)",
            "decision ship-7 is rejected: 0 of 2 for accept, it takes 2",
            "run failed: rejected: 0 of 2 for accept, it takes 2",
        ]

    play(act)


def test_an_answer_that_is_no_ballot_is_told_as_such(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(voter("ann", "maybe"))
        await stage.run("consensus", SHIP, id="ship-7", deadline=5)
        told = "; ".join(await stage.why("r"))
        assert "what ann answered is no ballot in decision ship-7: 'maybe' is no ballot" in told

    play(act)


def test_a_run_whose_proposal_is_rejected_has_not_succeeded(play: Any) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="reject", bob="reject", cy="accept")
        view = await stage.run("consensus", SHIP)
        assert (view.status, view.success, view.result["rejected_by"]) == ("failed", False, ["ann", "bob"])
        assert view.reason.startswith("rejected: ")

    play(act)


def test_a_veto_that_arrives_last_rejects(play: Any) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="accept", bob="accept")
        await stage.enter(voter("security", "reject", after_s=50.0))
        rule = {"threshold": "1/2", "vetoes": ["security"]}
        view = await stage.run("consensus", SHIP, rule=rule, deadline="60s")
        assert (view.result["outcome"], view.result["why"]) == ("rejected", "vetoed by security")

    play(act)


def test_no_majority_answers_and_nothing_is_decided(play: Any) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="accept")
        mute = Agent("bob")

        @mute.on(Judge)
        def judge(request: Judge) -> None:
            raise Refused("I do not know")

        await stage.enter(mute)
        await stage.agent("cy")  # it has no function for this, and so no opinion
        view = await stage.run("consensus", SHIP, deadline=20)
        assert (view.status, view.result["outcome"], view.result["cause"]) == ("failed", "lapsed", "deadline")
        assert view.result["missing"] == ["bob", "cy"]
        assert stage.seconds >= 20

    play(act)


def test_weights_options_and_a_rule_of_the_plan(play: Any) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="blue", bob="red", cy="red")
        terms = {"options": ["red", "blue"], "electorate": {"ann": 3, "bob": 1, "cy": 1}, "rule": "majority"}
        view = await stage.run("consensus", Objective(), question="which colour?", **terms)
        assert (view.result["outcome"], view.result["chosen"], view.result["approved_by"]) == (
            "accepted",
            "blue",
            ["ann"],
        )

    play(act)


def test_the_coordinator_is_killed_between_the_opening_and_the_close(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name, after_s in (("ann", 1.0), ("bob", 10.0), ("cy", 11.0)):
            await stage.enter(voter(name, "accept", after_s))
        await stage.submit("consensus", SHIP, rule="all", deadline=25)
        await asyncio.sleep(5)
        await stage.crash()
        view = await stage.end()
        assert (view.result["outcome"], view.result["approved_by"]) == ("accepted", ["ann", "bob", "cy"])

    play(act)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"algorithm": "counting"}, "there is nothing else"),
        ({"algorithm": "raft"}, "has no place for replicas"),
        ({"algorithm": "database"}, "which is single"),
        ({"rule": "1/2"}, "is a tie enough"),
        ({"rule": {"base": "all"}}, "is no rule"),
        ({"deadline": "soon"}, "the deadline of strategy consensus"),
        ({"options": "red"}, "do not fit"),
        ({"vetoes": ["ann"]}, "has no option vetoes; it has question, proposal, options, electorate, rule"),
        ({"electorate": ["ann", "ann"]}, "ann is named twice"),
    ],
)
def test_what_cannot_be_is_refused_with_what_there_is(play: Any, options: dict[str, Any], reason: str) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="accept")
        view = await stage.run("consensus", SHIP, **options)
        assert view.status == "failed"
        assert reason in view.reason

    play(act)


def test_a_configured_algorithm_that_cannot_be_had_here_is_refused_too(play: Any) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="accept")
        assert "has no place for replicas" in (await stage.run("consensus", SHIP)).reason

    play(act, Coordination(strategies=Strategies(consensus=Consensus(algorithm="paxos"))))


def test_a_question_is_needed(play: Any) -> None:
    async def act(stage: Any) -> None:
        await electorate(stage, ann="accept")
        assert "what is to be decided?" in (await stage.run("consensus", Objective())).reason

    play(act)


def test_the_run_s_own_deadline_bounds_the_decision(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(voter("ann", "accept", after_s=100.0))
        view = await stage.run("consensus", SHIP, deadline=60, timeout_s=10)
        assert view.status in ("failed", "timed_out")
        assert stage.seconds < 20

    play(act)


def test_the_result_is_typed() -> None:
    assert ConsensusResult.__struct_fields__[:3] == ("decision", "question", "outcome")
