"""A phaser: parties that come and go, phases, what becomes of the lost and the late, and every wrong turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.sync.phasers import phaser
from concerted.sync.phasers.phaser import (
    KINDS,
    TOLD_AT_ONCE,
    Arrive,
    ArriveAndAwait,
    ArriveAndDeregister,
    Await,
    Cancel,
    Create,
    Deregister,
    Phaser,
    PhaserResult,
    Register,
    Remove,
    Request,
    answer,
    decide,
    evolve,
)
from concerted.sync.phasers.state import VERDICTS_KEPT
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")


@dataclass
class Play:
    """A phaser as it lives through requests."""

    state: Phaser | None = None
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
        return [event.kind.removeprefix("phaser.") for event in step.events]

    def told(self, request: Request, now: float = 0.0) -> PhaserResult:
        self.ask(request, now)
        return self.look_again(request, now)

    def look_again(self, request: Request, now: float = 0.0) -> PhaserResult:
        assert self.state is not None
        return answer(self.state, request, now)

    def arrive(self, now: float, *agents: AgentId) -> "Play":
        for agent in agents:
            self.ask(Arrive(agent), now)
        return self

    def sent(self, message: str) -> list[tuple[str, ...]]:
        return [send.to for send in self.sends if send.type == message]


def made(*parties: AgentId, **terms: Any) -> Play:
    play = Play()
    play.ask(Create("build", DAN, parties, **terms))
    play.log.clear()
    return play


# phases


def test_a_phase_is_over_when_all_its_parties_have_arrived() -> None:
    play = made(ANN, BOB)
    told = play.told(ArriveAndAwait(ANN), 1.0)
    assert (told.pending, told.status, told.phase, told.arrived_count, told.party_count) == (True, "waiting", 0, 1, 2)
    assert play.ask(ArriveAndAwait(BOB), 4.0) == ["arrived", "advanced"]
    told = play.look_again(ArriveAndAwait(ANN), 9.0)
    assert (told.success, told.status, told.phase, told.current_phase) == (True, "advanced", 0, 1)
    assert (told.wait_s, told.advanced_at, told.pending) == (3.0, 4.0, False)


def test_who_only_arrives_does_not_wait() -> None:
    told = made(ANN, BOB).told(Arrive(ANN), 1.0)
    assert (told.pending, told.status, told.success, told.registration) == (False, "waiting", False, 1)


def test_phases_follow_each_other_from_0() -> None:
    play = made(ANN, BOB)
    for phase in range(4):
        assert play.told(Look()).phase == phase
        play.arrive(float(phase), BOB, ANN)
    assert [event.data["next_phase"] for event in play.log if event.kind == "phaser.advanced"] == [1, 2, 3, 4]


def test_all_parties_are_told_that_the_phase_has_advanced() -> None:
    play = made(ANN, BOB).arrive(1.0, BOB, ANN)
    assert play.sends[-1] == Send(
        (ANN, BOB),
        "PHASE_ADVANCED",
        {
            "phaser_id": "build",
            "phase": 0,
            "next_phase": 1,
            "arrived_count": 2,
            "registered_count": 2,
            "advanced_at": 1.0,
            "removed": [],
        },
        "high",
    )


def test_anybody_can_wait_for_a_phase_past_present_or_to_come() -> None:
    play = made(ANN)
    assert play.told(Await(CY, 0)).pending
    assert play.told(Await(CY, 3)).pending
    play.arrive(1.0, ANN)
    assert play.told(Await(CY, 0)).success
    assert play.told(Await(CY, 1)).pending


def test_there_is_no_phase_before_the_first() -> None:
    with pytest.raises(Invalid, match="phases count from 0; there is no phase -1"):
        made(ANN).ask(Await(ANN, -1))


def test_what_the_parties_brought_is_shown_with_the_verdict() -> None:
    play = made(ANN, BOB)
    play.ask(Arrive(ANN, {"lines": 3}))
    assert play.told(Arrive(BOB)).data == {"ann": {"lines": 3}}


def test_a_phase_too_long_ago_is_an_error_that_says_so() -> None:
    play = made(ANN)
    for _ in range(VERDICTS_KEPT + 1):
        play.arrive(1.0, ANN)
    assert play.told(Await(ANN, 1)).success
    for request in (Await(ANN, 0), Arrive(ANN, phase=0)):
        with pytest.raises(
            WrongPhase, match="phase 0 of phaser build is too long ago to be known; the current one is 9"
        ):
            play.ask(request)


# counting once


def test_an_agent_counts_once_per_phase() -> None:
    play = made(ANN, BOB).arrive(1.0, ANN)
    assert play.ask(Arrive(ANN), 2.0) == []
    assert play.told(Look()).arrived_count == 1


def test_a_call_repeated_by_its_request_id_or_phase_does_not_count_in_the_next_phase() -> None:
    play = made(ANN)
    play.ask(ArriveAndAwait(ANN, request_id="r1"))
    assert play.ask(ArriveAndAwait(ANN, request_id="r1")) == []
    assert play.ask(ArriveAndAwait(ANN, phase=0)) == []
    assert play.told(ArriveAndAwait(ANN, request_id="r1")).phase == 0
    assert play.told(ArriveAndAwait(ANN, request_id="r2")).phase == 1


def test_a_second_request_while_waiting_is_remembered_too() -> None:
    play = made(ANN, BOB)
    play.ask(Arrive(ANN, request_id="r1"))
    assert play.ask(Arrive(ANN, request_id="r2")) == ["repeated"]
    play.arrive(1.0, BOB)
    assert play.ask(Arrive(ANN, request_id="r2")) == []


def test_an_older_caller_is_answered_for_its_own_phase_while_the_agent_waits_in_the_next() -> None:
    play = made(ANN, BOB)
    play.ask(ArriveAndAwait(ANN, request_id="r1"))
    play.arrive(1.0, BOB)
    play.ask(ArriveAndAwait(ANN, request_id="r2"))
    assert play.look_again(ArriveAndAwait(ANN, request_id="r1")).success
    assert play.look_again(ArriveAndAwait(ANN, request_id="r2")).pending


def test_a_phase_that_is_over_or_has_not_begun_takes_no_arrival() -> None:
    play = made(ANN, BOB)
    with pytest.raises(WrongPhase, match="phase 1 of phaser build has not begun; the current one is 0"):
        play.ask(Arrive(ANN, phase=1))
    play.arrive(1.0, ANN, BOB)
    play.ask(Register(CY))
    with pytest.raises(WrongPhase, match=r"phase 0 of phaser build is over \(advanced\), without cy"):
        play.ask(Arrive(CY, phase=0))


# coming and going


def test_who_registers_takes_part_in_the_current_phase() -> None:
    play = made(ANN).arrive(1.0)
    told = play.told(Register(BOB), 2.0)
    assert (told.registration, told.from_phase, told.registered_count, told.pending) == (2, 0, 2, False)
    assert play.arrive(3.0, ANN).told(Look()).phase == 0
    assert play.arrive(4.0, BOB).told(Look()).phase == 1


def test_who_registers_for_the_next_phase_is_not_waited_for_in_this_one() -> None:
    play = made(ANN)
    assert play.told(Register(BOB, from_next=True)).from_phase == 1
    with pytest.raises(WrongPhase, match="bob takes part in phaser build from phase 1 on; this is phase 0"):
        play.ask(Arrive(BOB))
    play.arrive(1.0, ANN)
    assert play.told(Look()).missing == ("ann", "bob")
    assert play.arrive(2.0, ANN).told(Look()).phase == 1


def test_an_empty_phase_has_no_next_to_wait_for() -> None:
    play = made()
    assert play.told(Register(ANN, from_next=True)).from_phase == 0
    assert play.arrive(1.0, ANN).told(Look()).phase == 1


def test_registering_twice_is_registering_once() -> None:
    play = made(ANN)
    assert play.ask(Register(ANN)) == []
    assert play.told(Register(ANN)).registration == 1


def test_who_deregisters_is_waited_for_no_more() -> None:
    play = made(ANN, BOB, CY).arrive(1.0, ANN)
    assert play.ask(Deregister(BOB), 2.0) == ["deregistered"]
    assert play.ask(Deregister(CY), 3.0) == ["deregistered", "advanced"]
    assert play.told(Look()).registered_count == 1
    assert play.ask(Deregister(BOB), 4.0) == []


def test_an_arrival_stands_also_when_its_party_deregisters() -> None:
    play = made(ANN, BOB).arrive(1.0, ANN)
    play.ask(Deregister(ANN), 2.0)
    told = play.told(Arrive(BOB), 3.0)
    assert (told.status, told.arrived_count, told.registered_count) == ("advanced", 2, 1)


def test_who_arrives_and_deregisters_counts_in_this_phase_and_not_in_the_next() -> None:
    play = made(ANN, BOB)
    assert play.ask(ArriveAndDeregister(ANN), 1.0) == ["arrived"]
    assert play.arrive(2.0, BOB).told(Look()).phase == 1
    assert play.arrive(3.0, BOB).told(Look()).phase == 2


def test_who_has_arrived_may_still_say_that_it_leaves() -> None:
    play = made(ANN, BOB).arrive(1.0, ANN)
    assert play.ask(ArriveAndDeregister(ANN), 2.0) == ["deregistered"]
    assert play.arrive(3.0, BOB).told(Look()).registered_count == 1


@pytest.mark.parametrize("others", [(), (BOB,)])
def test_arriving_and_deregistering_twice_is_harmless_before_and_after_the_verdict(others: tuple[AgentId, ...]) -> None:
    play = made(ANN, *others, ends_when_empty=False)
    play.ask(ArriveAndDeregister(ANN), 1.0)
    assert play.ask(ArriveAndDeregister(ANN), 2.0) == []


def test_who_left_and_registers_again_in_the_same_phase_is_not_counted_twice() -> None:
    play = made(ANN, BOB)
    play.ask(ArriveAndDeregister(ANN), 1.0)
    assert play.told(Register(ANN), 2.0).from_phase == 1
    with pytest.raises(WrongPhase, match="ann takes part in phaser build from phase 1 on"):
        play.ask(Arrive(ANN), 3.0)
    assert play.told(Look()).arrived_count == 1


def test_the_phase_advances_for_those_who_begin_with_the_next_when_all_others_have_left() -> None:
    play = made(ANN)
    play.ask(Register(BOB, from_next=True))
    assert play.ask(Deregister(ANN), 1.0) == ["deregistered", "advanced"]
    assert play.told(Look()).missing == ("bob",)


def test_a_phaser_ends_with_its_last_party() -> None:
    play = made(ANN)
    assert play.ask(ArriveAndDeregister(ANN), 1.0) == ["arrived", "advanced", "terminated"]
    assert play.told(Await(BOB, 0)).success
    told = play.told(Await(BOB, 1))
    assert (told.status, told.pending, told.success, told.reason) == (
        "terminated", False, False, "its last party has gone",
    )  # fmt: skip
    assert made(ANN).ask(Deregister(ANN)) == ["deregistered", "terminated"]


def test_a_phaser_may_go_on_without_parties() -> None:
    play = made(ANN, ends_when_empty=False)
    assert play.ask(Deregister(ANN)) == ["deregistered"]
    play.ask(Register(BOB))
    assert play.arrive(1.0, BOB).told(Look()).phase == 1


def test_a_terminated_phaser_takes_nobody_in() -> None:
    play = made(ANN)
    play.ask(Deregister(ANN))
    for request in (Register(BOB), Arrive(ANN)):
        with pytest.raises(WrongPhase, match=r"phaser build is terminated and cannot .*: its last party has gone"):
            play.ask(request)


def test_a_stranger_may_not_arrive() -> None:
    with pytest.raises(NotAllowed, match="cy is not registered at phaser build; register first"):
        made(ANN).ask(Arrive(CY))


def test_more_parties_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phaser, "PARTIES_MAX", 1)
    with pytest.raises(Overloaded, match="phaser build has 1 parties, as many as it can"):
        made(ANN).ask(Register(BOB))


def test_a_party_has_a_name() -> None:
    with pytest.raises(Invalid, match="'' cannot be a party"):
        made(ANN).ask(Register(AgentId("")))


# making one, calling it off


def test_the_event_of_creation_has_every_field_of_it() -> None:
    event = decide(None, Create("build", DAN, (BOB, ANN), "b", "shrink", 30.0, False, {"k": 1}), 1.0).events[0]
    assert (event.kind, event.agent) == ("phaser.created", "dan")
    assert event.data == {
        "id": "build",
        "name": "b",
        "participants": ["ann", "bob"],
        "total": 2,
        "policy": "shrink",
        "late_after_s": 30.0,
        "ends_when_empty": False,
        "metadata": {"k": 1},
        "status": "active",
    }


def test_making_the_same_again_changes_nothing_and_another_of_its_id_is_a_conflict() -> None:
    play = made(ANN)
    assert play.ask(Create("build", BOB, (ANN,))) == []
    with pytest.raises(Conflict, match="phaser build exists and was made by dan with other settings"):
        play.ask(Create("build", DAN, (ANN,), policy="fail"))


@pytest.mark.parametrize(
    ("create", "problem"),
    [
        (Create("", DAN), "'' cannot be an id"),
        (Create("build", DAN, (AgentId(""),)), "a participant's name is empty"),
        (Create("build", DAN, late_after_s=0.0), "late_after_s must be more than 0"),
        (Create("build", DAN, policy="explode"), "policy is wait, shrink, break or fail"),  # type: ignore[arg-type]
    ],
)
def test_a_malformed_phaser_is_not_made(create: Create, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        decide(None, create, 0.0)


def test_what_does_not_exist_can_only_be_made() -> None:
    for request in (Wake(), Lost(ANN, "killed"), Found(ANN)):
        assert decide(None, request, 0.0) == Step()
    for asked in (Look(), Register(ANN), Arrive(ANN), Await(ANN, 0), Cancel(ANN)):
        with pytest.raises(NotFound, match="there is no phaser of this id"):
            decide(None, asked, 0.0)


def test_a_cancel_breaks_the_phase_and_ends_the_phaser_for_all() -> None:
    play = made(ANN, BOB).arrive(1.0, ANN)
    with pytest.raises(NotAllowed, match="ann cannot cancel phaser build; its creator dan or an admin can"):
        play.ask(Cancel(ANN))
    assert play.ask(Cancel(DAN, "enough"), 2.0) == ["broken", "terminated"]
    told = play.look_again(ArriveAndAwait(ANN), 2.0)
    assert (told.status, told.reason, told.pending) == ("broken", "enough", False)
    assert (play.sends[-1].to, play.sends[-1].content["is_terminated"]) == ((ANN, BOB), True)
    assert play.ask(Cancel(ANN, is_admin=True), 3.0) == []
    assert play.wake_at is None


# parties that are lost


def test_by_the_policy_wait_a_lost_party_is_waited_for_and_named() -> None:
    play = made(ANN, BOB).arrive(1.0, ANN)
    assert play.ask(Lost(BOB, "killed"), 2.0) == ["party_lost"]
    assert play.ask(Lost(BOB, "killed"), 2.0) == []
    assert play.told(Look()).lost == {"bob": "killed"}
    assert play.ask(Found(BOB), 3.0) == ["party_found"]
    assert play.ask(Found(BOB), 3.0) == []
    assert play.arrive(4.0, BOB).told(Look()).phase == 1


def test_who_arrives_is_not_gone() -> None:
    play = made(ANN, BOB)
    play.ask(Lost(ANN, "killed"))
    assert play.arrive(1.0, ANN).told(Look()).lost == {}


def test_by_the_policy_shrink_the_phase_goes_on_without_a_lost_party_and_all_are_told() -> None:
    play = made(ANN, BOB, CY, policy="shrink").arrive(1.0, ANN, CY)
    assert play.ask(Lost(BOB, "killed"), 2.0) == ["party_lost", "party_removed", "advanced"]
    told = play.look_again(ArriveAndAwait(ANN), 2.0)
    assert (told.success, told.removed, told.registered_count) == (True, {"bob": "gone: killed"}, 2)
    assert play.sent("PARTY_REMOVED") == [(ANN, BOB, CY)]
    assert play.sends[-2].content == {
        "phaser_id": "build", "phase": 0, "removed": ["bob"], "removed_count": 1, "reason": "gone: killed",
    }  # fmt: skip
    assert play.sends[-1].type == "PHASE_ADVANCED"
    assert play.sends[-1].content["removed"] == [{"agent": "bob", "reason": "gone: killed"}]


def test_by_the_policy_break_the_phase_fails_for_everybody_and_the_next_goes_on_with_the_rest() -> None:
    play = made(ANN, BOB, CY, policy="break").arrive(1.0, ANN)
    assert play.ask(Lost(BOB, "killed"), 2.0) == ["party_lost", "party_removed", "broken"]
    told = play.look_again(ArriveAndAwait(ANN), 2.0)
    assert (told.status, told.reason, told.blamed) == ("broken", "bob, who is gone: killed", ("bob",))
    assert (told.removed, told.arrived_count, told.party_count) == ({"bob": "gone: killed"}, 1, 3)
    assert play.sent("PHASER_BROKEN") == [(ANN, CY)]
    assert play.sends[-1].content["next_phase"] == 1
    assert play.arrive(3.0, ANN, CY).told(Look()).phase == 2


def test_by_the_policy_fail_the_phaser_is_terminated() -> None:
    play = made(ANN, BOB, policy="fail").arrive(1.0, ANN)
    assert play.ask(Lost(BOB, "killed"), 2.0) == ["party_lost", "broken", "terminated"]
    told = play.look_again(ArriveAndAwait(ANN), 2.0)
    assert (told.status, told.reason, told.blamed) == ("broken", "bob, who is gone: killed", ("bob",))
    assert play.sent("PHASER_BROKEN") == [(ANN, BOB)]


@pytest.mark.parametrize("policy", ["shrink", "break"])
def test_a_party_lost_after_it_arrived_does_not_harm_the_phase_and_is_not_in_the_next(policy: str) -> None:
    play = made(ANN, BOB, policy=policy).arrive(1.0, BOB)
    assert play.ask(Lost(BOB, "killed"), 2.0) == ["party_lost", "party_removed"]
    told = play.told(Arrive(ANN), 3.0)
    assert (told.status, told.arrived_count, told.registered_count) == ("advanced", 2, 1)


def test_the_loss_of_the_last_party_ends_the_phaser() -> None:
    play = made(ANN, policy="break")
    assert play.ask(Lost(ANN, "killed")) == ["party_lost", "party_removed", "broken", "terminated"]


def test_a_stranger_who_is_lost_is_nothing_to_the_phaser() -> None:
    assert made(ANN, policy="fail").ask(Lost(BOB, "killed")) == []


# registrations


def test_a_removed_party_that_comes_back_is_refused_until_it_registers_again() -> None:
    play = made(ANN, BOB, policy="shrink")
    play.ask(Lost(BOB, "killed"))
    with pytest.raises(
        LeaseLost, match=r"registration 2 of bob at phaser build is over since phase 0: gone: killed; regis"
    ):
        play.ask(Arrive(BOB))
    assert play.told(Register(BOB)).registration == 3
    with pytest.raises(LeaseLost, match="registration 2 of bob at phaser build is over; its own is now 3"):
        play.ask(Arrive(BOB, registration=2))
    assert play.ask(Arrive(BOB, registration=3)) == ["arrived"]


def test_an_old_registration_cannot_deregister_the_new_one() -> None:
    play = made(ANN, BOB)
    play.ask(Deregister(BOB, registration=2))
    play.ask(Register(BOB))
    with pytest.raises(LeaseLost, match="its own is now 3"):
        play.ask(Deregister(BOB, registration=2))


def test_the_creator_takes_a_party_out() -> None:
    play = made(ANN, BOB).arrive(1.0, ANN)
    with pytest.raises(NotAllowed, match="ann cannot remove bob from phaser build; its creator dan or an admin can"):
        play.ask(Remove(ANN, BOB))
    assert play.ask(Remove(DAN, BOB, "stuck"), 2.0) == ["party_removed", "advanced"]
    assert play.look_again(Arrive(ANN)).removed == {"bob": "stuck"}
    assert play.log[-2].data["by"] == "dan"
    assert play.ask(Remove(DAN, BOB), 3.0) == []


# parties that are late


def late(policy: str) -> Play:
    return made(ANN, BOB, CY, policy=policy, late_after_s=30.0).arrive(10.0, ANN, CY)


def test_time_runs_from_the_first_arrival_of_the_phase() -> None:
    play = made(ANN, BOB, late_after_s=30.0)
    assert play.wake_at is None
    assert play.arrive(10.0, ANN).wake_at == 40.0
    assert play.ask(Wake(), 39.9) == []
    assert play.arrive(39.9, BOB).wake_at is None
    assert play.arrive(50.0, ANN).wake_at == 80.0


def test_by_the_policy_wait_lateness_is_noted_once_and_waited_for() -> None:
    play = late("wait")
    assert play.ask(Wake(), 45.0) == ["late"]
    assert play.log[-1].data == {
        "phase": 0, "missing": ["bob"], "missing_count": 1, "deadline_at": 40.0, "arrived": 2, "total": 3,
    }  # fmt: skip
    assert play.wake_at is None
    assert play.ask(Wake(), 50.0) == []
    assert play.told(Look()).is_late
    assert play.arrive(51.0, BOB).told(Look()).phase == 1
    assert not play.told(Look()).is_late


def test_by_the_policy_shrink_the_late_are_removed_and_the_phase_advances() -> None:
    play = late("shrink")
    assert play.ask(Wake(), 40.0) == ["late", "party_removed", "advanced"]
    told = play.look_again(ArriveAndAwait(ANN), 40.0)
    assert told.removed == {"bob": "late: not arrived 30 s after the first in phase 0"}
    assert told.success


def test_by_the_policy_break_the_late_break_the_phase_and_are_removed() -> None:
    play = late("break")
    assert play.ask(Wake(), 40.0) == ["late", "party_removed", "broken"]
    told = play.look_again(ArriveAndAwait(ANN), 40.0)
    assert (told.status, told.blamed, told.party_count) == ("broken", ("bob",), 3)
    assert told.reason == "late: not arrived 30 s after the first in phase 0: bob"
    assert play.told(Look()).missing == ("ann", "cy")


def test_by_the_policy_fail_the_late_end_the_phaser() -> None:
    assert late("fail").ask(Wake(), 40.0) == ["late", "broken", "terminated"]


def test_who_arrives_at_the_deadline_is_late_even_if_no_timer_fired() -> None:
    with pytest.raises(LeaseLost, match="registration 2 of bob at phaser build is over since phase 0: late"):
        late("shrink").ask(Arrive(BOB), 40.0)


def test_of_very_many_parties_only_the_removed_are_told_at_once() -> None:
    names = tuple(AgentId(f"a{number:04}") for number in range(TOLD_AT_ONCE + 1))
    play = made(*names, policy="shrink")
    play.ask(Lost(names[3], "killed"))
    assert play.sent("PARTY_REMOVED") == [("a0003",)]
    play.arrive(1.0, *(name for name in names if name != names[3]))
    assert play.sends[-1].content["removed"] == [{"agent": "a0003", "reason": "gone: killed"}]


# cost


def test_an_arrival_costs_the_same_among_thousands_as_among_ten(
    bytes_of: Callable[[Callable[[], object]], int],
) -> None:
    costs = []
    for n in (10, 3_000):
        names = tuple(AgentId(f"agent-{number}") for number in range(n))
        play = made(*names).arrive(1.0, *names[: n // 2])
        middle = ArriveAndAwait(names[n // 2], {"lines": 3}, request_id="r")
        costs.append(bytes_of(lambda play=play, middle=middle: play.told(middle)))  # type: ignore[misc]
    assert costs[1] < costs[0] + 8_000  # a copy of what thousands hold takes more
