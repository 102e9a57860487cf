"""Progress trackers: each rule of the specification on them, and what they do beyond it."""

from typing import Any

import pytest

from concerted.errors import ConcertedError, Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Found, Look, Lost, Send, Step, Wake
from concerted.sync.trackers.progress import (
    KINDS,
    PARTICIPANTS,
    STEPS,
    Await,
    Cancel,
    Create,
    ProgressTracker,
    Request,
    State,
    Update,
    decide,
    evolve,
)
from concerted.values import AgentId, Instant

ANN, BOB, CY, EVE = (AgentId(name) for name in ("ann", "bob", "cy", "eve"))


def create(**changes: Any) -> Create:
    usual: dict[str, Any] = {"id": "p1", "by": ANN, "name": "index", "total_steps": 10, "participants": (BOB, CY)}
    return Create(**{**usual, **changes})


def taken(state: ProgressTracker | None, request: Request, now: Instant) -> tuple[ProgressTracker, Step]:
    step = decide(state, request, now)
    for event in step.events:
        assert event.kind in KINDS
        state = evolve(state, event, now)
    assert state is not None
    return state, step


def after(*requests: Request | tuple[Request, Instant]) -> ProgressTracker:
    """Return the state after requests, at the instants 1, 2, 3 ... unless they have their own."""
    state: ProgressTracker | None = None
    for at, request in enumerate(requests, 1):
        asked, now = request if isinstance(request, tuple) else (request, float(at))
        state, _ = taken(state, asked, now)
    assert state is not None
    return state


def events(state: ProgressTracker | None, request: Request, now: Instant = 9.0) -> list[tuple[str, str | None, Any]]:
    return [(event.kind, event.agent, event.data) for event in decide(state, request, now).events]


def kinds(state: ProgressTracker | None, request: Request, now: Instant = 9.0) -> list[str]:
    return [event.kind for event in decide(state, request, now).events]


def steps(state: ProgressTracker) -> dict[str, int]:
    return {agent: standing.step for agent, standing in state.standings.items()}


def refusal(state: ProgressTracker | None, request: Request, now: Instant = 9.0) -> ConcertedError:
    with pytest.raises(ConcertedError) as caught:
        decide(state, request, now)
    return caught.value


# creating


def test_creating_writes_down_everything_that_was_said() -> None:
    request = create(
        description="of the books", metadata={"x": 1}, weights={BOB: 2.0}, may_go_back=True, stalled_after_s=30.0,
        completes_with="participants",
    )  # fmt: skip
    step = decide(None, request, 1.0)
    assert [(event.kind, event.agent) for event in step.events] == [("progress.created", "ann")]
    assert step.events[0].data == {
        "id": "p1", "name": "index", "description": "of the books", "participants": ["bob", "cy"], "total": 2,
        "total_steps": 10, "metadata": {"x": 1}, "weights": {"bob": 2.0}, "may_go_back": True,
        "stalled_after_s": 30.0, "completes_with": "participants", "status": "active",
    }  # fmt: skip
    assert step.wake_at == 31.0


def test_creating_tells_all_participants() -> None:
    content = {"tracker_id": "p1", "name": "index", "description": "of the books", "total_steps": 10}
    assert decide(None, create(description="of the books"), 1.0).sends == (
        Send((BOB, CY), "PROGRESS_TRACKER_NOTIFICATION", content, "low", False),
    )


