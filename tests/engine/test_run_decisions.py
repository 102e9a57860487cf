"""Runs have things decided: their agents are asked to judge, others vote by themselves, across crashes."""

import asyncio

import pytest

from concerted.consensus.decisions.certificate import verify
from concerted.errors import Invalid
from concerted.messages import Judge
from concerted.ports.commands import Cancel, Why
from concerted.ports.decisions import CastBallot, GetDecision
from concerted.values import AgentId


async def asks(run):
    told = await run.decide("ship it?", ["ann", "bob", "cy"], rule="2/3", within_s=60, id="d")
    return [told.status, list(told.approved_by), list(told.rejected_by), verify(told.certificate).valid]


def judge(choice, reason=""):
    return lambda request: {"choice": choice, "reason": reason}


def test_agents_are_asked_to_judge_and_their_answers_are_ballots(bench):
    async def main(b):
        ann = await b.agent("ann", judge("accept", "green"))
        await b.agent("bob", judge("reject", "red"))
        await b.agent("cy", lambda request: "accept")  # the choice alone will do
        await b.submit()
        assert (await b.end()).result == ["accepted", ["ann", "cy"], ["bob"], True]
        (asked,) = ann.of_type("JUDGE")
        assert b'"question":"ship it?"' in bytes(asked.payload)
        told = await b.serve(GetDecision(id="d"))
        assert [one.reason for one in told.certificate.ballots] == ["green", "red", ""]

    bench(main, s=asks)


@pytest.mark.parametrize("crash_after_s", [0, 1, 5, 12])
def test_the_coordinator_is_killed_while_agents_judge_and_each_ballot_counts_once(bench, crash_after_s):
    async def main(b):
        wires = [await b.agent(name) for name in ("ann", "bob", "cy")]
        await b.submit()
        for number, wire in enumerate(wires):
            asyncio.get_running_loop().call_later(
                20 + number, lambda wire=wire: wire.reply({"choice": "accept"}, key=wire.keys[0])
            )  # fmt: skip
        await asyncio.sleep(crash_after_s)
        await b.again()
        await asyncio.sleep(8.5)  # not in the very instant of an answer
        await b.again()
        assert (await b.end()).result == ["accepted", ["ann", "bob"], [], True]
        kinds = await b.kinds("decision:d")
        assert kinds == ["decision.created", "decision.ballot_cast", "decision.ballot_cast", "decision.closed"]

    bench(main, s=asks)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"choice": "maybe"}, "'maybe' is no ballot"),
        ({"verdict": "accept"}, "the answer is no judgement"),
        (17, "the answer is no judgement"),
    ],
)
def test_an_answer_that_is_no_ballot_is_written_down_and_its_agent_is_silent(bench, answer, reason):
    async def main(b):
        await b.agent("ann", judge("accept"))
        await b.agent("bob", lambda request: answer)
        await b.agent("cy")
        await b.submit()
        assert (await b.end()).result == ["lapsed", ["ann"], [], True]
        (refused,) = await b.log("ballot.refused")
        assert (refused.agent, refused.ref) == ("bob", "d")
        assert reason in refused.data["reason"]

    bench(main, s=asks)


def test_who_is_no_agent_of_the_run_votes_by_itself(bench):
    async def main(b):
        await b.agent("ann", judge("accept"))
        await b.submit()
        await asyncio.sleep(5)
        await b.serve(CastBallot(id="d", agent=AgentId("bob"), choice="reject"))
        await b.serve(CastBallot(id="d", agent=AgentId("cy"), choice="accept"))
        assert (await b.end()).result == ["accepted", ["ann", "cy"], ["bob"], True]

    bench(main, s=asks)


def test_an_agent_that_joins_while_the_question_is_open_is_asked_too(bench):
    async def main(b):
        await b.agent("ann", judge("accept"))
        await b.submit()
        await asyncio.sleep(5)
        await b.again()
        bob = await b.agent("bob", judge("accept"))
        assert (await b.end()).result == ["accepted", ["ann", "bob"], [], True]
        assert len(bob.of_type("JUDGE")) == 1

    bench(main, s=asks)


def test_an_agent_that_was_lost_and_comes_back_is_asked_anew(bench):
    async def main(b):
        await b.agent("ann", judge("accept"))
        bob = await b.agent("bob")
        await b.submit()
        await asyncio.sleep(5)
        bob.events.lost(bob.agent, "its process ended")
        await asyncio.sleep(5)
        await b.agent("bob", judge("accept", "on second thoughts"))
        assert (await b.end()).result == ["accepted", ["ann", "bob"], [], True]

    bench(main, s=asks)


def test_when_it_is_settled_nobody_is_waited_for(bench):
    async def main(b):
        await b.agent("ann", judge("accept"))
        await b.agent("bob", judge("accept"))
        cy = await b.agent("cy")
        await b.submit()
        view = await b.end()
        assert view.result == ["accepted", ["ann", "bob"], [], True]
        assert b.loop.time() < 10
        cy.reply({"choice": "reject"})
        await asyncio.sleep(1)
        assert (await b.serve(GetDecision(id="d"))).missing == ("cy",)

    bench(main, s=asks)


def test_a_run_that_is_called_off_leaves_the_decision_to_its_deadline(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        await asyncio.sleep(5)
        await b.serve(Cancel(id="r"))
        assert (await b.end()).status == "cancelled"
        assert (await b.serve(GetDecision(id="d"))).status == "voting"
        await asyncio.sleep(60)
        assert (await b.serve(GetDecision(id="d"))).status == "lapsed"

    bench(main, s=asks)


async def asks_twice_at_once(run):
    first, second = await asyncio.gather(run.decide("one?", ["ann"]), run.decide("two?", ["ann"]))
    return [first.question, first.status, second.question, second.status, first.id != second.id]


def test_decisions_at_once_have_ids_of_their_own(bench):
    async def main(b):
        await b.agent("ann", judge("accept"))
        await b.submit()
        assert (await b.end()).result == ["one?", "accepted", "two?", "accepted", True]

    bench(main, s=asks_twice_at_once)


async def asks_wrongly(run):
    told = []
    for voters, terms in (([], {}), (["ann"], {"algorithm": "pbft"}), (["ann"], {"colour": "red"}), ("ann", {})):
        try:
            await run.decide("what?", voters, **terms)
        except Invalid as error:
            told.append(error.message)
    return told


def test_what_cannot_be_decided_is_an_error_in_the_strategy(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        nobody, pbft, colour, text = (await b.end()).result
        assert "0 voters" in nobody
        assert "has no place for replicas" in pbft
        assert "colour" in colour
        assert "one text" in text

    bench(main, s=asks_wrongly)


def test_an_agent_without_a_judgement_of_its_own_approves_of_nothing(bench):
    assert Judge not in __import__("concerted.agent.defaults", fromlist=["x"])._ANSWERS


def test_a_run_that_waits_for_a_decision_says_whose_ballots_are_missing(bench):
    async def main(b):
        await b.agent("ann", judge("accept"))
        await b.submit()
        await asyncio.sleep(1)
        (waiting,) = (await b.serve(Why(subject="r"))).waiting
        assert (waiting.waiting_for, waiting.unblocked_by) == ("decision d: bob, cy: 1 of 3 have voted", "bob, cy")
        assert waiting.deadline == pytest.approx((await b.serve(GetDecision(id="d"))).deadline_at)
        await b.serve(CastBallot(id="d", agent=AgentId("bob"), choice="accept"))
        assert (await b.end()).result[0] == "accepted"

    bench(main, s=asks)
