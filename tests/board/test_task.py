"""A task on the board: claims, epochs, retries, and every wrong turn."""

from dataclasses import replace
from typing import Any

import pytest

from concerted.board.task import (
    LOSSES,
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
    result_of,
)
from concerted.errors import Invalid, WrongPhase
from concerted.kinds import KINDS
from concerted.values import AgentId, Task, TaskId

ANN, BOB = AgentId("ann"), AgentId("bob")
READY = TaskState(Task(id=TaskId("t"), retries=2), "ready")


def after(state: TaskState, *requests: Request) -> TaskState:
    """Return the state after requests at the instants 1, 2, 3 ..."""
    for at, request in enumerate(requests, 1):
        for event in decide(state, request, float(at)).events:
            assert event.kind in KINDS
            state = evolve(state, event, float(at))
    return state


def events(state: TaskState, request: Request) -> list[tuple[str, dict[str, Any]]]:
    return [(event.kind, event.data) for event in decide(state, request, 9.0).events]


def held(by: AgentId = ANN) -> TaskState:
    return after(READY, Claim(by, 30.0))


# the way of a task that goes well


def test_a_task_that_comes_after_others_becomes_ready_once() -> None:
    pending = TaskState(Task(id=TaskId("t"), after=(TaskId("s"),)))
    assert events(pending, MakeReady()) == [("task.ready", {})]
    assert events(after(pending, MakeReady()), MakeReady()) == []


def test_a_claim_gives_the_task_to_one_agent_under_the_next_epoch() -> None:
    assert events(READY, Claim(ANN, 30.0)) == [("task.claimed", {"epoch": 1, "attempt": 1, "lease_s": 30.0})]
    state = held()
    assert (state.status, state.agent, state.epoch, state.started_at) == ("running", "ann", 1, 1.0)


def test_a_claim_is_to_be_looked_at_again_when_its_lease_would_end() -> None:
    assert decide(READY, Claim(ANN, 30.0), 5.0).wake_at == 35.0


def test_a_result_under_the_current_epoch_is_accepted() -> None:
    state = after(READY, Claim(ANN, 30.0), Complete(ANN, 1, {"pages": 3}))
    assert result_of(state).result == {"pages": 3}
    assert (state.status, state.started_at, state.ended_at) == ("done", 1.0, 2.0)


def test_the_result_shows_who_did_it_under_which_claim() -> None:
    state = after(READY, Claim(ANN, 30.0), Release(1, "lost", "killed"), Claim(BOB, 30.0), Complete(BOB, 2, "ok"))
    shown = result_of(state)
    assert (shown.status, shown.agent, shown.attempts, shown.epoch, shown.error) == ("done", "bob", 2, 2, None)


# two who believe that they hold it


def test_a_task_that_is_held_cannot_be_claimed() -> None:
    with pytest.raises(WrongPhase, match="task t is running by ann under claim 1; only a ready task can be claimed"):
        decide(held(), Claim(BOB, 30.0), 2.0)


def test_a_result_of_an_old_claim_is_refused_and_kept_as_evidence() -> None:
    state = after(READY, Claim(ANN, 30.0), Release(1, "lost", "killed"), Claim(BOB, 30.0))
    assert events(state, Complete(ANN, 1, "late")) == [
        ("result.refused", {"task": "t", "epoch": 1, "current_epoch": 2, "value": "late"})
    ]
    assert after(state, Complete(ANN, 1, "late")) == state


def test_a_result_that_comes_after_its_claim_was_released_is_refused_though_nobody_holds_the_task() -> None:
    state = after(READY, Claim(ANN, 30.0), Release(1, "timeout", "too slow"))
    assert [kind for kind, _ in events(state, Complete(ANN, 1, "late"))] == ["result.refused"]


def test_the_same_result_twice_is_accepted_once() -> None:
    done = after(held(), Complete(ANN, 1, "ok"))
    assert events(done, Complete(ANN, 1, "ok")) == []


def test_a_release_of_an_old_claim_changes_nothing() -> None:
    state = after(READY, Claim(ANN, 30.0), Release(1, "lost", "killed"), Claim(BOB, 30.0))
    assert events(state, Release(1, "lost", "killed again")) == []


