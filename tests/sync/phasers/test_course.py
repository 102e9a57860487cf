"""How a phaser goes on by itself: when it must be looked at, when a phase advances, when the phaser ends."""

from typing import Any

import pytest

from concerted.machine import Step
from concerted.sync.phasers.course import after, breaks, overdue, settle, taken_out, terminated, then, wake_at
from concerted.sync.phasers.phaser import Arrive, Create, Register, Request, decide
from concerted.sync.phasers.state import Phaser, evolve
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def made(parties: tuple[AgentId, ...], *requests: Request, **terms: Any) -> Phaser:
    state = None
    for request in (Create("build", ANN, parties, **terms), *requests):
        for event in decide(state, request, 1.0).events:
            state = evolve(state, event, 1.0)
    assert state is not None
    return state


def kinds(step: Step) -> list[str]:
    return [event.kind.removeprefix("phaser.") for event in step.events]


def test_nothing_is_due_before_somebody_has_arrived() -> None:
    state = made((ANN, BOB), late_after_s=5.0)
    assert (wake_at(state), overdue(state, 1e9)) == (None, Step())
    assert wake_at(made((ANN, BOB), Arrive(ANN), late_after_s=5.0)) == 6.0


def test_a_phase_does_not_advance_while_it_waits_for_somebody() -> None:
    assert settle(made((ANN, BOB), Arrive(ANN)), 2.0) == Step()


def test_a_phaser_that_nobody_has_joined_yet_neither_advances_nor_ends_by_itself() -> None:
    state = made((), ends_when_empty=False)
    assert settle(state, 2.0) == Step()
    assert kinds(decide(made(()), Register(ANN), 2.0)) == ["registered"]


def test_taking_the_last_missing_party_out_lets_the_phase_advance() -> None:
    state = made((ANN, BOB), Arrive(ANN))
    assert kinds(then(state, taken_out(state, (BOB,), "stuck"), 2.0, settle)) == ["party_removed", "advanced"]


def test_who_is_taken_out_is_told_with_the_others() -> None:
    (send,) = taken_out(made((ANN, BOB, CY)), (BOB, CY), "stuck").sends
    assert (send.to, send.content["removed"], send.content["removed_count"]) == ((ANN, BOB, CY), ["bob", "cy"], 2)


def test_a_broken_phase_is_followed_by_one_that_waits_for_all_anew() -> None:
    state = made((ANN, BOB), Arrive(ANN))
    state = after(state, breaks("no", (BOB,), 2)(state, 2.0), 2.0)
    assert (state.phase, tuple(state.missing), len(state.arrivals)) == (1, ("ann", "bob"), 0)


def test_a_phaser_without_parties_ends_without_a_broken_phase() -> None:
    assert kinds(terminated(made(()), 2.0, "enough", (ANN,))) == ["terminated"]
    assert terminated(made(()), 2.0, "enough", (ANN,)).sends == ()
