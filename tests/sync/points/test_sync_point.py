"""A sync point: each rule of the specification on them, and what they do beyond it."""

from typing import Any

import pytest

from concerted.errors import ConcertedError, Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.sync.points.predicate import ALL, MAJORITY, Condition, View, register
from concerted.sync.points.sync_point import (
    ERRORS,
    KINDS,
    MESSAGE_DATA_BYTES,
    PARTICIPANTS,
    SHOWN,
    Add,
    Arrive,
    Await,
    Cancel,
    Complete,
    Create,
    Request,
    State,
    SyncPoint,
    decide,
    evolve,
)
from concerted.values import AgentId, Instant

ANN, BOB, CY, DEE, EVE = (AgentId(name) for name in ("ann", "bob", "cy", "dee", "eve"))


def create(**changes: Any) -> Create:
    usual: dict[str, Any] = {"id": "s1", "by": ANN, "name": "stand-up", "participants": (BOB, CY, DEE)}
    return Create(**{**usual, **changes})


def cel(text: str, **changes: Any) -> Create:
    return create(condition=Condition("predicate", text=text), **changes)


def taken(state: SyncPoint | None, request: Request, now: Instant) -> tuple[SyncPoint, Step]:
    step = decide(state, request, now)
    for event in step.events:
        assert event.kind in KINDS
        state = evolve(state, event, now)
    assert state is not None
    return state, step


def after(*requests: Request | tuple[Request, Instant]) -> SyncPoint:
    """Return the state after requests, at the instants 1, 2, 3 ... unless they have their own."""
    state: SyncPoint | None = None
    for at, request in enumerate(requests, 1):
        asked, now = request if isinstance(request, tuple) else (request, float(at))
        state, _ = taken(state, asked, now)
    assert state is not None
    return state


def events(
    state: SyncPoint | None, request: Request, now: Instant = 9.0
) -> list[tuple[str, str | None, dict[str, Any]]]:
    return [(event.kind, event.agent, event.data) for event in decide(state, request, now).events]


def kinds(state: SyncPoint | None, request: Request, now: Instant = 9.0) -> list[str]:
    return [event.kind for event in decide(state, request, now).events]


def refusal(state: SyncPoint | None, request: Request, now: Instant = 9.0) -> ConcertedError:
    with pytest.raises(ConcertedError) as caught:
        decide(state, request, now)
    return caught.value


# creating


def test_creating_writes_down_everything_that_was_said() -> None:
    request = create(
        description="daily", deadline_at=60.0, metadata={"room": 3}, condition=MAJORITY, check_interval_s=0.5
    )
    step = decide(None, request, 1.0)
    assert [(event.kind, event.agent) for event in step.events] == [("sync_point.created", "ann")]
    assert step.events[0].data == {
        "id": "s1", "name": "stand-up", "description": "daily", "participants": ["bob", "cy", "dee"], "total": 3,
        "condition": {"type": "majority"}, "deadline_at": 60.0, "metadata": {"room": 3}, "check_interval_s": 0.5,
        "status": "waiting",
    }  # fmt: skip
    assert step.wake_at == 60.0


def test_creating_invites_all_participants_and_wants_an_acknowledgment() -> None:
    step = decide(None, create(description="daily", deadline_at=60.0), 1.0)
    content = {"sync_point_id": "s1", "name": "stand-up", "description": "daily", "deadline": 60.0}
    assert step.sends == (Send((BOB, CY, DEE), "SYNC_POINT_NOTIFICATION", content, "medium", True),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": ""}, "'' cannot name a sync point"),
        ({"participants": ()}, "it needs at least two participants and has 0"),
        ({"participants": (BOB,)}, "it needs at least two participants and has 1"),
        ({"participants": (BOB, CY, BOB)}, "bob is named 2 times"),
        ({"participants": (BOB, AgentId(" "))}, "' ' cannot name an agent"),
        ({"condition": Condition("count", count=4)}, "between 1 and 3"),
        ({"condition": Condition("predicate", text="size(")}, "does not parse"),
        ({"condition": Condition("predicate", text="size(arrived)")}, "of type IntType, neither true nor false"),
        ({"deadline_at": 1.0}, "its deadline 1.0 is not in the future; it is 1.0 now"),
        ({"deadline_at": float("inf")}, "its deadline inf is not in the future"),
        ({"deadline_at": float("nan")}, "its deadline nan is not in the future"),
        ({"check_interval_s": 0.0}, "check_interval_s is 0.0; at least 0.01"),
    ],
)
def test_a_point_that_cannot_be_is_not_made(changes: dict[str, Any], why: str) -> None:
    error = refusal(None, create(**changes), 1.0)
    assert isinstance(error, Invalid)
    assert why in error.message