def test_there_need_be_no_participants() -> None:
    step = decide(None, create(participants=()), 1.0)
    assert (step.events[0].data["participants"], step.sends, step.wake_at) == ([], (), None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": ""}, "'' cannot name a progress tracker"),
        ({"total_steps": 0}, "it has 0 steps; at least one"),
        ({"total_steps": STEPS + 1}, f"at most {STEPS}"),
        ({"participants": (BOB, BOB)}, "bob is named 2 times"),
        ({"participants": (AgentId(""),)}, "'' cannot name an agent"),
        ({"weights": {EVE: 1.0}}, "eve has a weight and takes no part"),
        ({"weights": {BOB: -1.0}}, "bob has the weight -1.0"),
        ({"weights": {BOB: float("nan")}}, "bob has the weight nan"),
        ({"weights": {BOB: 0.0, CY: 0.0}}, "no participant has a weight above 0"),
        ({"stalled_after_s": 0.0}, "stalled_after_s is 0.0"),
        ({"participants": (), "completes_with": "participants"}, "cannot be completed by its participants"),
        ({"participants": tuple(AgentId(str(n)) for n in range(PARTICIPANTS + 1))}, f"more than {PARTICIPANTS}"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_tracker_that_cannot_be_is_not_made(changes: dict[str, Any], why: str) -> None:
    error = refusal(None, create(**changes))
    assert isinstance(error, Invalid)
    assert why in error.message


@pytest.mark.parametrize("request_", [Update(ANN, 1), Cancel(ANN), Look(), Await()])
def test_what_does_not_exist_is_not_found(request_: Request) -> None:
    assert isinstance(refusal(None, request_), NotFound)


@pytest.mark.parametrize("request_", [Wake(), Lost(BOB, "killed"), Found(BOB)])
def test_what_does_not_exist_cannot_be_woken_and_that_is_no_error(request_: Request) -> None:
    assert decide(None, request_, 1.0) == Step()


def test_the_same_creation_again_changes_nothing() -> None:
    request = create(stalled_after_s=30.0)
    assert decide(after(request), request, 2.0) == Step(wake_at=31.0)
    assert events(after(request, Update(ANN, 10)), request) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"name": "other"}, "name"),
        ({"description": "other"}, "description"),
        ({"total_steps": 11}, "total_steps"),
        ({"participants": (BOB, EVE)}, "participants"),
        ({"participants": (BOB,)}, "participants"),
        ({"metadata": {"x": 1}}, "metadata"),
        ({"weights": {BOB: 2.0}}, "weights"),
        ({"may_go_back": True}, "may_go_back"),
        ({"stalled_after_s": 5.0}, "stalled_after_s"),
        ({"completes_with": "participants"}, "completes_with"),
        ({"by": BOB}, "creator"),
    ],
)
def test_another_creation_under_the_same_id_is_a_conflict(changes: dict[str, Any], what: str) -> None:
    error = refusal(after(create()), create(**changes))
    assert isinstance(error, Conflict)
    assert error.facts["differences"] == [what]


# reporting


def test_the_creators_report_moves_the_current_step() -> None:
    state, step = taken(after(create()), Update(ANN, 3, {"pages": 7}), 2.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("progress.updated", "ann", {
            "name": "index", "step": 3, "total_steps": 10, "is_creator": True, "data": {"pages": 7},
            "was_step": 0, "current_step": 3, "was_percentage": 0.0, "percentage": 0.0,
        })
    ]  # fmt: skip
    assert (state.current_step, steps(state)) == (3, {"bob": 0, "cy": 0})


def test_a_participants_report_moves_its_own_step_and_not_the_current_one() -> None:
    state, step = taken(after(create(), Update(ANN, 1)), Update(BOB, 4), 3.0)
    assert (state.current_step, steps(state)) == (1, {"bob": 4, "cy": 0})
    assert step.events[0].data["is_creator"] is False
    assert step.events[0].data["percentage"] == 0.2


def test_a_creator_who_takes_part_moves_both() -> None:
    state = after(create(participants=(ANN, BOB)), Update(ANN, 4))
    assert (state.current_step, steps(state)) == (4, {"ann": 4, "bob": 0})


def test_the_creators_report_is_told_to_the_participants() -> None:
    content = {"tracker_id": "p1", "name": "index", "current_step": 3, "total_steps": 10, "completed": False}
    assert decide(after(create()), Update(ANN, 3), 2.0).sends == (
        Send((BOB, CY), "PROGRESS_UPDATE_NOTIFICATION", content, "low", False),
    )


