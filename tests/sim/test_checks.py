"""The checks must be able to fail: each sees the fault that it is there for."""

import asyncio
import random

import msgspec
import pytest

from concerted.consensus.decisions.ballots import Opening
from concerted.ports.commands import Submit
from concerted.ports.store import Row, Write
from concerted.sim.actors import Done, SimInbox, stand_in
from concerted.sim.checks import problems_of
from concerted.sim.faults import Faults
from concerted.sim.play import play
from concerted.sim.virtual_time import run_virtual
from concerted.sim.world import Played, Scenario, World
from concerted.values import AgentId, Objective, Profile, RunId, Task, TaskId, encode

R = RunId("r")


async def takes_its_time(run):
    for step in range(8):
        await asyncio.sleep(0.5)
        run.progress(step, 8)
    return "over"


async def one_task(run):
    reply = await run.execute(Task(id=TaskId("t")), "ann")
    run.record("task.done", agent="ann", ref="t", epoch=reply.epoch, result=reply.value)
    return reply.status


def scenario():
    return Scenario(
        runs=(Submit(id=R, strategy="s", objective=Objective()),),
        agents=lambda seed: [stand_in(Profile(id=AgentId(name)), seed) for name in ("ann", "bob")],
        strategies=lambda _: one_task,
    )


async def tampered(rows, change=None):
    """Play a world, write further rows behind its back, and check it."""
    world = World(scenario(), 0, Faults())
    played = await world.play()
    if rows:
        await world.disk.memory.append([Write(rows=rows)])
    played.log = list(world.disk.memory.export().entries)
    if change is not None:
        change(played)
    return await problems_of(played, lambda _: one_task)


def row(kind, *, ref=None, agent=None, **data):
    return Row(stream="run:r", at=1.0, kind=kind, ref=ref, agent=agent, data=encode(data))


def test_a_world_in_order_has_no_problem():
    assert run_virtual(tampered([])) == []


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row("task.done", ref="t", agent="ann", epoch=1, result=None)], "the result of task t was accepted twice"),
        ([row("task.done", ref="u", agent="ann", epoch=1, result=None)], "task u is done and was never claimed"),
        (
            [
                row("task.claimed", ref="t", agent="bob", epoch=2, attempt=2),
                row("task.done", ref="t", agent="ann", epoch=1),
            ],
            "the newest claim is bob's, 2",
        ),
        ([row("task.claimed", ref="t", agent="bob", epoch=3, attempt=2)], "claimed under epoch 3, after 1"),
        ([row("command.sent", ref="1", type="X", agents=["bob"], digest="")], "number 1 was given to two commands"),
        ([row("reply.received", ref="1", agent="ann", status="ok", value=None)], "command 1 was answered twice"),
        ([row("reply.received", ref="9", agent="bob", status="ok", value=None)], "command 9, which went to None"),
        (
            [row("signal.received", ref="a", name="x"), row("signal.received", ref="a", name="x")],
            "the signal a was accepted",
        ),
        ([row("run.progressed", step=1, of=2)], "run.progressed (seq"),
        ([row("run.completed", outcome=None)], "after its end"),
        ([row("run.parked", reason="why")], "it was parked: why"),
    ],
)
def test_a_log_that_is_wrong_is_told(rows, told):
    assert any(told in problem for problem in run_virtual(tampered(rows)))


def decided(kind, agent=None, **data):
    return Row(stream="decision:d", at=1.0, kind=f"decision.{kind}", agent=agent, data=encode(data))


def opening(*voters):
    opened = Opening(
        id="d", question="ship it?", electorate=dict.fromkeys(voters, 1), opened_by=AgentId("ann"), opened_at=1.0
    )  # fmt: skip
    return decided("created", "ann", opening=msgspec.to_builtins(opened), status="voting")


def ballot(agent, choice):
    return decided("ballot_cast", agent, choice=choice, reason="", signature=None)


def closed(status, cause="complete"):
    return decided("closed", None, status=status, cause=cause, closed_at=1.0, reason="")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([opening("ann"), ballot("ann", "accept"), closed("accepted")], None),
        (
            [opening("ann"), ballot("ann", "accept"), closed("rejected")],
            "as rejected; its ballots come to accepted",
        ),
        ([opening("ann"), ballot("ann", "accept"), closed("accepted"), closed("accepted")], "was closed 2 times"),
        ([opening("ann", "bob"), ballot("ann", "accept"), closed("lapsed")], "some are missing"),
        ([opening("ann", "bob"), ballot("ann", "accept"), ballot("ann", "accept")], "counts a voter twice"),
        (
            [opening("ann", "bob"), closed("lapsed", "withdrawn"), ballot("ann", "accept")],
            "took a ballot after its end",
        ),
    ],
)
def test_a_decision_whose_end_does_not_follow_from_its_ballots_is_told(rows, told):
    problems = run_virtual(tampered(rows))
    assert any(told in problem for problem in problems) if told else problems == []