def test_every_problem_is_listed_at_once() -> None:
    error = refusal(None, create(name="", participants=(BOB,), deadline_at=0.5), 1.0)
    assert len(error.facts["problems"]) == 3


def test_the_participants_have_a_bound() -> None:
    many = tuple(AgentId(str(number)) for number in range(PARTICIPANTS + 1))
    assert f"more than {PARTICIPANTS}" in refusal(None, create(participants=many), 1.0).message


def test_a_function_that_nobody_registered_is_not_found() -> None:
    error = refusal(None, create(condition=Condition("function", name="nobody's")), 1.0)
    assert isinstance(error, NotFound)
    assert "@register" in error.message


def test_without_a_deadline_there_is_none() -> None:
    assert decide(None, create(), 1.0).wake_at is None
    assert kinds(after(create()), Wake(), 1e12) == []


@pytest.mark.parametrize("request_", [Arrive(BOB), Complete(ANN), Cancel(ANN), Add(ANN, (EVE,)), Look(), Await(ANN)])
def test_what_does_not_exist_is_not_found(request_: Request) -> None:
    assert isinstance(refusal(None, request_), NotFound)


@pytest.mark.parametrize("request_", [Wake(), Lost(BOB, "killed"), Found(BOB)])
def test_what_does_not_exist_cannot_be_woken_and_that_is_no_error(request_: Request) -> None:
    assert decide(None, request_, 1.0) == Step()


def test_the_same_creation_again_changes_nothing() -> None:
    request = create(deadline_at=60.0)
    assert decide(after(request), request, 2.0) == Step(wake_at=60.0)
    assert events(after(request, Arrive(BOB), Add(ANN, (EVE,)), Cancel(ANN)), request) == []
    assert events(after(request), request, 99.0)[0][0] == "sync_point.expired"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"name": "other"}, "name"),
        ({"description": "other"}, "description"),
        ({"participants": (BOB, CY)}, "participants"),
        ({"participants": (BOB, CY, EVE)}, "participants"),
        ({"condition": MAJORITY}, "condition"),
        ({"deadline_at": 61.0}, "deadline_at"),
        ({"metadata": {"x": 1}}, "metadata"),
        ({"check_interval_s": 1.0}, "check_interval_s"),
        ({"by": BOB}, "creator"),
    ],
)
def test_another_creation_under_the_same_id_is_a_conflict(changes: dict[str, Any], what: str) -> None:
    error = refusal(after(create(deadline_at=60.0)), create(**{"deadline_at": 60.0, **changes}))
    assert isinstance(error, Conflict)
    assert error.facts["differences"] == [what]


# arriving


def test_an_arrival_is_counted() -> None:
    assert events(after(create()), Arrive(BOB, {"pages": 3})) == [
        ("sync_point.arrived", "bob", {"name": "stand-up", "data": {"pages": 3}, "arrived": 1, "total": 3})
    ]


def test_a_stranger_may_not_arrive() -> None:
    error = refusal(after(create()), Arrive(EVE))
    assert isinstance(error, NotAllowed)
    assert error.message == "eve is not a participant of sync point stand-up; its creator ann can add eve"


def test_the_creator_is_no_participant_unless_named() -> None:
    assert isinstance(refusal(after(create()), Arrive(ANN)), NotAllowed)


def test_the_second_arrival_changes_nothing_and_succeeds() -> None:
    state = after(create(), Arrive(BOB, "first"))
    assert decide(state, Arrive(BOB, "second"), 3.0) == Step()
    assert state.arrivals["bob"].data == "first"