@pytest.mark.parametrize("request_", [Complete(ANN, 2), Release(2, "lost", ""), Complete(ANN, 0)])
def test_an_epoch_that_was_never_given_is_an_error(request_: Request) -> None:
    with pytest.raises(Invalid, match=r"never claimed under epoch \d; its newest is 1"):
        decide(held(), request_, 2.0)


# attempts


def test_a_failed_attempt_leaves_one_less() -> None:
    assert events(held(), Release(1, "failed", "no such file")) == [
        ("task.released", {"epoch": 1, "status": "failed", "reason": "no such file", "attempts_left": 2})
    ]


def test_the_task_fails_with_its_last_attempt_and_says_why() -> None:
    state = READY
    for epoch in (1, 2):
        state = after(state, Claim(ANN, 30.0), Release(epoch, "failed", "no such file"))
        assert state.status == "ready"
    state = after(state, Claim(BOB, 30.0), Release(3, "timeout", "took too long"))
    assert state.status == "failed"
    assert result_of(state).error == "took too long (attempt 3 of bob, the last)"


def test_without_retries_one_failure_is_the_end() -> None:
    state = replace(READY, task=Task(id=TaskId("t"), retries=0))
    assert after(state, Claim(ANN, 30.0), Release(1, "failed", "no")).status == "failed"


@pytest.mark.parametrize("status", ["refused", "lost", "cancelled"])
def test_what_is_not_the_fault_of_the_task_costs_no_attempt(status: Any) -> None:
    state = after(held(), Release(1, status, "not me"))
    assert (state.status, attempts_left(state)) == ("ready", 3)


def test_a_task_that_all_its_holders_die_of_is_given_up() -> None:
    state = READY
    for epoch in range(1, LOSSES + 1):
        assert state.status == "ready"
        state = after(state, Claim(ANN, 30.0), Release(epoch, "lost", "its process ended"))
    assert state.status == "failed"
    assert result_of(state).error == f"{LOSSES} agents were lost while they did it; the last: ann, its process ended"


# waiting, giving up, calling off


def test_why_a_task_waits_is_said_once_for_each_reason() -> None:
    assert events(READY, Postpone("nobody can")) == [("task.waiting", {"reason": "nobody can"})]
    waiting = after(READY, Postpone("nobody can"))
    assert waiting.reason == "nobody can"
    assert events(waiting, Postpone("nobody can")) == []
    assert events(waiting, Postpone("all busy")) == [("task.waiting", {"reason": "all busy"})]


def test_a_claim_clears_the_reason_for_waiting() -> None:
    assert after(READY, Postpone("nobody can"), Claim(ANN, 30.0)).reason is None


def test_a_task_that_is_held_does_not_wait() -> None:
    with pytest.raises(WrongPhase, match="only a ready task can wait"):
        decide(held(), Postpone("why"), 2.0)


@pytest.mark.parametrize(("request_", "status"), [(Fail("no"), "failed"), (Cancel("no"), "cancelled")])
@pytest.mark.parametrize("state", [TaskState(Task(id=TaskId("t"))), READY, held()])
def test_an_unfinished_task_can_be_given_up_or_called_off(state: TaskState, request_: Request, status: str) -> None:
    ended = after(state, request_)
    assert (ended.status, ended.reason, ended.is_over) == (status, "no", True)


@pytest.mark.parametrize("request_", [Fail("no"), Cancel("no"), MakeReady()])
def test_what_is_over_stays_as_it_is(request_: Request) -> None:
    done = after(held(), Complete(ANN, 1, "ok"))
    for over in (done, after(READY, Fail("why")), after(READY, Cancel("why"))):
        assert events(over, request_) == []


def test_a_result_for_a_task_that_was_called_off_is_refused() -> None:
    called_off = after(held(), Cancel("the run ended"))
    assert [kind for kind, _ in events(called_off, Complete(ANN, 1, "late"))] == ["result.refused"]


def test_events_of_other_things_change_nothing() -> None:
    refused = decide(after(held(), Complete(ANN, 1, "ok")), Fail("x"), 3.0).events
    assert refused == ()
    late = decide(after(held(), Release(1, "lost", "x")), Complete(ANN, 1), 3.0).events[0]
    assert evolve(READY, late, 3.0) is READY


def test_an_open_task_names_no_agent() -> None:
    state = after(held(), Release(1, "refused", "not now"))
    shown = result_of(state)
    assert (shown.status, shown.agent, shown.error) == ("ready", None, "not now")