def test_whoever_reports_is_not_told_of_it() -> None:
    (send,) = decide(after(create(participants=(ANN, BOB))), Update(ANN, 3), 2.0).sends
    assert send.to == (BOB,)
    assert decide(after(create(participants=(ANN,))), Update(ANN, 3), 2.0).sends == ()


def test_a_participants_report_is_not_told_to_the_others() -> None:
    assert decide(after(create()), Update(BOB, 10), 2.0).sends == ()


def test_a_stranger_may_not_report() -> None:
    error = refusal(after(create()), Update(EVE, 1))
    assert isinstance(error, NotAllowed)
    assert error.message == (
        "eve is neither a participant nor the creator of progress tracker index; who takes part is settled when it is "
        "made: ann can make another one that names eve"
    )


@pytest.mark.parametrize("step", [-1, 11])
def test_a_step_outside_of_the_work_is_invalid(step: int) -> None:
    error = refusal(after(create()), Update(BOB, step))
    assert isinstance(error, Invalid)
    assert error.message == f"step {step} is outside of progress tracker index, which has the steps 0 to 10"


@pytest.mark.parametrize(
    ("end", "how"), [(Update(ANN, 10), "completed 7.0 s ago"), (Cancel(ANN, "rain"), "cancelled 7.0 s ago (rain)")]
)
def test_after_its_end_nobody_can_report(end: Request, how: str) -> None:
    error = refusal(after(create(), end), Update(BOB, 5), 9.0)
    assert isinstance(error, WrongPhase)
    assert error.message == f"bob cannot report step 5: progress tracker index was {how}"


def test_steps_may_not_go_back() -> None:
    error = refusal(after(create(), Update(BOB, 5)), Update(BOB, 4))
    assert isinstance(error, WrongPhase)
    assert error.message == (
        "bob has reached step 5 of progress tracker index, and its steps may not go back to 4; ann can make one with "
        "may_go_back"
    )
    assert isinstance(refusal(after(create(), Update(ANN, 5)), Update(ANN, 4)), WrongPhase)


def test_steps_may_go_back_if_the_creator_said_so() -> None:
    state = after(create(may_go_back=True), Update(BOB, 10), Update(BOB, 4), Update(ANN, 5), Update(ANN, 2))
    assert (state.current_step, steps(state), state.finished) == (2, {"bob": 4, "cy": 0}, 0)
    assert (state.percentage, state.peak_step, state.peak) == (0.2, 5, 0.5)


@pytest.mark.parametrize("agent", [ANN, BOB])
def test_the_same_report_again_changes_nothing(agent: AgentId) -> None:
    state = after(create(stalled_after_s=30.0), Update(agent, 3, "x"))
    assert decide(state, Update(agent, 3, "x"), 9.0) == Step(wake_at=32.0)
    assert decide(state, Update(agent, 3), 9.0) == Step(wake_at=32.0)


def test_the_last_report_may_come_again_after_the_end() -> None:
    state = after(create(), Update(BOB, 4), Update(ANN, 10, "x"))
    assert events(state, Update(ANN, 10, "x")) == []
    assert events(state, Update(BOB, 4)) == []
    assert isinstance(refusal(state, Update(CY, 0)), WrongPhase)


def test_other_data_of_the_same_step_is_news() -> None:
    state = after(create(), Update(BOB, 3, "x"))
    assert kinds(state, Update(BOB, 3, "y")) == ["progress.updated"]
    assert kinds(after(create(), Update(BOB, 3, "x"), Update(CY, 3, "y")), Update(BOB, 3, "x")) == ["progress.updated"]


def test_a_first_report_of_step_0_is_news() -> None:
    assert kinds(after(create()), Update(BOB, 0)) == ["progress.updated"]


# completing