@pytest.mark.parametrize("end", [Complete(ANN), Cancel(ANN), (Wake(), 60.0)], ids=["completed", "cancelled", "expired"])
def test_the_second_arrival_succeeds_also_after_the_end(end: Any) -> None:
    state = after(create(deadline_at=60.0), Arrive(BOB), end)
    assert decide(state, Arrive(BOB), 70.0) == Step()


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (Complete(ANN), "bob comes too late: sync point stand-up was completed 7.0 s ago"),
        (Cancel(ANN, "rain"), "bob comes too late: sync point stand-up was cancelled 7.0 s ago (rain)"),
        ((Wake(), 5.0), "bob comes too late: sync point stand-up expired at its deadline 4.0 s ago"),
    ],
)
def test_whoever_has_not_arrived_before_the_end_is_refused_and_told_how_it_ended(end: Any, how: str) -> None:
    error = refusal(after(create(deadline_at=5.0), end), Arrive(BOB), 9.0)
    assert isinstance(error, WrongPhase)
    assert error.message == how
    assert error.facts["completed_at"] == (5.0 if "expired" in how else 2.0)


@pytest.mark.parametrize("now", [5.0, 5.1, 500.0])
def test_an_arrival_at_or_after_the_deadline_is_refused_even_if_no_timer_has_fired(now: Instant) -> None:
    error = refusal(after(create(deadline_at=5.0)), Arrive(BOB), now)
    assert isinstance(error, WrongPhase)
    assert "expired at its deadline" in error.message


def test_an_arrival_just_before_the_deadline_counts() -> None:
    assert kinds(after(create(deadline_at=5.0)), Arrive(BOB), 4.999) == ["sync_point.arrived"]


# completing


def test_the_last_arrival_completes_it() -> None:
    state = after(create(deadline_at=60.0), Arrive(BOB, 1), Arrive(CY))
    step = decide(state, Arrive(DEE), 4.0)
    assert [(event.kind, event.agent) for event in step.events] == [
        ("sync_point.arrived", "dee"), ("sync_point.completed", None)
    ]  # fmt: skip
    assert step.events[1].data == {"status": "completed", "name": "stand-up", "arrived": 3, "total": 3, "reason": None}
    assert step.wake_at is None


def test_a_completion_is_told_in_one_message_with_the_fields_of_both_documents() -> None:
    (send,) = decide(after(create(), Arrive(CY, 1), Arrive(BOB)), Arrive(DEE, {"x": 2}), 4.0).sends
    assert (send.to, send.type) == ((BOB, CY, DEE), "SYNC_POINT_COMPLETED")
    assert (send.priority, send.requires_acknowledgment) == ("medium", False)
    assert send.content == {
        "sync_point_id": "s1", "name": "stand-up", "arrived_participants": ["bob", "cy", "dee"],
        "arrived": 3, "total": 3,
        "sync_id": "s1", "arrived_agents": ["bob", "cy", "dee"], "sync_data": {"cy": 1, "dee": {"x": 2}},
        "triggered_at": 4.0,
    }  # fmt: skip


def test_much_data_is_not_in_the_message() -> None:
    (send,) = decide(after(create(), Arrive(CY, "x" * MESSAGE_DATA_BYTES), Arrive(BOB)), Arrive(DEE), 4.0).sends
    assert send.content["sync_data"] is None
    assert send.content["arrived_agents"] == ["bob", "cy", "dee"]


def test_of_very_many_participants_the_message_has_only_numbers() -> None:
    many = tuple(AgentId(f"a{number:04}") for number in range(SHOWN + 1))
    (send,) = decide(after(create(participants=many)), Complete(ANN), 4.0).sends
    assert (send.content["arrived_participants"], send.content["arrived"], send.content["total"]) == (
        None,
        0,
        SHOWN + 1,
    )
    assert len(send.to) == SHOWN + 1


@pytest.mark.parametrize(
    ("condition", "needed"),
    [(ALL, 3), (MAJORITY, 2), (Condition("count", count=1), 1)],
    ids=["all", "majority", "count"],
)
def test_it_completes_when_its_condition_holds_and_not_before(condition: Condition, needed: int) -> None:
    state = after(create(condition=condition))
    for number, agent in enumerate((BOB, CY, DEE)[:needed], 1):
        assert state.status == "waiting"
        state, step = taken(state, Arrive(agent), 2.0)
        assert ("sync_point.completed" in [event.kind for event in step.events]) == (number == needed)
    assert state.status == "completed"


