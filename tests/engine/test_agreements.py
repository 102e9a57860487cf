"""Agreements and logs of decisions behind the commands: durable, the same after a crash, waited for without polling."""

import asyncio

import pytest

from concerted.consensus.validity import validity_of
from concerted.engine.commands import serve
from concerted.engine.permissions import Principal
from concerted.errors import Conflict, Deadlock, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.ports.agreements import (
    AppendToDecisionLog,
    AwaitAgreement,
    CreateAgreement,
    CreateDecisionLog,
    GetAgreement,
    GetDecisionLog,
    ProposeValue,
    ReadDecisionLog,
)
from concerted.ports.commands import Status, Why
from concerted.ports.holding import AcquireLease
from concerted.ports.looking import ListPrimitives
from concerted.ports.mail import FetchMessages
from concerted.ports.store import PrimitiveRecord
from concerted.values import AgentId

ANN, BOB = AgentId("ann"), AgentId("bob")


def propose(agent: AgentId, value, request_id: str = "", **terms):
    return ProposeValue(id="k", agent=agent, value=value, request_id=request_id or f"by {agent}", **terms)


def append(agent: AgentId, value, request_id: str = "r"):
    return AppendToDecisionLog(id="l", agent=agent, value=value, request_id=request_id)


# Agreements


def test_of_two_who_propose_at_once_one_is_first_and_both_are_told_the_same(bench):
    async def main(b):
        first, second = await asyncio.gather(b.serve(propose(ANN, 1)), b.serve(propose(BOB, 2)))
        assert [(one.value, one.yours) for one in (first, second)] == [(1, True), (1, False)]
        assert await b.kinds("agreement:k") == ["agreement.created", "agreement.chosen"]

    bench(main)


def test_the_coordinator_is_killed_after_the_choice_and_nothing_else_is_ever_chosen(bench):
    async def main(b):
        before = await b.serve(propose(ANN, {"build": 7}))
        await b.again()
        again = await b.serve(propose(ANN, {"build": 7}))
        later = await b.serve(propose(BOB, {"build": 8}))
        assert (again.yours, again.value, again.position) == (True, before.value, before.position)
        assert (later.yours, later.value) == (False, {"build": 7})

    bench(main)


def test_who_waits_for_a_value_is_told_it_across_a_crash(bench):
    async def main(b):
        await b.serve(CreateAgreement(id="k", agent=BOB, validity=validity_of("1..5")))
        waiting = asyncio.ensure_future(b.serve(AwaitAgreement(id="k", wait_s=60)))
        await asyncio.sleep(5)
        assert not waiting.done()
        with pytest.raises(Invalid, match="more than 5"):
            await b.serve(propose(ANN, 6))
        await b.serve(propose(ANN, 3))
        assert (await waiting).value == 3
        await b.again()
        assert (await b.serve(AwaitAgreement(id="k", wait_s=60))).value == 3

    bench(main)


def test_a_deadline_that_comes_while_nobody_lives_lapses_it_all_the_same(bench):
    async def main(b):
        deadline_at = b.clock.now() + 60
        await b.serve(CreateAgreement(id="k", deadline_at=deadline_at))
        b.crash()
        await asyncio.sleep(3600)
        await b.start()
        await asyncio.sleep(1)
        told = await b.serve(GetAgreement(id="k"))
        assert (told.status, told.value) == ("lapsed", None)
        (lapsed,) = await b.log("agreement.lapsed", stream="agreement:k")
        assert lapsed.data["closed_at"] == deadline_at
        with pytest.raises(WrongPhase):
            await b.serve(propose(ANN, 1))
        record = await b.store.get(PrimitiveRecord, "agreement:k")
        assert (record.status, record.wake_at, record.ended_at is not None) == ("lapsed", None, True)

    bench(main)


def test_an_agent_proposes_only_as_itself_and_only_if_it_is_named(bench):
    async def main(b):
        await b.serve(CreateAgreement(id="k", proposers=(ANN,)))
        with pytest.raises(NotAllowed, match="only as itself"):
            await serve(b.coordinator, propose(ANN, 1), Principal("bob", "agent"))
        with pytest.raises(NotAllowed, match="ann may"):
            await serve(b.coordinator, propose(BOB, 1), Principal("bob", "agent"))
        with pytest.raises(NotAllowed):
            await serve(b.coordinator, propose(ANN, 1), Principal("eve", "viewer"))
        viewed = await serve(b.coordinator, GetAgreement(id="k"), Principal("eve", "viewer"))
        assert viewed.status == "waiting"
        told = await serve(b.coordinator, propose(ANN, 1), Principal("ann", "agent"))
        assert told.yours

    bench(main)


