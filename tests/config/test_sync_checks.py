"""What can be wrong with the meetings of a plan: each problem in its place, with what to do."""

import pytest

from concerted.config.plan import load_plan
from concerted.errors import Invalid
from concerted.values import Meeting

HEAD = "plan: p\nagents: [{id: w, run: 'true'}]\n"
TASKS = "tasks:\n- {id: a, arrives_at: met}\n- {id: b, arrives_at: met}\n- {id: c, waits_for: met}\n"


def load(text: str):
    return load_plan(HEAD + text, "p.yaml", strategies=("auction",))


def problems_of(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load(text)
    return caught.value.message.splitlines()


def test_the_participants_of_a_sync_point_are_the_tasks_that_arrive_at_it() -> None:
    plan = load("sync: [{id: met, deadline: 5m}]\n" + TASKS)
    assert plan.objective.sync == (Meeting(id="met", participants=("a", "b"), deadline_s=300.0),)
    assert plan.objective.tasks[2].waits_for == ("met",)


def test_others_may_be_expected_too() -> None:
    plan = load("sync: [{id: met, participants: [a, b, boss], condition: 2, shared: true}]\n" + TASKS)
    (meeting,) = plan.objective.sync
    assert (meeting.participants, meeting.condition, meeting.shared) == (("a", "b", "boss"), 2, True)


def test_a_point_that_nobody_described_is_an_error_that_says_which_was_meant() -> None:
    (problem,) = problems_of("sync: [{id: meet}]\n" + TASKS.replace("arrives_at: met", "arrives_at: meet"))
    assert problem == "p.yaml:7:22: tasks[2].waits_for: there is no sync point 'met' in `sync`; did you mean meet?"


@pytest.mark.parametrize(
    ("sync", "what"),
    [
        ("[{id: met}, {id: met}]", "there is another sync point 'met', in line 3"),
        ("[{id: met, participants: [a, b, a]}]", "somebody is named twice"),
        ("[{id: met, participants: [a, boss]}]", "task 'b' arrives here and is no participant"),
        ("[{id: met}, {id: alone}]", "sync point 'alone' needs at least two participants"),
        ("[{id: met, condition: 3}]", "3 can never arrive"),
        ("[{id: met}, {id: 'a/b', participants: [x, y]}]", "'a/b' is no name"),
    ],
)
def test_what_cannot_be_held_is_told_before_anything_is_started(sync: str, what: str) -> None:
    assert any(what in problem for problem in problems_of(f"sync: {sync}\n" + TASKS))


def test_tasks_that_wait_for_each_other_at_a_point_are_a_circle() -> None:
    tasks = "tasks:\n- {id: a, arrives_at: met}\n- {id: b, arrives_at: met, after: c}\n- {id: c, waits_for: met}\n"
    (problem,) = problems_of("sync: [{id: met}]\n" + tasks)
    assert "wait for each other at sync points in a circle" in problem


def test_a_majority_can_do_without_who_waits() -> None:
    tasks = "- {id: d, arrives_at: met, after: c}\n"
    load("sync: [{id: met, condition: majority}]\n" + TASKS + tasks)