def test_the_creator_may_complete_it_by_hand() -> None:
    state, step = taken(after(create(), Arrive(BOB)), Complete(ANN), 3.0)
    assert [(event.kind, event.agent) for event in step.events] == [("sync_point.completed", "ann")]
    assert step.events[0].data["reason"] == "completed by ann"
    assert step.sends[0].content["arrived_agents"] == ["bob"]
    assert state.status == "completed"


def test_nobody_else_but_an_admin_may_complete_it_by_hand() -> None:
    error = refusal(after(create()), Complete(BOB))
    assert isinstance(error, NotAllowed)
    assert error.message == "bob may not complete sync point stand-up; its creator ann or an admin can"
    assert kinds(after(create()), Complete(BOB, is_admin=True)) == ["sync_point.completed"]


def test_it_ends_once() -> None:
    for ended in (
        after(create(), Complete(ANN)),
        after(create(), Cancel(ANN)),
        after(create(deadline_at=2.0), (Wake(), 3.0)),
    ):
        for request in (Complete(ANN), Cancel(ANN, "again"), Wake(), Lost(CY, "killed"), Found(CY), Await(ANN), Look()):
            assert decide(ended, request, 99.0) == Step()


# expiring


def test_at_its_deadline_it_expires_with_the_deadlines_time() -> None:
    state, step = taken(after(create(deadline_at=60.0), Arrive(BOB)), Wake(), 75.0)
    assert [(event.kind, event.agent) for event in step.events] == [("sync_point.expired", None)]
    assert step.events[0].data == {
        "status": "expired", "name": "stand-up", "arrived": 1, "total": 3, "reason": "timeout", "deadline_at": 60.0
    }  # fmt: skip
    assert state.ending is not None
    assert (state.status, state.ending.at) == ("expired", 60.0)
    assert step.sends == (
        Send(
            (BOB, CY, DEE),
            "SYNC_POINT_EXPIRED",
            {"sync_point_id": "s1", "name": "stand-up", "arrived_participants": ["bob"], "arrived": 1, "total": 3,
             "deadline": 60.0},
        ),
    )  # fmt: skip


def test_a_wake_before_the_deadline_does_nothing_and_asks_for_another() -> None:
    assert decide(after(create(deadline_at=60.0)), Wake(), 59.0) == Step(wake_at=60.0)


def test_a_point_that_was_completed_in_time_does_not_expire() -> None:
    state = after(create(deadline_at=60.0), Arrive(BOB), Arrive(CY), Arrive(DEE))
    assert decide(state, Wake(), 61.0) == Step()


@pytest.mark.parametrize("request_", [Cancel(ANN, "late"), Complete(ANN), Await(ANN), Arrive(BOB)])
def test_whatever_comes_after_the_deadline_finds_it_expired(request_: Request) -> None:
    state = after(create(deadline_at=60.0), Arrive(BOB))
    assert kinds(state, request_, 61.0) == ["sync_point.expired"]


def test_a_look_after_the_deadline_changes_nothing_and_asks_for_the_wake() -> None:
    assert decide(after(create(deadline_at=60.0)), Look(), 61.0) == Step(wake_at=61.0)


# cancelling


def test_the_creator_may_cancel_it_with_a_reason() -> None:
    state, step = taken(after(create(deadline_at=60.0), Arrive(BOB)), Cancel(ANN, "rain"), 3.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("sync_point.cancelled", "ann",
         {"status": "cancelled", "name": "stand-up", "arrived": 1, "total": 3, "reason": "rain"})
    ]  # fmt: skip
    assert step.sends == (
        Send(
            (BOB, CY, DEE),
            "SYNC_POINT_CANCELLED",
            {"sync_point_id": "s1", "name": "stand-up", "arrived_participants": ["bob"], "arrived": 1, "total": 3,
             "reason": "rain", "cancelled_by": "ann"},
        ),
    )  # fmt: skip
    assert (state.status, step.wake_at) == ("cancelled", None)


def test_without_a_reason_it_says_so() -> None:
    assert events(after(create()), Cancel(ANN))[0][2]["reason"] == "No reason provided"