def test_attaching_takes_an_agreement_as_it_is(bench):
    async def main(b):
        await b.serve(CreateAgreement(id="k", agent=ANN, validity=validity_of("text")))
        with pytest.raises(Conflict, match="other validity"):
            await b.serve(CreateAgreement(id="k", agent=BOB))
        assert (await b.serve(CreateAgreement(id="k", agent=BOB, attach=True))).demands == "type text"

    bench(main)


def test_why_says_that_nobody_has_proposed_what_would_be_valid_and_who_may(bench):
    async def main(b):
        await b.serve(CreateAgreement(id="k", agent=BOB, validity=validity_of("red|blue"), proposers=(ANN, BOB)))
        view = await b.serve(Why(subject="k"))
        (waiting,) = view.waiting
        assert (waiting.waiting_for, waiting.unblocked_by) == ("ann, bob: a proposal", "ann, bob")
        assert [one.subject for one in (await b.serve(Status())).blocked] == ["agreement:k"]
        await b.serve(propose(ANN, "red"))
        view = await b.serve(Why(subject="agreement:k"))
        assert view.waiting == ()
        assert [line.partition("  ")[2] for line in view.lines] == [
            'bob opens agreement k: type text, one of "red", "blue" may be proposed by ann, bob',
            'ann proposes "red": it is the value, for ever',
        ]
        assert (await b.serve(Status())).blocked == ()

    bench(main)


def test_why_marks_a_proposer_who_is_gone_and_names_who_can_still_propose(bench):
    async def main(b):
        await b.agent("bob")
        await b.serve(CreateAgreement(id="k", agent=ANN, proposers=(ANN, BOB)))
        await asyncio.sleep(2)
        await b.coordinator.roster.leave("bob", "goodbye")
        (waiting,) = (await b.serve(Why(subject="k"))).waiting
        assert waiting.waiting_for == "bob (gone since +2.000s: goodbye), ann: a proposal"
        assert waiting.unblocked_by == "ann"

    bench(main)


def test_why_marks_a_proposer_who_was_gone_before_anybody_asked(bench):
    async def main(b):
        await b.agent("bob")
        await b.coordinator.roster.leave("bob", "goodbye")
        await asyncio.sleep(2)
        await b.serve(CreateAgreement(id="k", agent=ANN, proposers=(BOB,)))
        (waiting,) = (await b.serve(Why(subject="k"))).waiting
        assert waiting.waiting_for == "bob (gone since before it began: goodbye): a proposal"
        assert waiting.unblocked_by == "bob", "nobody else can, and it may come back"

    bench(main)


def test_why_says_that_an_agreement_has_lapsed(bench):
    async def main(b):
        await b.serve(CreateAgreement(id="k", agent=BOB, deadline_at=b.clock.now() + 5))
        await asyncio.sleep(10)
        lines = (await b.serve(Why(subject="k"))).lines
        assert lines[-1].endswith("lapsed: nobody has proposed a value by its deadline")

    bench(main)


def test_named_proposers_find_the_value_in_their_inboxes(bench):
    async def main(b):
        await b.serve(CreateAgreement(id="k", agent=ANN, proposers=(ANN, BOB)))
        await b.serve(propose(ANN, 7))
        opened, reached = await b.serve(FetchMessages(agent=BOB, request_id="f1"))
        assert (opened.type, reached.type, reached.content["value"]) == ("AGREEMENT_OPENED", "AGREEMENT_REACHED", 7)

    bench(main)


def test_who_waits_for_the_proposal_of_who_waits_for_it_is_told_at_once(bench):
    async def main(b):
        await b.serve(AcquireLease(agent=ANN, ticket="t1", names=("x",)))
        await b.serve(CreateAgreement(id="k", proposers=(BOB,)))
        waiting = asyncio.ensure_future(b.serve(AcquireLease(agent=BOB, ticket="t2", names=("x",), wait_s=60)))
        await asyncio.sleep(1)
        with pytest.raises(Deadlock, match="bob"):
            await b.serve(AwaitAgreement(id="k", agent=ANN, wait_s=60))
        waiting.cancel()

    bench(main)


def test_how_the_log_is_kept_is_said_and_nothing_else_is_pretended(bench):
    async def main(b):
        told = await b.serve(propose(ANN, 1, algorithm="single"))
        assert (told.algorithm, "one fault domain" in told.stored_by[0], told.entries_committed) == ("single", True, 2)
        for command in (propose(ANN, 1, algorithm="database"), CreateDecisionLog(id="l", algorithm="database")):
            with pytest.raises(Invalid, match="which is single"):
                await b.serve(command)

    bench(main)


# Logs


def test_an_append_that_is_given_again_after_a_crash_has_its_position(bench):
    async def main(b):
        first = await b.serve(append(ANN, "x", "r1"))
        await b.serve(append(BOB, "y", "r1"))
        await b.again()
        again = await b.serve(append(ANN, "x", "r1"))
        assert (first.position, again.position, again.last) == (1, 1, 2)
        with pytest.raises(Conflict, match="is entry 1"):
            await b.serve(append(ANN, "z", "r1"))
        page = await b.serve(ReadDecisionLog(id="l"))
        assert [(one.position, one.by, one.value) for one in page.entries] == [(1, "ann", "x"), (2, "bob", "y")]

    bench(main)