def test_the_creators_last_step_completes_it() -> None:
    state, step = taken(after(create(), Update(BOB, 5)), Update(ANN, 10), 3.0)
    assert [(event.kind, event.agent) for event in step.events] == [
        ("progress.updated", "ann"), ("progress.completed", "ann")
    ]  # fmt: skip
    assert step.events[1].data == {
        "status": "completed", "name": "index", "current_step": 10, "total_steps": 10, "percentage": 0.25
    }  # fmt: skip
    assert [(send.type, send.to, send.content["completed"]) for send in step.sends] == [
        ("PROGRESS_UPDATE_NOTIFICATION", (BOB, CY), True)
    ]
    assert state.ending is not None
    assert (state.status, state.ending.at, state.ending.by) == ("completed", 3.0, "ann")


def test_participants_alone_do_not_complete_it_unless_that_was_said() -> None:
    assert after(create(), Update(BOB, 10), Update(CY, 10)).status == "active"


def test_all_participants_complete_it_if_that_was_said() -> None:
    state = after(create(completes_with="participants"), Update(ANN, 10), Update(BOB, 10))
    assert state.status == "active"
    state, step = taken(state, Update(CY, 10), 4.0)
    assert [event.kind for event in step.events] == ["progress.updated", "progress.completed"]
    assert [(send.to, send.content["completed"]) for send in step.sends] == [((BOB,), True)]
    assert (state.status, state.percentage) == ("completed", 1.0)


# percentage


def test_the_percentage_is_the_mean_of_the_participants() -> None:
    assert after(create(), Update(BOB, 5), Update(CY, 2), Update(ANN, 9)).percentage == 0.35


def test_the_percentage_is_the_creators_if_nobody_takes_part() -> None:
    assert after(create(participants=()), Update(ANN, 4)).percentage == 0.4


def test_weights_say_how_much_each_share_counts() -> None:
    assert after(create(weights={BOB: 3.0}), Update(BOB, 10)).percentage == 0.75
    assert after(create(weights={BOB: 0.0}), Update(BOB, 10)).percentage == 0.0


def test_when_all_have_finished_it_is_exactly_one() -> None:
    state = after(create(weights={BOB: 0.1, CY: 0.2}, total_steps=3), *(Update(BOB, n) for n in (1, 2, 3)))
    state = evolve(state, decide(state, Update(CY, 3), 9.0).events[0], 9.0)
    assert state.percentage == 1.0


# stalling


def test_without_an_update_for_so_long_it_is_stalled_once() -> None:
    state = after(create(stalled_after_s=30.0), Update(BOB, 1))
    assert decide(state, Wake(), 31.0) == Step(wake_at=32.0)
    state, step = taken(state, Wake(), 40.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("progress.stalled", None, {"name": "index", "deadline_at": 32.0, "since": 2.0})
    ]
    assert (state.stalled_at, step.wake_at) == (32.0, None)
    assert decide(state, Wake(), 99.0) == Step()


def test_an_update_ends_the_stall() -> None:
    state = after(create(stalled_after_s=30.0), (Wake(), 40.0))
    state, step = taken(state, Update(BOB, 1), 41.0)
    assert [(event.kind, event.agent) for event in step.events] == [
        ("progress.resumed", "bob"), ("progress.updated", "bob")
    ]  # fmt: skip
    assert step.events[0].data == {"name": "index", "stalled_s": 10.0}
    assert (state.stalled_at, step.wake_at) == (None, 71.0)


def test_an_update_that_comes_too_late_finds_it_stalled_though_nobody_has_noticed() -> None:
    state = after(create(stalled_after_s=30.0))
    assert kinds(state, Update(BOB, 1), 31.0) == ["progress.stalled", "progress.resumed", "progress.updated"]
    assert kinds(state, Update(BOB, 1), 30.9) == ["progress.updated"]


def test_a_repeated_report_does_not_end_a_stall() -> None:
    state = after(create(stalled_after_s=30.0), Update(BOB, 1), (Wake(), 40.0))
    assert events(state, Update(BOB, 1), 41.0) == []


def test_a_look_at_a_late_tracker_changes_nothing_and_asks_for_the_wake() -> None:
    assert decide(after(create(stalled_after_s=30.0)), Look(), 50.0) == Step(wake_at=50.0)