def test_nobody_else_but_an_admin_may_cancel_it() -> None:
    error = refusal(after(create()), Cancel(BOB))
    assert isinstance(error, NotAllowed)
    assert error.message == "bob may not cancel sync point stand-up; its creator ann or an admin can"
    assert events(after(create()), Cancel(EVE, is_admin=True))[0][:2] == ("sync_point.cancelled", "eve")


def test_admin_is_a_role_and_no_name() -> None:
    assert isinstance(refusal(after(create()), Cancel(AgentId("admin"))), NotAllowed)


def test_a_stranger_may_not_cancel_what_is_over_either() -> None:
    assert isinstance(refusal(after(create(), Complete(ANN)), Cancel(EVE)), NotAllowed)


# adding participants


def test_the_creator_can_add_participants_while_it_waits() -> None:
    state, step = taken(after(create(deadline_at=60.0)), Add(ANN, (EVE, BOB)), 2.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("sync_point.participants_added", "ann", {"participants": ["eve"], "total": 4})
    ]
    assert [(send.to, send.type) for send in step.sends] == [((EVE,), "SYNC_POINT_NOTIFICATION")]
    assert (state.total, state.needed, step.wake_at) == (4, 4, 60.0)
    assert kinds(state, Arrive(EVE)) == ["sync_point.arrived"]


def test_to_add_who_takes_part_already_changes_nothing() -> None:
    assert events(after(create()), Add(ANN, (BOB, CY))) == []
    assert events(after(create(), Complete(ANN)), Add(ANN, (BOB,))) == []


def test_others_may_not_add_and_nobody_can_add_after_the_end() -> None:
    assert isinstance(refusal(after(create()), Add(BOB, (EVE,))), NotAllowed)
    error = refusal(after(create(), Complete(ANN)), Add(ANN, (EVE,)), 5.0)
    assert isinstance(error, WrongPhase)
    assert error.message == "eve cannot be added: sync point stand-up was completed 3.0 s ago"


def test_added_participants_are_checked_as_the_first_were() -> None:
    assert isinstance(refusal(after(create()), Add(ANN, (AgentId(""),))), Invalid)
    many = tuple(AgentId(f"a{number}") for number in range(500))
    assert "too many for a predicate" in refusal(after(cel("size(arrived) > 1")), Add(ANN, many)).message


# who is gone


def test_a_participant_who_is_lost_before_arriving_is_noted_once() -> None:
    state, step = taken(after(create(deadline_at=60.0)), Lost(BOB, "no heartbeat for 20 s"), 2.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("sync_point.participant_lost", "bob", {"reason": "no heartbeat for 20 s"})
    ]
    assert (step.wake_at, state.status) == (60.0, "waiting")
    assert events(state, Lost(BOB, "no heartbeat for 30 s")) == []


def test_a_participant_who_is_found_is_not_gone_any_more() -> None:
    state = after(create(), Lost(BOB, "killed"))
    assert events(state, Found(BOB)) == [("sync_point.participant_found", "bob", {})]
    assert after(create(), Lost(BOB, "killed"), Found(BOB)) == after(create())
    assert events(after(create()), Found(BOB)) == []


def test_who_arrives_is_not_gone() -> None:
    assert "bob" not in after(create(), Lost(BOB, "killed"), Arrive(BOB)).lost


@pytest.mark.parametrize("agent", [CY, EVE], ids=["arrived", "stranger"])
def test_the_loss_of_who_is_not_waited_for_is_no_news(agent: AgentId) -> None:
    assert events(after(create(), Arrive(CY)), Lost(agent, "killed")) == []


# predicates


def test_a_predicate_completes_it_with_the_arrival_that_makes_it_true() -> None:
    state = after(cel("'bob' in arrived && data.bob.ok"), Arrive(CY))
    assert state.status == "waiting"
    assert kinds(state, Arrive(BOB, {"ok": False})) == ["sync_point.arrived"]
    assert kinds(state, Arrive(BOB, {"ok": True})) == ["sync_point.arrived", "sync_point.completed"]