def test_who_follows_a_log_is_woken_by_the_next_entry(bench):
    async def main(b):
        await b.serve(append(ANN, "x", "r1"))
        waiting = asyncio.ensure_future(b.serve(ReadDecisionLog(id="l", after=1, wait_s=60)))
        await asyncio.sleep(5)
        assert not waiting.done()
        await b.serve(append(ANN, "y", "r2"))
        assert [one.value for one in (await waiting).entries] == ["y"]

    bench(main)


def test_many_appends_at_once_are_one_commit_and_have_no_gaps(bench):
    async def main(b):
        await b.serve(CreateDecisionLog(id="l"))
        commits = b.coordinator.primitives.host.commits
        told = await asyncio.gather(*(b.serve(append(ANN, n, f"r{n}")) for n in range(100)))
        assert sorted(one.position for one in told) == list(range(1, 101))
        assert b.coordinator.primitives.host.commits == commits + 1

    bench(main)


def test_only_writers_append_and_viewers_read(bench):
    async def main(b):
        await b.serve(CreateDecisionLog(id="l", writers=(ANN,)))
        with pytest.raises(NotAllowed, match="ann may"):
            await serve(b.coordinator, append(BOB, 1), Principal("bob", "agent"))
        await serve(b.coordinator, append(ANN, 1), Principal("ann", "agent"))
        page = await serve(b.coordinator, ReadDecisionLog(id="l"), Principal("eve", "viewer"))
        assert [one.value for one in page.entries] == [1]
        with pytest.raises(NotFound, match="decision log 'm'"):
            await b.serve(GetDecisionLog(id="m"))

    bench(main)


def test_a_log_is_in_the_lists_and_tells_its_story(bench):
    async def main(b):
        await b.serve(CreateDecisionLog(id="l", agent=ANN, writers=(ANN, BOB)))
        await b.serve(append(BOB, {"build": 7}))
        (listed,) = (await b.serve(ListPrimitives(kind="decision_log", agent=BOB))).primitives
        assert (listed.name, listed.status, listed.arrived, listed.ended_at) == ("l", "kept", 1, None)
        assert [line.partition("  ")[2] for line in (await b.serve(Why(subject="l"))).lines] == [
            "ann makes log l; ann, bob may append",
            'bob appends entry 1: {"build":7}',
        ]
        assert (await b.serve(Status())).blocked == ()

    bench(main)


# In a run


async def agrees(run):
    told = await run.agree("k", {"by": run.id}, valid="object")
    again = await run.agree("k", {"by": "nobody"})
    return [told.value, told.yours, again.value, again.yours]


def test_a_run_proposes_under_its_own_id_and_goes_on_with_the_value(bench):
    async def main(b):
        await b.submit()
        assert (await b.end()).result == [{"by": "r"}, True, {"by": "r"}, False]
        told = await b.serve(GetAgreement(id="k"))
        assert (told.proposed_by, told.demands) == ("r", "type object")
        lines = (await b.serve(Why(subject="r"))).lines
        assert lines[2].endswith('agreement k is {"by":"r"}, its own proposal')
        assert lines[3].endswith('agreement k is {"by":"r"}, as r proposed first')

    bench(main, s=agrees)


def test_a_run_that_is_second_takes_the_value_of_the_first(bench):
    async def main(b):
        await b.serve(propose(ANN, {"by": "ann"}, validity=validity_of("object")))
        await b.submit()
        assert (await b.end()).result == [{"by": "ann"}, False, {"by": "ann"}, False]

    bench(main, s=agrees)


async def agrees_after_a_while(run):
    first = await run.agree("k", 1)
    await asyncio.sleep(60)
    return [first.yours, (await run.agree("k", 2)).value]


def test_a_run_that_is_taken_over_proposes_nothing_anew(bench):
    async def main(b):
        await b.submit()
        await asyncio.sleep(5)
        await b.again()
        assert (await b.end()).result == [True, 1]
        assert await b.kinds("agreement:k") == ["agreement.created", "agreement.chosen"]

    bench(main, s=agrees_after_a_while)


async def proposes_nonsense(run):
    try:
        await run.agree("k", "text", valid="integer")
    except Invalid as error:
        return error.message


def test_a_proposal_of_a_run_that_is_refused_is_raised_in_it(bench):
    async def main(b):
        await b.submit()
        assert "no integer" in (await b.end()).result
        with pytest.raises(NotFound):
            await b.serve(GetAgreement(id="k"))

    bench(main, s=proposes_nonsense)
