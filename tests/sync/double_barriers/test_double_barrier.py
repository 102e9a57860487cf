"""A double barrier: nobody begins before all have entered, nobody has left before all have, and every wrong turn."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.sync.double_barriers.double_barrier import (
    KINDS,
    Break,
    Cancel,
    Create,
    DoubleBarrier,
    DoubleBarrierResult,
    Enter,
    Leave,
    Request,
    Reset,
    answer,
    decide,
    evolve,
)
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


@dataclass
class Play:
    """A double barrier as it lives through requests."""

    state: DoubleBarrier | None = None
    log: list[Event] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    wake_at: float | None = None

    def ask(self, request: Request, now: float = 0.0) -> list[str]:
        step = decide(self.state, request, now)
        for event in step.events:
            assert all(name in KINDS[event.kind] for name in event.data), event
            self.state = evolve(self.state, event, now)
        self.log += step.events
        self.sends += step.sends
        self.wake_at = step.wake_at
        return [event.kind.removeprefix("double_barrier.") for event in step.events]

    def told(self, request: Request, now: float = 0.0) -> DoubleBarrierResult:
        self.ask(request, now)
        return self.look_again(request, now)

    def look_again(self, request: Request, now: float = 0.0) -> DoubleBarrierResult:
        assert self.state is not None
        return answer(self.state, request, now)

    def enter(self, now: float, *agents: AgentId) -> "Play":
        for agent in agents:
            self.ask(Enter(agent), now)
        return self

    def leave(self, now: float, *agents: AgentId) -> "Play":
        for agent in agents:
            self.ask(Leave(agent), now)
        return self


def made(**terms: Any) -> Play:
    play = Play()
    play.ask(Create("stage", ANN, **{"participant_count": 2, **terms}))
    play.log.clear()
    return play


# the way of a generation that goes well


def test_nobody_begins_before_all_have_entered() -> None:
    play = made()
    told = play.told(Enter(ANN), 1.0)
    assert (told.pending, told.status, told.gate, told.entered_count) == (True, "entering", "enter", 1)
    assert play.ask(Enter(BOB), 3.0) == ["entered", "begun"]
    for agent, wait_s in ((ANN, 2.0), (BOB, 0.0)):
        told = play.look_again(Enter(agent), 9.0)
        assert (told.success, told.pending, told.wait_s, told.released_at) == (True, False, wait_s, 3.0)
    assert play.told(Look()).status == "inside"


def test_nobody_has_left_before_all_have() -> None:
    play = made().enter(1.0, ANN, BOB)
    told = play.told(Leave(ANN), 5.0)
    assert (told.pending, told.status, told.gate, told.left_count, told.entered_count) == (
        True,
        "inside",
        "leave",
        1,
        2,
    )
    assert play.ask(Leave(BOB), 8.0) == ["left", "finished"]
    told = play.look_again(Leave(ANN), 9.0)
    assert (told.success, told.wait_s, told.released_at, told.left_count) == (True, 3.0, 8.0, 2)


def test_a_cyclic_double_barrier_is_entered_again_when_all_have_left() -> None:
    play = made()
    for generation in range(3):
        assert play.enter(1.0, BOB).told(Enter(ANN), 1.0).generation == generation
        assert play.leave(2.0, BOB).told(Leave(ANN), 2.0).generation == generation
    assert play.told(Look()).generation == 3


def test_both_gates_notify_those_who_came_through() -> None:
    play = made().enter(1.0, BOB, ANN).leave(2.0, BOB, ANN)
    assert [(send.to, send.type, send.content["gate"], send.content["released_at"]) for send in play.sends] == [
        ((ANN, BOB), "BARRIER_RELEASED", "enter", 1.0),
        ((ANN, BOB), "BARRIER_RELEASED", "leave", 2.0),
    ]


def test_each_gate_shows_what_was_brought_to_it() -> None:
    play = made()
    play.ask(Enter(ANN, "in"))
    assert play.told(Enter(BOB)).data == {"ann": "in"}
    play.ask(Leave(BOB, "out"))
    assert play.told(Leave(ANN)).data == {"bob": "out"}


# making one


def test_the_event_of_creation_has_every_field_of_it() -> None:
    event = decide(None, Create("stage", ANN, 2, (BOB, ANN), "s", False, 9.0, "break", 5.0, {"k": 1}), 1.0).events[0]
    assert (event.kind, event.agent) == ("double_barrier.created", "ann")
    assert event.data == {
        "id": "stage",
        "name": "s",
        "participants": ["ann", "bob"],
        "total": 2,
        "participant_count": 2,
        "cyclic": False,
        "timeout_s": 9.0,
        "on_lost": "break",
        "cleanup_delay_s": 5.0,
        "metadata": {"k": 1},
        "generation": 0,
        "status": "entering",
    }


def test_making_the_same_again_changes_nothing_and_another_of_its_id_is_a_conflict() -> None:
    play = made()
    assert play.ask(Create("stage", BOB, 2)) == []
    for other in (Create("stage", ANN, 3), Create("stage", ANN, 2, cyclic=False)):
        with pytest.raises(Conflict, match="double barrier stage exists and was made by ann"):
            play.ask(other)


def test_a_malformed_one_is_not_made() -> None:
    with pytest.raises(Invalid, match="timeout_s must be more than 0"):
        made(timeout_s=0.0)


def test_what_does_not_exist_can_only_be_made() -> None:
    for request in (Wake(), Lost(ANN, "killed"), Found(ANN)):
        assert decide(None, request, 0.0) == Step()
    for asked in (Look(), Enter(ANN), Leave(ANN), Break(ANN), Reset(ANN), Cancel(ANN)):
        with pytest.raises(NotFound, match="there is no double barrier of this id"):
            decide(None, asked, 0.0)


# who may come, and when


def test_a_stranger_may_neither_enter_nor_leave() -> None:
    play = made(participants=(ANN, BOB))
    for request in (Enter(CY), Leave(CY)):
        with pytest.raises(NotAllowed, match="cy is not a party of barrier stage"):
            play.ask(request)


def test_while_others_are_inside_nobody_enters() -> None:
    play = made().enter(1.0, ANN, BOB).leave(2.0, ANN)
    with pytest.raises(
        WrongPhase, match="generation 0 of double barrier stage is under way without cy; the next can be"
    ):
        play.ask(Enter(CY), 3.0)


def test_who_was_in_an_earlier_generation_does_not_enter_one_that_is_under_way_without_it() -> None:
    play = made().enter(1.0, ANN, CY).leave(2.0, ANN, CY).enter(3.0, ANN, BOB)
    with pytest.raises(WrongPhase, match="generation 1 of double barrier stage is under way without cy"):
        play.ask(Enter(CY), 4.0)


def test_nobody_leaves_before_all_have_entered() -> None:
    play = made().enter(1.0, ANN)
    with pytest.raises(WrongPhase, match="generation 0 of double barrier stage has not begun: 1 of 2 have entered"):
        play.ask(Leave(ANN), 2.0)


def test_who_waits_to_enter_again_cannot_leave_the_new_generation_yet() -> None:
    play = made().enter(1.0, ANN, BOB).leave(2.0, ANN, BOB).enter(3.0, ANN)
    with pytest.raises(WrongPhase, match="generation 1 of double barrier stage has not begun"):
        play.ask(Leave(ANN), 4.0)


def test_who_has_not_entered_cannot_leave() -> None:
    play = made().enter(1.0, ANN, BOB)
    with pytest.raises(WrongPhase, match="cy has not come into generation 0 of double barrier stage and cannot leave"):
        play.ask(Leave(CY), 2.0)


def test_repeated_calls_change_nothing() -> None:
    play = made().enter(1.0, ANN)
    assert play.ask(Enter(ANN), 1.0) == []
    play.enter(1.0, BOB)
    assert play.ask(Enter(ANN), 2.0) == []
    assert play.told(Enter(ANN), 2.0).success
    play.leave(3.0, ANN)
    assert play.ask(Leave(ANN), 3.0) == []
    play.leave(3.0, BOB)
    assert play.ask(Leave(ANN), 4.0) == []
    assert play.told(Leave(ANN), 4.0).success


def test_a_repeated_enter_finds_its_generation_by_request_id_also_after_it_is_over() -> None:
    play = made()
    play.ask(Enter(ANN, request_id="e1"))
    play.enter(1.0, BOB)
    play.ask(Leave(ANN, request_id="l1"))
    play.leave(2.0, BOB)
    assert play.ask(Enter(ANN, request_id="e1")) == []
    assert play.told(Enter(ANN, request_id="e1")).generation == 0
    assert play.ask(Leave(ANN, request_id="l1")) == []
    assert play.told(Enter(ANN, request_id="e2")).generation == 1
    assert play.look_again(Leave(ANN, request_id="l1")).success


def test_a_generation_can_be_named() -> None:
    play = made().enter(1.0, ANN, BOB)
    assert play.told(Enter(ANN, generation=0), 2.0).success
    with pytest.raises(WrongPhase, match="is under way without ann"):
        play.ask(Enter(ANN, generation=1), 2.0)
    with pytest.raises(WrongPhase, match="generation 1 of double barrier stage has not begun"):
        play.ask(Leave(ANN, generation=1), 2.0)
    play.leave(3.0, ANN, BOB)
    assert play.told(Leave(BOB, generation=0), 3.0).success


def test_a_generation_too_long_ago_is_an_error_that_says_so() -> None:
    play = made()
    for _ in range(10):
        play.enter(1.0, ANN, BOB).leave(2.0, ANN, BOB)
    with pytest.raises(WrongPhase, match="generation 0 of double barrier stage is too long ago to be known"):
        play.ask(Leave(ANN, generation=0))


# time


def test_entering_times_out_from_the_first_who_came_and_the_generation_is_over() -> None:
    play = made(timeout_s=30.0, participants=(ANN, BOB)).enter(10.0, ANN)
    assert play.wake_at == 40.0
    assert play.ask(Wake(), 41.0) == ["timed_out"]
    assert play.log[-1].data["deadline_at"] == 40.0
    told = play.look_again(Enter(ANN), 41.0)
    assert (told.status, told.reason, told.blamed, told.wait_s) == ("timeout", "timeout", ("bob",), 30.0)
    assert play.enter(50.0, BOB).told(Enter(ANN), 50.0).generation == 1


def test_leaving_times_out_for_all_who_are_inside() -> None:
    play = made(timeout_s=30.0).enter(1.0, ANN, BOB).leave(10.0, ANN)
    assert play.wake_at == 40.0
    play.ask(Wake(), 40.0)
    assert play.look_again(Leave(ANN), 41.0).status == "timeout"
    assert play.told(Leave(BOB), 41.0).status == "timeout"
    assert (play.sends[-1].to, play.sends[-1].type, play.sends[-1].content["gate"]) == (
        (ANN, BOB), "BARRIER_BROKEN", "leave",
    )  # fmt: skip


def test_work_inside_takes_as_long_as_it_takes() -> None:
    assert made(timeout_s=30.0).enter(1.0, ANN, BOB).wake_at is None


def test_who_comes_at_the_deadline_is_too_late_even_if_no_timer_fired() -> None:
    play = made(timeout_s=30.0).enter(1.0, ANN, BOB).leave(10.0, ANN)
    assert play.ask(Leave(BOB), 40.0) == ["timed_out"]
    assert play.look_again(Leave(BOB), 40.0).status == "timeout"


# one-shot


def test_a_one_shot_stays_readable_and_is_then_removed() -> None:
    play = made(cyclic=False).enter(1.0, ANN, BOB).leave(2.0, ANN, BOB)
    assert play.wake_at == 62.0
    told = play.told(Look(), 3.0)
    assert (told.status, told.success, told.generation) == ("released", True, 0)
    assert play.told(Enter(ANN), 3.0).success
    with pytest.raises(WrongPhase, match=r"double barrier stage is over \(released\); cy comes too late"):
        play.ask(Enter(CY), 3.0)
    assert play.ask(Wake(), 62.0) == ["removed"]
    assert play.wake_at is None
    assert play.told(Look(), 63.0).status == "removed"
    with pytest.raises(WrongPhase, match=r"over \(removed\)"):
        play.ask(Enter(ANN), 63.0)


def test_the_id_of_a_removed_one_is_free_and_its_generations_go_on() -> None:
    play = made(cyclic=False).enter(1.0, ANN, BOB).leave(2.0, ANN, BOB)
    play.ask(Wake(), 62.0)
    play.ask(Create("stage", BOB, 2), 63.0)
    assert play.enter(64.0, ANN).told(Enter(BOB), 64.0).generation == 1


def test_a_one_shot_that_failed_lives_again_after_a_reset() -> None:
    play = made(cyclic=False).enter(1.0, ANN)
    play.ask(Break(ANN), 2.0)
    assert play.told(Look(), 2.0).status == "broken"
    assert play.ask(Reset(ANN), 3.0) == ["reset"]
    play.enter(4.0, ANN, BOB).leave(5.0, ANN, BOB)
    assert play.look_again(Leave(BOB), 6.0).success
    with pytest.raises(WrongPhase, match="over for good"):
        play.ask(Reset(ANN), 6.0)


# breaking, beginning anew, calling off


def test_a_break_while_entering_is_told_to_those_who_wait() -> None:
    play = made().enter(1.0, ANN)
    assert play.ask(Break(ANN, "no input"), 2.0) == ["broken"]
    told = play.look_again(Enter(ANN), 2.0)
    assert (told.status, told.reason, told.blamed) == ("broken", "no input", ("ann",))
    assert play.ask(Break(ANN, "no input"), 3.0) == []
    with pytest.raises(WrongPhase, match="ann has not come into generation 0"):
        play.ask(Leave(ANN, generation=0), 3.0)


def test_a_break_inside_is_told_to_all_who_are_inside() -> None:
    play = made().enter(1.0, ANN, BOB)
    play.ask(Break(BOB, "disk full"), 2.0)
    assert (play.sends[-1].to, play.sends[-1].content["reason"]) == ((ANN, BOB), "disk full")
    for agent in (ANN, BOB):
        assert play.told(Leave(agent), 3.0).reason == "disk full"
    assert play.ask(Break(BOB, "disk full"), 3.0) == []
    assert play.enter(4.0, ANN).told(Enter(BOB), 4.0).generation == 1


def test_a_stranger_may_not_break() -> None:
    play = made().enter(1.0, ANN, BOB)
    with pytest.raises(NotAllowed, match="cy cannot break barrier stage"):
        play.ask(Break(CY))
    assert play.ask(Break(CY, is_admin=True)) == ["broken"]


def test_a_reset_ends_the_generation_for_who_waits_or_is_inside() -> None:
    assert made().ask(Reset(ANN)) == []
    assert made().enter(1.0, BOB).ask(Reset(ANN), 2.0) == ["broken"]
    play = made().enter(1.0, ANN, BOB)
    assert play.ask(Reset(ANN), 2.0) == ["broken"]
    assert play.told(Leave(BOB), 3.0).reason == "reset by ann"
    assert play.told(Look(), 3.0).status == "entering"


@pytest.mark.parametrize("request_", [Reset(BOB), Cancel(BOB)])
def test_only_the_creator_or_an_admin_may_reset_or_cancel(request_: Reset | Cancel) -> None:
    with pytest.raises(NotAllowed, match="its creator ann or an admin can"):
        made().ask(request_)
    made().ask(type(request_)(BOB, is_admin=True))


@pytest.mark.parametrize("entered", [(), (BOB,), (ANN, BOB)])
def test_a_cancelled_one_takes_nobody_in_and_is_removed(entered: tuple[AgentId, ...]) -> None:
    play = made(cleanup_delay_s=10.0).enter(1.0, *entered)
    assert play.ask(Cancel(ANN, "enough"), 2.0)[-1] == "cancelled"
    for agent in entered:
        assert play.look_again(Enter(agent), 2.0).pending is False
    assert play.ask(Cancel(ANN), 3.0) == []
    told = play.told(Look(), 3.0)
    assert (told.status, told.reason) == ("cancelled", "enough")
    with pytest.raises(WrongPhase, match=r"double barrier stage is over \(cancelled\)"):
        play.ask(Enter(CY), 3.0)
    with pytest.raises(WrongPhase, match="nothing is left to break"):
        play.ask(Break(ANN), 3.0)
    assert play.ask(Wake(), 12.0) == ["removed"]


# who is lost


def test_a_lost_party_is_waited_for_by_default() -> None:
    play = made(participants=(ANN, BOB)).enter(1.0, ANN)
    assert play.ask(Lost(BOB, "killed"), 2.0) == ["party_lost"]
    assert play.told(Look()).lost == {"bob": "killed"}
    assert play.ask(Lost(BOB, "killed"), 3.0) == []
    assert play.ask(Found(BOB), 4.0) == ["party_found"]
    assert play.ask(Found(BOB), 4.0) == []
    assert play.told(Look()).lost == {}


def test_by_the_policy_break_a_lost_party_breaks_the_gate_that_waits_for_it() -> None:
    entering = made(participants=(ANN, BOB), on_lost="break").enter(1.0, ANN)
    assert entering.ask(Lost(BOB, "killed"), 2.0) == ["party_lost", "broken"]
    leaving = made(on_lost="break").enter(1.0, ANN, BOB).leave(2.0, ANN)
    assert leaving.ask(Lost(BOB, "killed"), 3.0) == ["party_lost", "broken"]
    assert leaving.look_again(Leave(ANN), 3.0).reason == "bob, who is gone: killed"


def test_by_the_policy_break_nobody_waits_to_leave_for_a_party_that_died_inside() -> None:
    play = made(on_lost="break").enter(1.0, ANN, BOB)
    assert play.ask(Lost(BOB, "killed"), 2.0) == ["party_lost"]
    assert play.ask(Leave(ANN), 3.0) == ["left", "broken"]


def test_a_loss_that_is_nothing_to_it_is_not_noted() -> None:
    play = made().enter(1.0, ANN, BOB)
    assert play.ask(Lost(CY, "killed"), 2.0) == []


def test_who_comes_is_not_gone() -> None:
    play = made(participants=(ANN, BOB))
    play.ask(Lost(BOB, "killed"))
    assert play.enter(1.0, BOB).told(Look()).lost == {}
