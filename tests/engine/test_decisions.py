"""Decisions behind the commands: durable, the same after a crash, and only the voter votes as itself."""

import asyncio

import pytest

from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.rule import rule_of
from concerted.engine.commands import serve
from concerted.engine.permissions import Principal
from concerted.errors import Conflict, Deadlock, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.ports.agreements import ProposeValue
from concerted.ports.commands import Status, Why
from concerted.ports.decisions import AwaitDecision, CancelDecision, CastBallot, CreateDecision, GetDecision
from concerted.ports.holding import AcquireLease
from concerted.ports.looking import ListPrimitives
from concerted.ports.mail import FetchMessages
from concerted.ports.store import PrimitiveRecord
from concerted.values import AgentId

ANN, BOB, CY = (AgentId(name) for name in ("ann", "bob", "cy"))


def opened(id: str = "d", **fields):
    given = {"question": "ship it?", "electorate": dict.fromkeys((ANN, BOB, CY), 1), **fields}
    return CreateDecision(id=id, **given)


def vote(agent: str, choice: str = "accept", **fields):
    return CastBallot(id="d", agent=AgentId(agent), choice=choice, **fields)


def test_who_waits_is_told_the_outcome_when_enough_have_voted(bench):
    async def main(b):
        await b.serve(opened())
        waiting = asyncio.ensure_future(b.serve(AwaitDecision(id="d", wait_s=60)))
        first = asyncio.ensure_future(b.serve(vote("ann", wait_s=60)))
        await asyncio.sleep(5)
        assert [waiting.done(), first.done()] == [False, False]
        last = await b.serve(vote("bob", reason="green"))
        for told in (await waiting, await first, last):
            assert (told.status, told.approved_by, told.missing) == ("accepted", ("ann", "bob"), ("cy",))
            assert verify(told.certificate).valid

    bench(main)


def test_the_coordinator_is_killed_between_the_opening_and_the_close(bench):
    async def main(b):
        await b.serve(opened(deadline_at=b.clock.now() + 60))
        await b.serve(vote("ann"))
        await b.again()
        told = await b.serve(vote("ann"))
        assert (told.pending, told.voted) == (True, 1)
        await b.again()
        await b.serve(vote("bob", "reject"))
        await b.again()
        told = await b.serve(vote("cy"))
        assert (told.status, told.cause) == ("accepted", "complete")
        before = told.certificate
        await b.again()
        assert (await b.serve(GetDecision(id="d"))).certificate == before

    bench(main)


def test_a_deadline_that_comes_while_nobody_lives_is_the_end_all_the_same(bench):
    async def main(b):
        deadline_at = b.clock.now() + 60
        await b.serve(opened(deadline_at=deadline_at))
        await b.serve(vote("ann"))
        b.crash()
        await asyncio.sleep(3600)
        await b.start()
        await asyncio.sleep(1)
        told = await b.serve(GetDecision(id="d"))
        assert (told.status, told.cause, told.closed_at, told.missing) == ("lapsed", "deadline", deadline_at, (BOB, CY))
        with pytest.raises(WrongPhase):
            await b.serve(vote("bob"))

    bench(main)


def test_two_proposers_at_once_open_one_decision(bench):
    async def main(b):
        ann, bob = (Principal(name, "agent") for name in ("ann", "bob"))
        both = (serve(b.coordinator, opened(), ann), serve(b.coordinator, opened(), bob))
        first, second = await asyncio.gather(*both, return_exceptions=True)
        assert first.created_by == "ann"
        assert isinstance(second, Conflict)
        attached = await serve(b.coordinator, opened(attach=True), bob)
        assert attached.created_by == "ann"
        assert await b.kinds("decision:d") == ["decision.created"]

    bench(main)


def test_only_the_voter_votes_as_itself(bench):
    async def main(b):
        await b.serve(opened())
        with pytest.raises(NotAllowed, match="only as itself"):
            await serve(b.coordinator, vote("bob"), Principal("ann", "agent"))
        with pytest.raises(NotAllowed, match="dee has no vote"):
            await serve(b.coordinator, vote("dee"), Principal("dee", "agent"))
        with pytest.raises(NotAllowed, match="who opened it"):
            await serve(b.coordinator, CancelDecision(id="d"), Principal("ann", "agent"))
        told = await serve(b.coordinator, CastBallot(id="d", choice="accept"), Principal("ann", "agent"))
        assert told.ballot == "accept"
        with pytest.raises(NotFound, match="decision 'e'"):
            await b.serve(GetDecision(id="e"))

    bench(main)


