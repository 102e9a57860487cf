"""Laws of claims: whatever happens in whatever order, epochs grow and a task is accepted at most once."""

from hypothesis import given
from hypothesis import strategies as st

from concerted.board.task import (
    Cancel,
    Claim,
    Complete,
    Fail,
    MakeReady,
    Postpone,
    Release,
    Request,
    TaskState,
    attempts_left,
    decide,
    evolve,
)
from concerted.errors import Invalid, WrongPhase
from concerted.machine import Event
from concerted.values import AgentId, Task, TaskId

agents = st.sampled_from([AgentId("ann"), AgentId("bob"), AgentId("cy")])
epochs = st.integers(0, 6)
answers = st.sampled_from(["failed", "timeout", "refused", "lost", "cancelled"])
requests: st.SearchStrategy[Request] = st.one_of(
    st.just(MakeReady()),
    st.builds(Claim, agents, st.just(30.0)),
    st.builds(Complete, agents, epochs, st.integers()),
    st.builds(Release, epochs, answers, st.text(max_size=3)),
    st.builds(Postpone, st.text(max_size=3)),
    st.builds(Fail, st.text(max_size=3)),
    st.builds(Cancel, st.text(max_size=3)),
)  # fmt: skip
histories = st.lists(requests, max_size=30)
tasks = st.builds(Task, id=st.just(TaskId("t")), retries=st.integers(0, 3), after=st.sampled_from([(), (TaskId("s"),)]))


def live(task: Task, history: list[Request]) -> tuple[list[Event], list[TaskState]]:
    """Let a task live through requests, wrong ones included; return its events and its states."""
    states = [TaskState(task)]
    log: list[Event] = []
    for at, request in enumerate(history):
        try:
            step = decide(states[-1], request, float(at))
        except (WrongPhase, Invalid):
            continue
        for event in step.events:
            log.append(event)
            states.append(evolve(states[-1], event, float(at)))
    return log, states


@given(tasks, histories)
def test_epochs_only_grow_and_each_claim_has_its_own(task: Task, history: list[Request]) -> None:
    log, states = live(task, history)
    given_out = [event.data["epoch"] for event in log if event.kind == "task.claimed"]
    assert given_out == list(range(1, len(given_out) + 1))
    assert [state.epoch for state in states] == sorted(state.epoch for state in states)


@given(tasks, histories)
def test_a_result_is_accepted_at_most_once_and_only_from_the_newest_claim(task: Task, history: list[Request]) -> None:
    log, _ = live(task, history)
    newest = 0
    accepted = []
    for event in log:
        if event.kind == "task.claimed":
            newest = event.data["epoch"]
        if event.kind == "task.done":
            accepted.append(event.data["epoch"])
            assert event.data["epoch"] == newest
    assert len(accepted) <= 1


@given(tasks, histories)
def test_an_ended_task_never_changes(task: Task, history: list[Request]) -> None:
    _, states = live(task, history)
    ends = [state for state in states if state.is_over]
    assert all(state == ends[0] for state in ends)


@given(tasks, histories)
def test_a_task_has_no_more_failed_attempts_than_it_may(task: Task, history: list[Request]) -> None:
    log, states = live(task, history)
    failed = [event for event in log if event.kind == "task.released" and event.data["status"] in ("failed", "timeout")]
    assert len(failed) <= task.retries + 1
    assert [event.data["attempts_left"] for event in failed] == [task.retries - n for n in range(len(failed))]
    assert attempts_left(states[-1]) == task.retries + 1 - len(failed)


@given(tasks, histories)
def test_the_events_alone_lead_to_the_same_state(task: Task, history: list[Request]) -> None:
    log, states = live(task, history)
    again = TaskState(task)
    for event in log:
        again = evolve(again, event, 0.0)
    last = states[-1]
    assert (again.status, again.agent, again.epoch, again.result, again.reason) == (
        last.status, last.agent, last.epoch, last.result, last.reason
    )  # fmt: skip
