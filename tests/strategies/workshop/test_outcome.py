"""The outcome of a run that was split into tasks."""

from concerted.board.task import Cancel, Claim, Complete, Fail, Request, TaskState, decide, evolve
from concerted.strategies.workshop.outcome import outcome_of
from concerted.values import AgentId, Task, TaskId

ANN, BOB = AgentId("ann"), AgentId("bob")


def state(name: str, *requests: Request, mandatory: bool = True) -> TaskState:
    now = TaskState(Task(id=TaskId(name), mandatory=mandatory), "ready")
    for at, request in enumerate(requests):
        for event in decide(now, request, float(at)).events:
            now = evolve(now, event, float(at))
    return now


def done(name: str, agent: AgentId = ANN) -> TaskState:
    return state(name, Claim(agent, 1.0), Complete(agent, 1, "ok"))


def test_when_all_is_done_it_is_a_success() -> None:
    outcome = outcome_of([done("a"), done("b", BOB)], [], {}, {"n": 2})
    assert (outcome.success, outcome.reason, outcome.result, outcome.timed_out) == (True, "", {"n": 2}, False)
    assert [(task.id, task.status, task.agent) for task in outcome.tasks] == [
        ("a", "done", "ann"),
        ("b", "done", "bob"),
    ]


def test_what_must_be_done_and_is_not_makes_it_a_failure_with_the_first_cause() -> None:
    called_off = state("a", Cancel("the run ended first"))
    failed = state("b", Claim(ANN, 1.0), Fail("no such file"))
    outcome = outcome_of([called_off, failed, done("c")], [], {}, None)
    assert (outcome.success, outcome.reason) == (False, "2 of 3 tasks not done; b: no such file")


def test_what_need_not_be_done_may_be_missing() -> None:
    assert outcome_of([done("a"), state("b", Fail("no"), mandatory=False)], [], {}, None).success


def test_no_tasks_are_no_success() -> None:
    outcome = outcome_of([], [], {}, None)
    assert (outcome.success, outcome.reason) == (False, "there were no tasks")


def test_a_deadline_that_came_first_is_no_success_and_is_said_first() -> None:
    outcome = outcome_of([state("a", Cancel("the run ended first"))], [], {}, None, timed_out=True)
    assert (outcome.success, outcome.timed_out) == (False, True)
    assert outcome.reason == "the deadline passed first: 1 of 1 tasks not done; a: the run ended first"


def test_everybody_is_named_with_what_they_did_by_id() -> None:
    failed = state("c", Claim(BOB, 1.0), Fail("no"))
    outcome = outcome_of([done("a", BOB), done("b"), failed], [AgentId("cy")], {BOB: "leader"}, None)
    told = [(part.agent, part.done, part.failed, part.role) for part in outcome.participants.values()]
    assert told == [("ann", ("b",), (), ""), ("bob", ("a",), ("c",), "leader"), ("cy", (), (), "")]