def test_voters_find_the_question_and_the_outcome_in_their_inboxes(bench):
    async def main(b):
        await b.serve(opened(proposal={"build": 7}))
        await b.serve(vote("ann"))
        await b.serve(vote("bob"))
        asked, told = await b.serve(FetchMessages(agent=CY, request_id="f1"))
        assert (asked.type, asked.content["proposal"]) == ("DECISION_OPENED", {"build": 7})
        assert (told.type, told.content["outcome"]) == ("DECISION_CLOSED", "accepted")

    bench(main)


def test_how_the_log_is_kept_is_said_and_nothing_else_is_pretended(bench):
    async def main(b):
        told = await b.serve(opened(algorithm="single"))
        assert (told.algorithm, "one fault domain" in told.stored_by[0]) == ("single", True)
        with pytest.raises(Invalid, match="which is single"):
            await b.serve(opened("e", algorithm="database"))
        with pytest.raises(Invalid, match="there is nothing else"):
            await b.serve(opened("e", algorithm="counting"))
        with pytest.raises(Invalid, match="has no place for replicas"):
            await b.serve(opened("e", algorithm="raft"))

    bench(main)


@pytest.mark.parametrize("named", [{"group": "ops"}, {"replicas": (ANN, BOB)}])
def test_who_names_replicas_and_no_algorithm_of_theirs_is_told_that_they_would_keep_nothing(bench, named):
    async def main(b):
        with pytest.raises(Invalid, match="the store keeps the log, and no replicas do; say how they keep it"):
            await b.serve(opened(**named))
        with pytest.raises(Invalid, match="or leave them out"):
            await b.serve(ProposeValue(id="k", agent=ANN, value=1, request_id="r", algorithm="single", **named))

    bench(main)


def test_why_tells_the_story_and_who_is_missing(bench):
    async def main(b):
        await b.serve(opened(rule=rule_of("2/3", vetoes=["cy"])))
        await b.serve(vote("ann", reason="tests are green"))
        await b.serve(vote("ann", "reject"))
        view = await b.serve(Why(subject="d"))
        assert [line.partition("  ")[2] for line in view.lines] == [
            "local asks ann, bob, cy: ship it? (at least 2/3 of the electorate must accept; cy may veto)",
            "ann votes accept (tests are green), 1 of 3",
            "ann votes again, reject: ignored, the first ballot counts (accept)",
        ]
        (waiting,) = view.waiting
        assert (waiting.waiting_for, waiting.unblocked_by) == ("bob, cy: 1 of 3 have voted", "bob, cy")
        status = await b.serve(Status())
        assert [one.subject for one in status.blocked] == ["decision:d"]
        await b.serve(vote("cy", "reject", reason="unsafe"))
        view = await b.serve(Why(subject="decision:d"))
        assert view.waiting == ()
        assert view.lines[-1].endswith("rejected: vetoed by cy; closed since no missing ballot can change it")

    bench(main)


def test_why_marks_voters_who_are_gone_and_says_who_can_end_the_wait(bench):
    async def main(b):
        for name in ("bob", "cy"):
            await b.agent(name)
        await b.serve(opened(agent=ANN, rule=rule_of("all")))
        await b.serve(vote("ann"))
        await asyncio.sleep(3)
        await b.coordinator.roster.leave("cy", "goodbye")
        (waiting,) = (await b.serve(Why(subject="d"))).waiting
        assert waiting.waiting_for == "cy (gone since +3.000s: goodbye), bob: 1 of 3 have voted"
        assert waiting.unblocked_by == "bob"
        await b.coordinator.roster.leave("bob", "goodbye")
        (waiting,) = (await b.serve(Why(subject="d"))).waiting
        assert waiting.waiting_for.endswith("1 of 3 have voted; ann may withdraw it")
        assert waiting.unblocked_by == "bob, cy, ann"

    bench(main)


def test_decisions_are_in_the_lists_with_their_status(bench):
    async def main(b):
        await b.serve(opened())
        await b.serve(vote("ann"))
        (listed,) = (await b.serve(ListPrimitives(kind="decision"))).primitives
        assert (listed.name, listed.status, listed.arrived, listed.total) == ("ship it?", "voting", 1, 3)
        await b.serve(vote("bob"))
        record = await b.store.get(PrimitiveRecord, "decision:d")
        assert (record.status, record.ended_at is not None, record.wake_at) == ("accepted", True, None)

    bench(main)


def test_who_waits_for_a_vote_of_who_waits_for_it_is_told_at_once(bench):
    async def main(b):
        await b.serve(AcquireLease(agent=ANN, ticket="t1", names=("x",)))
        await b.serve(opened(electorate={BOB: 1}))
        waiting = asyncio.ensure_future(b.serve(AcquireLease(agent=BOB, ticket="t2", names=("x",), wait_s=60)))
        await asyncio.sleep(1)
        with pytest.raises(Deadlock, match="bob"):
            await b.serve(AwaitDecision(id="d", agent=ANN, wait_s=60))
        waiting.cancel()

    bench(main)
