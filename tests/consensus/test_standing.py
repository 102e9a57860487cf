"""How the replicas of a group stand: who is silent, who is apart, and since when nothing can be decided."""

import pytest

from concerted.consensus.replica_group import Create, End, Form, ReplicaGroup, answer, decide, evolve
from concerted.consensus.standing import Stand, picture_of
from concerted.machine import Look
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
MAKE = Create("ops", ANN, "raft", (ANN, BOB, CY), uid="1")
READY = (MAKE, Form({"id": "ops-1", "replicas": {"1": "/a", "2": "/b", "3": "/c"}}))
WHOLE = Stand((), (), decides=True)
LEADER_DEAD = Stand((CY,), (), decides=True)
STALLED = Stand((BOB, CY), (ANN,), decides=False)


def after(*requests, at: float = 1.0, state: ReplicaGroup | None = None) -> ReplicaGroup:
    for request in requests:
        for event in decide(state, request, at).events:
            state = evolve(state, event, at)
    assert state is not None
    return state


def kinds(state: ReplicaGroup, request) -> list[str]:
    return [event.kind.partition(".")[2] for event in decide(state, request, 1.0).events]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({ANN: (3, 1), BOB: (3, 1), CY: (3, 1)}, WHOLE),
        ({ANN: (2, 2), BOB: (2, 2), CY: None}, LEADER_DEAD),
        ({ANN: (None, 2), BOB: None, CY: None}, STALLED),
        ({ANN: (None, 7), BOB: (None, 7), CY: (None, 7)}, Stand((), (ANN, BOB, CY), decides=False)),
        ({ANN: (1, 1), BOB: (2, 2), CY: (2, 2)}, Stand((), (ANN,), decides=True)),  # it does not know: its term is over
        ({ANN: (1, 99), BOB: (2, 2), CY: (2, 2)}, Stand((), (ANN,), decides=True)),  # one alone does not say who leads
        ({ANN: (2, 2), BOB: (2, 2), CY: (2, 1)}, Stand((), (CY,), decides=True)),
    ],
)
def test_who_leads_is_who_most_follow_and_all_others_are_silent_or_apart(said, told: Stand) -> None:
    assert picture_of(said, 2) == told


def test_what_is_new_is_noted_once() -> None:
    state = after(*READY)
    assert kinds(state, WHOLE) == []
    state = after(LEADER_DEAD, state=state)
    assert kinds(state, LEADER_DEAD) == []
    told = answer(state, Look(), 1.0)
    assert (told.silent, told.apart, told.stalled_at) == ((CY,), (), None)
    assert kinds(state, STALLED) == ["divided"]
    assert kinds(state, WHOLE) == ["whole"]
    assert answer(after(WHOLE, state=state), Look(), 1.0).silent == ()


def test_a_group_with_too_few_is_stalled_from_the_moment_that_is_seen_until_enough_are_back() -> None:
    state = after(STALLED, at=5.0, state=after(*READY))
    assert answer(state, Look(), 6.0).stalled_at == 5.0
    state = after(Stand((ANN, BOB, CY), (), decides=False), at=7.0, state=state)
    told = answer(state, Look(), 8.0)
    assert (told.silent, told.apart, told.stalled_at) == ((ANN, BOB, CY), (), 5.0)
    assert answer(after(LEADER_DEAD, at=9.0, state=state), Look(), 9.0).stalled_at is None
    assert answer(after(STALLED, End(ANN), state=after(*READY)), Look(), 9.0).stalled_at is None, "it is over"


def test_of_a_group_that_is_not_ready_nothing_is_noted() -> None:
    assert kinds(after(MAKE), STALLED) == []
    assert kinds(after(*READY, End(ANN)), STALLED) == []
