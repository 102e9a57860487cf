"""A barrier: who counts, in which generation, what the verdict is, and every wrong turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.sync.barriers.barrier import (
    COORDINATOR,
    KINDS,
    PARTIES_MAX,
    Action,
    ActionDone,
    Arrive,
    Barrier,
    BarrierResult,
    Break,
    Cancel,
    Create,
    Request,
    Reset,
    answer,
    decide,
    evolve,
)
from concerted.sync.barriers.state import VERDICTS_KEPT
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")
MERGE = Action("elected", "merge", {"branch": "main"}, timeout_s=20.0)


@dataclass
class Play:
    """A barrier as it lives through requests."""

    state: Barrier | None = None
    log: list[Event] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    wake_at: float | None = None

    def ask(self, request: Request, now: float = 0.0) -> Step:
        step = decide(self.state, request, now)
        for event in step.events:
            assert all(name in KINDS[event.kind] for name in event.data), event
            self.state = evolve(self.state, event, now)
        self.log += step.events
        self.sends += step.sends
        self.wake_at = step.wake_at
        return step

    def told(self, request: Request, now: float = 0.0) -> BarrierResult:
        self.ask(request, now)
        return self.look_again(request, now)

    def look_again(self, request: Request, now: float = 0.0) -> BarrierResult:
        assert self.state is not None
        return answer(self.state, request, now)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.log]


def made(**terms: Any) -> Play:
    play = Play()
    play.ask(Create("build", ANN, **{"participant_count": 3, **terms}))
    play.log.clear()
    return play


def kinds(step: Step) -> list[str]:
    return [event.kind for event in step.events]


# making one


def test_the_event_of_creation_has_every_field_of_it() -> None:
    step = decide(
        None,
        Create("build", ANN, 2, (BOB, ANN), "nightly", False, 30.0, MERGE, "break", 5.0, {"team": "core"}),
        1.0,
    )
    assert [(event.kind, event.agent) for event in step.events] == [("barrier.created", "ann")]
    assert step.events[0].data == {
        "id": "build",
        "name": "nightly",
        "participants": ["ann", "bob"],
        "total": 2,
        "participant_count": 2,
        "cyclic": False,
        "timeout_s": 30.0,
        "action": {"kind": "elected", "name": "merge", "payload": {"branch": "main"}, "timeout_s": 20.0},
        "on_lost": "break",
        "cleanup_delay_s": 5.0,
        "metadata": {"team": "core"},
        "generation": 0,
        "action_epoch": 0,
        "status": "waiting",
    }


def test_parties_that_are_named_need_no_count() -> None:
    play = made(participant_count=0, participants=(ANN, BOB))
    assert play.told(Look()).participant_count == 2


def test_making_the_same_barrier_again_changes_nothing_whoever_asks() -> None:
    play = made()
    assert play.ask(Create("build", ANN, 3)).events == ()
    assert play.ask(Create("build", BOB, 3)).events == ()


def test_the_id_of_another_barrier_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="barrier build exists and was made by ann with other settings"):
        made().ask(Create("build", ANN, 4))


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"participant_count": 0}, "a barrier has 1 to 1,000,000 parties, not 0"),
        ({"participant_count": PARTIES_MAX + 1}, "not 1,000,001"),
        ({"participants": (BOB,)}, "participant_count is 3, but 1 different participants are named"),
        ({"participants": (ANN, BOB, BOB)}, "but 2 different participants are named"),
        ({"participants": (ANN, BOB, "")}, "a participant's name is empty"),
        ({"timeout_s": 0.0}, "timeout_s must be more than 0"),
        ({"timeout_s": float("nan")}, "timeout_s must be more than 0"),
        ({"cleanup_delay_s": -1.0}, "cleanup_delay_s must be 0 or more"),
        ({"on_lost": "panic"}, "on_lost is wait or break"),
        ({"action": Action("somebody", "merge")}, "an action's kind is coordinator or elected"),  # type: ignore[arg-type]
        ({"action": Action("elected", "")}, "an action needs a name"),
        ({"action": Action("elected", "merge", timeout_s=0)}, "the action's timeout_s must be more than 0"),
    ],
)
def test_a_malformed_barrier_is_not_made(terms: dict[str, Any], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        made(**terms)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        made(participant_count=0, timeout_s=-1.0)
    assert len(caught.value.facts["problems"]) == 2


@pytest.mark.parametrize("request_", [Arrive(ANN), Look(), Break(ANN), Reset(ANN), Cancel(ANN), ActionDone(ANN, 0, 1)])
def test_what_does_not_exist_cannot_be_asked(request_: Request) -> None:
    with pytest.raises(NotFound, match="create it first"):
        decide(None, request_, 0.0)


@pytest.mark.parametrize("request_", [Wake(), Lost(ANN, "no heartbeat"), Found(ANN)])
def test_time_and_losses_pass_by_what_does_not_exist(request_: Request) -> None:
    assert decide(None, request_, 0.0) == Step()


# all come


def test_who_comes_before_the_last_waits() -> None:
    play = made()
    told = play.told(Arrive(ANN), 1.0)
    assert (told.pending, told.status, told.arrived_count, told.participant_count) == (True, "waiting", 1, 3)
    assert play.log[-1].data | {"arrived": 1, "total": 3, "generation": 0} == play.log[-1].data


def test_the_last_to_come_releases_all_with_one_verdict() -> None:
    play = made()
    for at, agent in enumerate((ANN, BOB, CY), 1):
        play.ask(Arrive(agent), float(at))
    results = [play.look_again(Arrive(agent), 9.0) for agent in (ANN, BOB, CY)]
    assert [(told.status, told.success, told.generation, told.released_at) for told in results] == (
        [("released", True, 0, 3.0)] * 3
    )
    assert [told.wait_s for told in results] == [2.0, 1.0, 0.0]
    assert not any(told.pending for told in results)


def test_all_who_arrived_are_notified_of_the_release() -> None:
    play = made()
    for agent in (CY, BOB, ANN):
        play.ask(Arrive(agent), 4.0)
    assert play.sends == [
        Send(
            (ANN, BOB, CY),
            "BARRIER_RELEASED",
            {"barrier_id": "build", "generation": 0, "participant_count": 3, "released_at": 4.0, "action_result": None},
            "high",
        )
    ]


def test_what_the_parties_brought_is_shown_to_all_of_them() -> None:
    play = made(participant_count=2)
    play.ask(Arrive(ANN, {"lines": 3}))
    assert play.told(Arrive(BOB, [1])).data == {"ann": {"lines": 3}, "bob": [1]}


def test_a_barrier_of_one_opens_at_once() -> None:
    assert made(participant_count=1).told(Arrive(ANN)).success


def test_an_agent_counts_once_per_generation() -> None:
    play = made()
    play.ask(Arrive(ANN))
    assert play.ask(Arrive(ANN)).events == ()
    assert play.told(Arrive(BOB)).arrived_count == 2


def test_a_stranger_may_not_arrive() -> None:
    play = made(participants=(ANN, BOB, CY))
    with pytest.raises(
        NotAllowed, match="dan is not a party of barrier build; its creator ann can make one that has it"
    ):
        play.ask(Arrive(DAN))


# generations


def arrive_all(play: Play, now: float, *agents: AgentId) -> None:
    for agent in agents or (ANN, BOB, CY):
        play.ask(Arrive(agent), now)


def test_a_cyclic_barrier_waits_anew_in_the_next_generation() -> None:
    play = made()
    arrive_all(play, 1.0)
    told = play.told(Arrive(ANN), 2.0)
    assert (told.generation, told.pending, told.arrived_count) == (1, True, 1)


def test_a_verdict_can_be_asked_for_generations_later() -> None:
    play = made()
    for generation in range(5):
        arrive_all(play, float(generation))
    told = play.told(Arrive(BOB, generation=1), 9.0)
    assert (told.generation, told.success, told.released_at) == (1, True, 1.0)
    assert play.kinds.count("barrier.arrived") == 15


def test_a_generation_too_long_ago_is_an_error_that_says_so() -> None:
    play = made()
    for generation in range(VERDICTS_KEPT + 1):
        arrive_all(play, float(generation))
    assert play.told(Arrive(ANN, generation=1)).success
    with pytest.raises(
        WrongPhase, match="generation 0 of barrier build is too long ago to be known; the current one is 9"
    ):
        play.ask(Arrive(ANN, generation=0))


def test_a_generation_that_has_not_begun_cannot_be_arrived_in() -> None:
    with pytest.raises(WrongPhase, match="generation 1 of barrier build has not begun; the current one is 0"):
        made().ask(Arrive(ANN, generation=1))


def test_a_call_repeated_by_its_request_id_does_not_count_in_the_next_generation() -> None:
    play = made()
    play.ask(Arrive(ANN, request_id="r1"), 1.0)
    arrive_all(play, 2.0, BOB, CY)
    told = play.told(Arrive(ANN, request_id="r1"), 3.0)
    assert (told.generation, told.success) == (0, True)
    assert play.told(Arrive(ANN, request_id="r2"), 3.0).generation == 1


def test_a_second_request_while_waiting_is_remembered_too() -> None:
    play = made()
    play.ask(Arrive(ANN, request_id="r1"), 1.0)
    assert kinds(play.ask(Arrive(ANN, request_id="r2"), 1.0)) == ["barrier.repeated"]
    arrive_all(play, 2.0, BOB, CY)
    for request_id in ("r1", "r2"):
        assert play.ask(Arrive(ANN, request_id=request_id), 3.0).events == ()


def test_an_older_caller_is_answered_for_its_own_generation_while_the_agent_waits_in_the_next() -> None:
    play = made()
    play.ask(Arrive(ANN, request_id="r1"), 1.0)
    arrive_all(play, 2.0, BOB, CY)
    play.ask(Arrive(ANN, request_id="r2"), 3.0)
    assert play.look_again(Arrive(ANN, request_id="r1"), 3.0).success
    assert play.look_again(Arrive(ANN, request_id="r2"), 3.0).pending


# time


def test_a_generation_times_out_from_its_first_arrival() -> None:
    play = made(timeout_s=30.0)
    assert play.wake_at is None
    play.ask(Arrive(ANN), 10.0)
    play.ask(Arrive(BOB), 20.0)
    assert play.wake_at == 40.0
    assert play.ask(Wake(), 39.9).events == ()
    (event,) = play.ask(Wake(), 55.0).events
    assert (event.kind, event.data["deadline_at"], event.data["status"]) == ("barrier.timed_out", 40.0, "waiting")


def test_a_timeout_is_told_to_all_who_waited_with_the_same_verdict() -> None:
    play = made(timeout_s=30.0, participants=(ANN, BOB, CY))
    arrive_all(play, 10.0, ANN, BOB)
    play.ask(Wake(), 40.0)
    told = play.look_again(Arrive(ANN), 41.0)
    assert (told.success, told.reason, told.arrived_count, told.participant_count) == (False, "timeout", 2, 3)
    assert (told.wait_s, told.blamed, told.pending) == (30.0, ("cy",), False)
    assert play.look_again(Arrive(BOB), 41.0).status == "timeout"
    assert (play.sends[-1].to, play.sends[-1].type) == (("ann", "bob"), "BARRIER_BROKEN")
    assert play.sends[-1].content["reason"] == "timeout"


def test_an_arrival_at_the_deadline_is_too_late_even_if_no_timer_fired() -> None:
    play = made(timeout_s=30.0)
    arrive_all(play, 10.0, ANN, BOB)
    with pytest.raises(
        WrongPhase, match="generation 0 of barrier build is over, without cy: timeout; the current one is 1"
    ):
        play.ask(Arrive(CY, generation=0), 40.0)
    assert kinds(play.ask(Arrive(CY), 40.0)) == ["barrier.timed_out", "barrier.arrived"]
    assert play.look_again(Arrive(CY), 40.0).generation == 1


def test_a_generation_after_a_timeout_starts_fresh() -> None:
    play = made(timeout_s=30.0)
    play.ask(Arrive(ANN), 10.0)
    play.ask(Wake(), 40.0)
    assert play.wake_at is None
    arrive_all(play, 50.0)
    assert play.look_again(Arrive(ANN), 50.0).success


def test_time_runs_again_from_the_first_arrival_of_the_next_generation() -> None:
    play = made(timeout_s=30.0)
    arrive_all(play, 10.0)
    assert play.wake_at is None
    play.ask(Arrive(ANN), 100.0)
    assert play.wake_at == 130.0


# one-shot


def one_shot(**terms: Any) -> Play:
    return made(cyclic=False, **terms)


def test_a_one_shot_barrier_stays_readable_and_is_then_removed() -> None:
    play = one_shot()
    arrive_all(play, 10.0)
    assert play.wake_at == 70.0
    assert play.told(Arrive(ANN), 69.0).success
    assert play.told(Look(), 69.0).status == "released"
    (event,) = play.ask(Wake(), 70.0).events
    assert (event.kind, event.data["deadline_at"]) == ("barrier.removed", 70.0)
    assert play.wake_at is None
    assert play.told(Look(), 71.0).status == "removed"


def test_a_removed_barrier_takes_no_arrival() -> None:
    play = one_shot(cleanup_delay_s=0.0)
    arrive_all(play, 10.0)
    with pytest.raises(WrongPhase, match="barrier build was over and has been removed; create it again"):
        play.ask(Arrive(ANN), 10.0)


def test_the_id_of_a_removed_barrier_is_free_and_its_numbers_go_on() -> None:
    play = one_shot(cleanup_delay_s=1.0)
    arrive_all(play, 10.0)
    play.ask(Wake(), 11.0)
    play.ask(Create("build", BOB, 2), 12.0)
    told = play.told(Arrive(ANN), 12.0)
    assert (told.generation, told.pending, told.participant_count, told.created_by) == (1, True, 2, "bob")


def test_a_one_shot_barrier_that_is_over_lets_nobody_else_in() -> None:
    play = one_shot()
    arrive_all(play, 10.0)
    with pytest.raises(WrongPhase, match="generation 0 of barrier build is over, without dan: released"):
        play.ask(Arrive(DAN), 11.0)


def test_a_one_shot_barrier_that_timed_out_stays_so() -> None:
    play = one_shot(timeout_s=5.0)
    play.ask(Arrive(ANN), 1.0)
    play.ask(Wake(), 100.0)
    assert play.told(Arrive(ANN), 101.0).reason == "timeout"
    assert play.wake_at == 160.0
    with pytest.raises(WrongPhase, match="without bob: timeout; create it again when it is removed"):
        play.ask(Arrive(BOB), 101.0)


# breaking, beginning anew, calling off


def test_a_party_breaks_its_generation_for_everybody_in_it() -> None:
    play = made()
    arrive_all(play, 1.0, ANN, BOB)
    play.ask(Break(BOB, "tests fail"), 2.0)
    for agent in (ANN, BOB):
        told = play.look_again(Arrive(agent), 3.0)
        assert (told.status, told.success, told.reason, told.blamed) == ("broken", False, "tests fail", ("bob",))
    assert play.told(Arrive(CY), 3.0).generation == 1
    assert play.sends[-1].content["blamed"] == ["bob"]


def test_breaking_twice_breaks_once() -> None:
    play = made()
    arrive_all(play, 1.0, ANN)
    play.ask(Break(ANN, "no"), 2.0)
    assert play.ask(Break(ANN, "no"), 3.0).events == ()
    arrive_all(play, 4.0, BOB)
    assert play.ask(Break(ANN, "no", generation=0), 5.0).events == ()


def test_a_stranger_may_not_break() -> None:
    play = made()
    arrive_all(play, 1.0, BOB)
    with pytest.raises(NotAllowed, match="cy cannot break barrier build: that is for its parties, its creator ann"):
        play.ask(Break(CY))
    assert kinds(play.ask(Break(CY, is_admin=True))) == ["barrier.broken"]


def test_who_was_in_an_earlier_generation_may_not_break_a_later_one() -> None:
    play = made()
    arrive_all(play, 1.0)
    with pytest.raises(NotAllowed, match="bob cannot break barrier build"):
        play.ask(Break(BOB))


def test_only_the_current_generation_can_be_broken() -> None:
    play = made()
    arrive_all(play, 1.0)
    with pytest.raises(WrongPhase, match="generation 0 of barrier build is over: released; only the current one"):
        play.ask(Break(ANN, generation=0))
    with pytest.raises(WrongPhase, match="generation 7 of barrier build is not the current one"):
        play.ask(Break(ANN, generation=7))


def test_a_reset_breaks_the_generation_for_those_who_wait_and_begins_anew() -> None:
    play = made()
    arrive_all(play, 1.0, BOB)
    play.ask(Reset(ANN), 2.0)
    assert play.look_again(Arrive(BOB), 3.0).reason == "reset by ann"
    assert play.told(Arrive(BOB), 3.0).generation == 1


def test_a_reset_with_nobody_waiting_changes_nothing() -> None:
    assert made().ask(Reset(ANN)).events == ()


def test_a_one_shot_barrier_that_failed_lives_again_after_a_reset() -> None:
    play = one_shot()
    arrive_all(play, 1.0, ANN)
    play.ask(Break(ANN), 2.0)
    assert kinds(play.ask(Reset(ANN), 3.0)) == ["barrier.reset"]
    assert play.wake_at is None
    arrive_all(play, 4.0)
    assert play.look_again(Arrive(BOB), 5.0).generation == 1
    with pytest.raises(WrongPhase, match="barrier build is released for good; make another"):
        play.ask(Reset(ANN), 6.0)


def test_a_reset_while_a_one_shot_barrier_waits_lets_it_wait_anew() -> None:
    play = one_shot()
    arrive_all(play, 1.0, BOB)
    play.ask(Reset(ANN), 2.0)
    arrive_all(play, 3.0)
    assert play.look_again(Arrive(BOB, generation=0), 3.0).status == "broken"
    assert play.look_again(Arrive(BOB), 3.0).success


@pytest.mark.parametrize(("request_", "what"), [(Reset(BOB), "reset"), (Cancel(BOB), "cancel")])
def test_only_the_creator_or_an_admin_may_reset_or_cancel(request_: Reset | Cancel, what: str) -> None:
    with pytest.raises(NotAllowed, match=f"bob cannot {what} barrier build; its creator ann or an admin can"):
        made().ask(request_)
    made().ask(type(request_)(BOB, is_admin=True))


def test_a_cancelled_barrier_tells_those_who_wait_and_takes_nobody_in() -> None:
    play = made()
    arrive_all(play, 1.0, BOB)
    assert kinds(play.ask(Cancel(ANN, "no longer needed"), 2.0)) == ["barrier.broken", "barrier.cancelled"]
    told = play.look_again(Arrive(BOB), 2.0)
    assert (told.status, told.reason, told.pending) == ("broken", "no longer needed", False)
    assert play.told(Look(), 2.0).status == "cancelled"
    with pytest.raises(WrongPhase, match="barrier build is cancelled: no longer needed"):
        play.ask(Arrive(CY), 3.0)


def test_a_second_cancel_changes_nothing() -> None:
    play = made()
    play.ask(Cancel(ANN), 1.0)
    assert play.ask(Cancel(ANN), 2.0).events == ()


def test_a_cancelled_barrier_is_removed_after_its_delay() -> None:
    play = made(cleanup_delay_s=10.0)
    play.ask(Cancel(ANN), 1.0)
    assert play.wake_at == 11.0
    assert kinds(play.ask(Wake(), 11.0)) == ["barrier.removed"]


def test_what_is_over_cannot_be_cancelled() -> None:
    play = one_shot()
    arrive_all(play, 1.0)
    with pytest.raises(WrongPhase, match=r"barrier build is over \(released\); there is nothing to cancel"):
        play.ask(Cancel(ANN), 2.0)


# the action


def test_the_first_to_arrive_is_elected_and_told_at_once() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0, BOB, ANN, CY)
    told = play.look_again(Arrive(BOB), 1.0)
    assert (told.pending, told.is_elected, told.action, told.action_epoch) == (False, True, MERGE, 1)
    assert (told.status, told.deadline_at, told.arrived) == ("tripped", 21.0, ("ann", "bob", "cy"))
    for other in (ANN, CY):
        assert play.look_again(Arrive(other), 1.0).pending
        assert not play.look_again(Arrive(other), 1.0).is_elected
    assert [(send.to, send.type) for send in play.sends] == [((BOB,), "BARRIER_ACTION")]
    assert play.sends[0].content["action"]["payload"] == {"branch": "main"}


def test_nobody_is_released_before_the_action_is_done_and_then_all_are() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    done = play.told(ActionDone(ANN, 0, 1, result="merged"), 6.0)
    assert (done.success, done.is_refused, done.action_result) == (True, False, "merged")
    told = play.look_again(Arrive(CY), 7.0)
    assert (told.success, told.triggered_at, told.released_at, told.action_result) == (True, 1.0, 6.0, "merged")
    assert play.kinds[-2:] == ["barrier.action_done", "barrier.released"]


def test_an_elected_party_that_lost_its_answer_is_told_again_and_one_that_knows_waits() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    assert play.told(Arrive(ANN), 2.0).is_elected
    waiting = play.told(Arrive(ANN, action_epoch=1), 2.0)
    assert (waiting.pending, waiting.is_elected) == (True, False)


def test_an_action_that_fails_breaks_the_generation_with_its_error() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    play.ask(ActionDone(ANN, 0, 1, error="conflict in a.py"), 2.0)
    told = play.look_again(Arrive(CY), 3.0)
    assert (told.status, told.reason, told.blamed) == ("broken", "the action merge failed: conflict in a.py", ("ann",))


def test_an_elected_party_that_does_not_answer_is_followed_by_the_next_under_a_higher_epoch() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    assert play.wake_at == 21.0
    (event,) = play.ask(Wake(), 22.0).events
    assert (event.kind, event.agent, event.data["action_epoch"]) == ("barrier.action_started", "bob", 2)
    assert (event.data["expired_at"], event.data["deadline_at"], event.data["triggered_at"]) == (21.0, 42.0, 1.0)
    assert play.look_again(Arrive(BOB), 22.0).is_elected
    assert play.look_again(Arrive(ANN), 22.0).pending


def test_an_outcome_of_an_old_epoch_is_refused_and_kept_as_evidence() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    play.ask(Wake(), 22.0)
    told = play.told(ActionDone(ANN, 0, 1, result="late"), 23.0)
    assert play.kinds[-1] == "barrier.action_refused"
    assert play.log[-1].data == {
        "generation": 0, "action_epoch": 1, "current_epoch": 2, "result": "late", "error": None,
    }  # fmt: skip
    assert (told.is_refused, told.success, told.pending) == (True, False, False)
    assert play.told(ActionDone(BOB, 0, 2, result="in time"), 24.0).action_result == "in time"


def test_an_outcome_that_comes_at_its_deadline_is_too_late_even_if_no_timer_fired() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    assert kinds(play.ask(ActionDone(ANN, 0, 1), 21.0)) == ["barrier.action_started", "barrier.action_refused"]


def test_an_outcome_after_the_verdict_is_refused_and_the_same_one_twice_is_harmless() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    play.ask(Wake(), 22.0)
    play.ask(ActionDone(BOB, 0, 2), 23.0)
    assert play.ask(ActionDone(BOB, 0, 2), 24.0).events == ()
    assert not play.look_again(ActionDone(BOB, 0, 2)).is_refused
    assert kinds(play.ask(ActionDone(ANN, 0, 1), 24.0)) == ["barrier.action_refused"]
    assert play.look_again(ActionDone(ANN, 0, 1)).is_refused


def test_an_action_epoch_that_was_never_given_out_is_an_error() -> None:
    play = made(action=MERGE)
    with pytest.raises(Invalid, match="barrier build never gave out action epoch 1; its newest is 0"):
        play.ask(ActionDone(ANN, 0, 1))


def test_nobody_else_may_say_that_the_action_is_done() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    with pytest.raises(NotAllowed, match="ann does the action of barrier build under epoch 1, not bob"):
        play.ask(ActionDone(BOB, 0, 1), 2.0)
    named = made(action=MERGE, participants=(ANN, BOB, CY))
    arrive_all(named, 1.0)
    with pytest.raises(NotAllowed, match="dan is not a party of barrier build"):
        named.ask(ActionDone(DAN, 0, 1), 2.0)


def test_an_elected_party_that_is_lost_is_followed_at_once() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    assert kinds(play.ask(Lost(ANN, "no heartbeat"), 2.0)) == ["barrier.party_lost", "barrier.action_started"]
    assert play.look_again(Arrive(BOB), 2.0).is_elected
    assert play.log[-1].data["reason"] == "ann is gone: no heartbeat"


def test_who_is_gone_is_not_elected() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0, ANN, BOB)
    play.ask(Lost(ANN, "killed"), 2.0)
    play.ask(Arrive(CY), 3.0)
    assert play.look_again(Arrive(BOB), 3.0).is_elected


def test_when_nobody_is_left_to_do_the_action_the_generation_breaks() -> None:
    play = made(action=MERGE, participant_count=2)
    arrive_all(play, 1.0, ANN, BOB)
    play.ask(Lost(ANN, "killed"), 2.0)
    play.ask(Lost(BOB, "killed"), 3.0)
    told = play.look_again(Arrive(ANN), 3.0)
    assert (told.status, told.blamed) == ("broken", ("bob",))
    assert told.reason == "nobody is left to do the action merge: bob is gone: killed"


def test_an_action_of_the_coordinator_is_done_by_it_and_by_nobody_else() -> None:
    play = made(action=Action("coordinator", "snapshot"))
    arrive_all(play, 1.0)
    assert (play.log[-1].kind, play.log[-1].agent) == ("barrier.action_started", None)
    assert all(play.look_again(Arrive(agent), 1.0).pending for agent in (ANN, BOB, CY))
    with pytest.raises(NotAllowed, match="coordinator does the action"):
        play.ask(ActionDone(ANN, 0, 1), 2.0)
    assert play.told(ActionDone(COORDINATOR, 0, 1), 2.0).success


def test_the_deadline_of_the_generation_covers_its_action() -> None:
    play = made(action=MERGE, timeout_s=10.0)
    arrive_all(play, 1.0)
    assert (play.log[-1].data["deadline_at"], play.wake_at) == (11.0, 11.0)
    play.ask(Wake(), 11.0)
    told = play.look_again(Arrive(BOB), 12.0)
    assert (told.status, told.arrived_count, told.blamed) == ("timeout", 3, ("ann",))


def test_while_the_action_is_done_the_generation_is_full() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    with pytest.raises(WrongPhase, match="generation 0 of barrier build is full and its action is being done"):
        play.ask(Arrive(DAN), 2.0)


def test_the_next_generation_has_an_action_of_its_own_under_a_higher_epoch() -> None:
    play = made(action=MERGE)
    arrive_all(play, 1.0)
    play.ask(ActionDone(ANN, 0, 1), 2.0)
    arrive_all(play, 3.0, CY, BOB, ANN)
    told = play.look_again(Arrive(CY), 3.0)
    assert (told.is_elected, told.generation, told.action_epoch) == (True, 1, 2)


# who is lost


def test_a_lost_party_is_waited_for_by_default() -> None:
    play = made(participants=(ANN, BOB, CY))
    arrive_all(play, 1.0, ANN)
    assert kinds(play.ask(Lost(BOB, "no heartbeat"), 2.0)) == ["barrier.party_lost"]
    assert play.told(Look()).lost == {"bob": "no heartbeat"}
    assert play.ask(Lost(BOB, "still none"), 3.0).events == ()


def test_by_the_policy_break_a_lost_party_breaks_the_generation_that_waits_for_it() -> None:
    play = made(participants=(ANN, BOB, CY), on_lost="break")
    arrive_all(play, 1.0, ANN)
    play.ask(Lost(BOB, "no heartbeat"), 2.0)
    told = play.look_again(Arrive(ANN), 2.0)
    assert (told.status, told.reason, told.blamed) == ("broken", "bob, who is gone: no heartbeat", ("bob",))


def test_by_the_policy_break_nobody_begins_to_wait_for_a_party_that_is_gone() -> None:
    play = made(participants=(ANN, BOB, CY), on_lost="break")
    assert kinds(play.ask(Lost(BOB, "killed"), 1.0)) == ["barrier.party_lost"]
    told = play.told(Arrive(ANN), 2.0)
    assert (told.status, told.blamed, told.pending) == ("broken", ("bob",), False)


def test_a_party_that_is_lost_after_it_arrived_has_arrived() -> None:
    play = made(participants=(ANN, BOB, CY), on_lost="break")
    arrive_all(play, 1.0, ANN, BOB)
    play.ask(Lost(BOB, "killed"), 2.0)
    assert play.told(Arrive(CY), 3.0).success


def test_a_party_that_is_back_is_not_gone() -> None:
    play = made(participants=(ANN, BOB, CY), on_lost="break")
    play.ask(Lost(BOB, "killed"), 1.0)
    assert kinds(play.ask(Found(BOB), 2.0)) == ["barrier.party_found"]
    assert play.ask(Found(BOB), 2.0).events == ()
    assert play.told(Arrive(ANN), 3.0).pending


def test_who_arrives_is_not_gone() -> None:
    play = made(participants=(ANN, BOB, CY))
    play.ask(Lost(BOB, "killed"), 1.0)
    play.ask(Arrive(BOB), 2.0)
    assert play.told(Look()).lost == {}


def test_a_loss_that_is_nothing_to_the_barrier_is_not_noted() -> None:
    play = made()
    assert play.ask(Lost(DAN, "killed"), 1.0).events == ()
    over = one_shot()
    arrive_all(over, 1.0)
    assert over.ask(Lost(ANN, "killed"), 2.0).events == ()


# cost


@pytest.mark.parametrize("are_named", [False, True])
def test_an_arrival_costs_the_same_among_thousands_as_among_ten(
    are_named: bool, bytes_of: Callable[[Callable[[], object]], int]
) -> None:
    costs = []
    for n in (10, 4_000):
        names = tuple(AgentId(f"agent-{number}") for number in range(n))
        play = made(participant_count=n, participants=names if are_named else ())
        for agent in names[: n // 2]:
            play.ask(Arrive(agent, {"lines": 3}, request_id="r"))
        middle = Arrive(names[n // 2], {"lines": 3}, request_id="r")
        costs.append(bytes_of(lambda play=play, middle=middle: play.told(middle)))  # type: ignore[misc]
    assert costs[1] < costs[0] + 8_000  # a copy of what thousands hold takes more