@pytest.mark.parametrize("end", [Update(ANN, 10), Cancel(ANN)])
def test_what_has_ended_is_never_stalled(end: Request) -> None:
    state, step = taken(after(create(stalled_after_s=30.0)), end, 2.0)
    assert step.wake_at is None
    assert decide(state, Wake(), 99.0) == Step()
    assert after(create(stalled_after_s=30.0), (Wake(), 40.0), (end, 41.0)).stalled_at is None


def test_nobody_who_may_take_their_time_is_woken() -> None:
    assert decide(after(create()), Update(ANN, 1), 2.0).wake_at is None


# cancelling


def test_the_creator_may_cancel_it_with_a_reason() -> None:
    state, step = taken(after(create()), Cancel(ANN, "rain"), 2.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("progress.cancelled", "ann", {"status": "cancelled", "name": "index", "reason": "rain"})
    ]
    content = {"tracker_id": "p1", "name": "index", "reason": "rain", "cancelled_by": "ann"}
    assert step.sends == (Send((BOB, CY), "PROGRESS_TRACKER_CANCELLED", content, "low"),)
    assert state.status == "cancelled"


def test_without_a_reason_it_says_so() -> None:
    assert events(after(create()), Cancel(ANN))[0][2]["reason"] == "No reason provided"


def test_nobody_else_but_an_admin_may_cancel_it() -> None:
    error = refusal(after(create()), Cancel(BOB))
    assert isinstance(error, NotAllowed)
    assert error.message == "bob may not cancel progress tracker index; its creator ann or an admin can"
    assert kinds(after(create()), Cancel(EVE, is_admin=True)) == ["progress.cancelled"]
    assert isinstance(refusal(after(create()), Cancel(AgentId("admin"))), NotAllowed)


@pytest.mark.parametrize("end", [Update(ANN, 10), Cancel(ANN, "rain")])
def test_a_second_cancellation_changes_nothing(end: Request) -> None:
    assert decide(after(create(), end), Cancel(ANN, "again"), 9.0) == Step()


# who is gone


@pytest.mark.parametrize("agent", [ANN, BOB])
def test_the_loss_of_who_reports_is_noted_once(agent: AgentId) -> None:
    state = after(create(), Lost(agent, "killed"))
    assert events(after(create()), Lost(agent, "killed")) == [
        ("progress.participant_lost", agent, {"reason": "killed"})
    ]
    assert events(state, Lost(agent, "killed again")) == []
    assert events(state, Found(agent)) == [("progress.participant_found", agent, {})]
    assert after(create(), Lost(agent, "killed"), Found(agent)) == after(create())


def test_who_reports_is_not_gone() -> None:
    assert "bob" not in after(create(), Lost(BOB, "killed"), Update(BOB, 1)).lost


def test_the_loss_of_a_stranger_or_after_the_end_is_no_news() -> None:
    assert events(after(create()), Lost(EVE, "killed")) == []
    assert events(after(create()), Found(BOB)) == []
    assert events(after(create(), Cancel(ANN)), Lost(BOB, "killed")) == []


# awaiting


def test_to_await_changes_nothing() -> None:
    assert decide(after(create(stalled_after_s=30.0)), Await(EVE, step=3), 2.0) == Step(wake_at=31.0)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Await(step=11), "index never reaches step 11; it has 10"),
        (Await(step=-1), "never reaches step -1"),
        (Await(percentage=1.5), "percentage is 1.5; it is given as a level of 0..1"),
        (Await(step=1, percentage=0.5), "for a step or for a percentage, not for both"),
    ],
)
def test_what_can_never_come_cannot_be_awaited(request_: Request, why: str) -> None:
    error = refusal(after(create()), request_)
    assert isinstance(error, Invalid)
    assert why in error.message


def test_the_machine_says_which_state_is_its_own() -> None:
    assert State is ProgressTracker