def test_a_predicate_that_holds_from_the_beginning_completes_it_at_once() -> None:
    step = decide(None, cel("size(missing) == 3"), 1.0)
    assert [event.kind for event in step.events] == ["sync_point.created", "sync_point.completed"]
    assert [send.type for send in step.sends] == ["SYNC_POINT_NOTIFICATION", "SYNC_POINT_COMPLETED"]
    assert step.wake_at is None


def test_a_participant_more_can_make_a_predicate_true() -> None:
    assert kinds(after(cel("size(missing) == 4")), Add(ANN, (EVE,))) == [
        "sync_point.participants_added", "sync_point.completed"
    ]  # fmt: skip


def test_a_predicate_that_reads_the_time_is_looked_at_every_check_interval() -> None:
    request = cel("now >= 10.0", check_interval_s=0.5, deadline_at=10.9)
    assert decide(None, request, 1.0).wake_at == 1.5
    state = after(request)
    assert decide(state, Wake(), 1.5).wake_at == 2.0
    assert decide(state, Wake(), 7.3).wake_at == 7.5
    assert kinds(state, Wake(), 10.0) == ["sync_point.completed"]


def test_the_deadline_comes_before_the_next_look() -> None:
    assert decide(after(cel("now >= 99.0", deadline_at=10.9, check_interval_s=2.0)), Wake(), 10.0).wake_at == 10.9


def test_a_predicate_that_does_not_read_the_time_is_not_looked_at_in_vain() -> None:
    assert decide(after(cel("size(arrived) == 1", deadline_at=60.0)), Wake(), 5.0).wake_at == 60.0


def test_looking_often_does_not_put_off_what_time_brings() -> None:
    state = after(cel("now >= 10.0", check_interval_s=5.0))
    assert decide(state, Look(), 9.0) == Step(wake_at=11.0)
    assert decide(state, Look(), 10.5) == Step(wake_at=10.5)
    assert kinds(state, Lost(BOB, "killed"), 10.5) == ["sync_point.participant_lost", "sync_point.completed"]


def test_a_predicate_that_fails_is_no_and_is_written_down_once_per_error() -> None:
    state, step = taken(after(cel("data.bob.ok")), Arrive(CY), 2.0)
    assert [(event.kind, event.data) for event in step.events][1:] == [
        ("sync_point.predicate_failed", {"error": "no such member in mapping: 'bob' (column 1)"})
    ]
    assert state.status == "waiting"
    state, step = taken(state, Arrive(DEE), 3.0)
    assert [event.kind for event in step.events] == ["sync_point.arrived"]
    assert kinds(state, Arrive(BOB, {})) == ["sync_point.arrived", "sync_point.predicate_failed"]


def test_only_so_many_errors_are_written_down() -> None:
    agents = tuple(AgentId(f"a{number:02}") for number in range(ERRORS + 5))
    state = after(cel("data[arrived[size(arrived) - 1]]['x' + arrived[size(arrived) - 1]]", participants=agents))
    for agent in agents:
        state, _ = taken(state, Arrive(agent, {}), 2.0)
    assert len(state.errors) == ERRORS
    assert state.status == "waiting"


@register("test_sync_point.quorum of data", 2)
def quorum_of_data(view: View) -> bool:
    return len(view.data) >= 2


def test_a_named_function_can_be_the_condition() -> None:
    condition = Condition("function", name="test_sync_point.quorum of data", version=2)
    state = after(create(condition=condition), Arrive(BOB), Arrive(CY, "x"))
    assert state.status == "waiting"
    assert kinds(state, Arrive(DEE, "y")) == ["sync_point.arrived", "sync_point.completed"]


def test_a_wake_finds_a_function_that_was_registered_since() -> None:
    data = {**decide(None, create(), 1.0).events[0].data, "condition": {"type": "function", "name": "test.born late"}}
    state = evolve(None, Event("sync_point.created", ANN, None, data), 1.0)
    state, _ = taken(state, Arrive(BOB), 2.0)
    assert kinds(state, Wake()) == []
    register("test.born late")(lambda view: view.arrived == (BOB,))
    assert kinds(state, Look()) == []
    assert kinds(state, Wake()) == ["sync_point.completed"]


def test_the_machine_says_which_state_is_its_own() -> None:
    assert State is SyncPoint