def agreed(kind, agent="ann", stream="agreement:k", **data):
    return Row(stream=stream, at=1.0, kind=kind, agent=agent, data=encode(data))


RED = agreed("agreement.created", terms={"validity": {"one_of": ["red"]}}, status="waiting")


def chosen(value):
    return agreed("agreement.chosen", value=value, request_id="r", status="agreed")


def appended(position, request_id):
    return agreed("decision_log.appended", stream="decision_log:l", position=position, request_id=request_id)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([RED, chosen("red"), appended(1, "a"), appended(2, "b")], None),
        ([RED, chosen("red"), chosen("red")], "was ended 2 times"),
        ([RED, chosen("red"), agreed("agreement.lapsed", status="lapsed", closed_at=1.0)], "was ended 2 times"),
        ([RED, chosen("blue")], 'not valid: it is none of "red"'),
        ([appended(1, "a"), appended(3, "b")], "do not follow each other"),
        ([appended(1, "a"), appended(2, "a")], "the same request twice"),
    ],
)
def test_a_second_value_an_invalid_one_and_a_gap_in_a_log_are_told(rows, told):
    problems = run_virtual(tampered(rows))
    assert any(told in problem for problem in problems) if told else problems == []


def test_evidence_after_the_end_is_no_problem():
    rows = [row("reply.late", ref="1", agent="ann", status="ok"), row("result.refused", ref="1", agent="ann", task="t")]
    assert run_virtual(tampered(rows)) == []


def test_what_was_durable_and_is_gone_is_told():
    def cut(played: Played) -> None:
        played.durable_at_deaths.append(len(played.log) + 1)

    assert any("were durable when" in problem for problem in run_virtual(tampered([], cut)))


def test_a_gap_in_the_numbers_is_told():
    def cut(played: Played) -> None:
        del played.log[3]

    assert any("has the numbers" in problem for problem in run_virtual(tampered([], cut)))


def test_an_effect_that_took_place_twice_is_told():
    def again(played: Played) -> None:
        first = played.ledger.effects[0]
        played.ledger.effects.append(Done(first.key, first.agent, first.what, first.epoch, 2, 9.0))

    (problem,) = run_virtual(tampered([], again))
    assert "2 times" in problem
    assert "in life 2" in problem


def test_an_error_that_was_nobodys_is_told():
    def complain(played: Played) -> None:
        played.complaints.append("ZeroDivisionError")

    assert run_virtual(tampered([], complain)) == ["an error that was nobody's: ZeroDivisionError"]


def test_agents_that_forget_what_they_have_done_are_caught(monkeypatch):
    """The whole chain from the outside: without the keyed inbox, effects take place twice, and the ledger says so."""
    monkeypatch.setattr(SimInbox, "reply_to", lambda self, key: None)
    found = [play(scenario(), seed, Faults(duplicate=0.9, delay=3.0))[1] for seed in range(5)]
    assert any("times: at" in problem for problems in found for problem in problems)


def test_a_coordinator_without_fences_is_caught(monkeypatch):
    """Two coordinators that both go on, because no write of the older one is refused."""
    slow = Scenario(runs=scenario().runs, agents=scenario().agents, strategies=lambda _: takes_its_time)
    assert not any(play(slow, seed, Faults(pause=2))[1] for seed in range(20))
    monkeypatch.setattr("concerted.stores.commit.Numbering.epoch", lambda self, run: _AnyEpoch())
    assert any(play(slow, seed, Faults(pause=2))[1] for seed in range(20))


class _AnyEpoch(int):
    """Equal to whatever it is compared with, and false, so that every run may be created."""

    def __new__(cls):
        return super().__new__(cls, 0)

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return 0


def test_a_strategy_that_does_not_do_the_same_again_is_caught():
    async def rolls(run):
        return random.random()

    rolling = Scenario(runs=scenario().runs, agents=scenario().agents, strategies=lambda _: rolls)
    _, problems = play(rolling)
    assert any("diverge" in problem for problem in problems)
