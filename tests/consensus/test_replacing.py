"""A host of a group is replaced: what is decided, what is refused, and how the group stands after each step."""

import pytest

from concerted.consensus.replacing import Joining, Replace, Replaced, Unable
from concerted.consensus.replica_group import (
    Create,
    Dismissed,
    End,
    Form,
    Lead,
    Look,
    ReplicaGroup,
    answer,
    decide,
    evolve,
    waits,
    wakes,
)
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import EVERYBODY, Found, Lost
from concerted.values import AgentId

ANN, BOB, CY, DAN, EVE = (AgentId(name) for name in ("ann", "bob", "cy", "dan", "eve"))
MAKE = Create("ops", ANN, "raft", (ANN, BOB, CY), uid="1")
SWAP = Replace(ANN, ANN, DAN)
WITH_DAN, WITHOUT_ANN = {"replicas": {"1": "/1", "4": "/4"}}, {"replicas": {"4": "/4"}}


def after(*requests, state: ReplicaGroup | None = None) -> ReplicaGroup:
    for request in requests:
        for event in decide(state, request, 1.0).events:
            state = evolve(state, event, 1.0)
    assert state is not None
    return state


def kinds(state: ReplicaGroup, request) -> list[str]:
    return [event.kind.partition(".")[2] for event in decide(state, request, 1.0).events]


@pytest.fixture
def ready() -> ReplicaGroup:
    return after(MAKE, Form({"replicas": {"1": "/1"}}))


def test_a_host_is_replaced_by_a_replica_whose_id_nobody_had(ready: ReplicaGroup) -> None:
    state = after(SWAP, state=ready)
    assert (state.replacement.old_node, state.replacement.node, state.hosts) == (1, 4, (ANN, BOB, CY))
    state = after(Joining(4, WITH_DAN), state=state)
    assert (state.replacement.is_joining, state.group) == (True, WITH_DAN)
    state = after(Replaced(4, WITHOUT_ANN), state=state)
    assert (state.replacement, state.hosts, state.group) == (None, (BOB, CY, DAN), WITHOUT_ANN)
    assert dict(state.nodes) == {2: BOB, 3: CY, 4: DAN}
    assert after(Replace(ANN, BOB, EVE), state=state).replacement.node == 5


def test_who_asks_waits_until_it_is_done(ready: ReplicaGroup) -> None:
    state = after(SWAP, state=ready)
    assert answer(state, SWAP, 1.0).pending
    assert waits(state, SWAP, 1.0).unblocked_by == (DAN,)
    (event,) = decide(after(Joining(4, WITH_DAN), state=state), Replaced(4, WITHOUT_ANN), 1.0).events
    assert wakes(event) == (EVERYBODY,)
    done = after(Joining(4, WITH_DAN), Replaced(4, WITHOUT_ANN), state=state)
    assert not answer(done, SWAP, 1.0).pending
    assert waits(done, SWAP, 1.0) is None
    assert not answer(state, Look(), 1.0).pending


def test_asked_again_it_is_the_same_before_and_after_it_is_done(ready: ReplicaGroup) -> None:
    state = after(SWAP, state=ready)
    assert kinds(state, SWAP) == []
    state = after(Joining(4, WITH_DAN), state=state)
    assert kinds(state, Joining(4, WITH_DAN)) == []
    state = after(Replaced(4, WITHOUT_ANN), state=state)
    assert kinds(state, SWAP) == []
    assert kinds(state, Replaced(4, WITHOUT_ANN)) == []


def test_what_is_said_of_a_replacement_that_was_given_up_is_not_heard(ready: ReplicaGroup) -> None:
    state = after(SWAP, Replace(ANN, ANN, EVE), state=ready)
    assert (state.replacement.new, state.replacement.node) == (EVE, 5)
    for late in (Joining(4, WITH_DAN), Unable(4, "no"), Replaced(4, WITHOUT_ANN)):
        assert kinds(state, late) == []


def test_the_replica_of_an_agent_that_was_given_up_goes_only_when_another_has_taken_the_place(
    ready: ReplicaGroup,
) -> None:
    """It may have become a member: until the group has changed again, its vote may be needed."""
    state = after(SWAP, Joining(4, WITH_DAN), Replace(ANN, ANN, EVE), Joining(5, WITH_DAN), state=ready)
    assert state.to_dismiss == {}
    assert kinds(state, Dismissed(4)) == []
    state = after(Replaced(5, WITHOUT_ANN), state=state)
    assert state.to_dismiss == {1: ANN, 4: DAN}
    state = after(Dismissed(1), Dismissed(4), state=state)
    assert (state.to_dismiss, state.status) == ({}, "ready")


def test_an_agent_that_refuses_leaves_the_place_to_be_filled(ready: ReplicaGroup) -> None:
    state = after(SWAP, state=ready)
    (event,) = decide(state, Unable(4, "no room"), 1.0).events
    assert wakes(event) == (EVERYBODY,)
    state = evolve(state, event, 1.0)
    assert (answer(state, SWAP, 1.0).pending, answer(state, SWAP, 1.0).replacement.refusal) == (False, "no room")
    assert after(SWAP, state=state).replacement.node == 5, "it may be asked anew"
    assert after(Replace(ANN, ANN, EVE), state=state).replacement.new == EVE


def test_an_agent_that_has_lost_its_files_is_replaced_by_itself(ready: ReplicaGroup) -> None:
    own = Replace(ANN, ANN, ANN)
    state = after(Lost(ANN, "its file is gone"), own, Joining(4, WITH_DAN), Replaced(4, WITHOUT_ANN), state=ready)
    assert (dict(state.nodes), state.to_dismiss) == ({2: BOB, 3: CY, 4: ANN}, {1: ANN})
    assert answer(state, Look(), 1.0).lost_agents == ()


def test_who_leads_and_who_is_lost_are_those_of_the_newest_members(ready: ReplicaGroup) -> None:
    state = after(Lead(1, 3), Lost(ANN, "gone"), SWAP, Joining(4, WITH_DAN), state=ready)
    assert kinds(state, Lost(DAN, "gone")) == ["host_lost"]
    state = after(Replaced(4, WITHOUT_ANN), state=state)
    told = answer(state, Look(), 1.0)
    assert (told.leader, told.lost_agents) == (None, ())
    assert answer(after(Lead(4, 4), state=state), Look(), 1.0).leader == DAN
    assert kinds(state, Lost(ANN, "gone")) == []
    assert kinds(state, Found(ANN)) == []


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (Replace(BOB, ANN, DAN), NotAllowed, "bob may not change group ops; ann, who made it, or an admin can"),
        (Replace(ANN, EVE, DAN), NotFound, "eve hosts no replica of group ops; ann, bob, cy do"),
        (Replace(ANN, ANN, BOB), Invalid, "bob hosts a replica of group ops already"),
        (Replace(ANN, ANN, AgentId(" ")), Invalid, "cannot name an agent"),
    ],
)
def test_what_cannot_be_is_refused_in_words(ready: ReplicaGroup, request_: Replace, error, words: str) -> None:
    with pytest.raises(error) as refused:
        decide(ready, request_, 1.0)
    assert words in refused.value.message


def test_an_admin_may_replace_a_host_too(ready: ReplicaGroup) -> None:
    assert kinds(ready, Replace(BOB, ANN, DAN, is_admin=True)) == ["replacing"]


def test_one_host_at_a_time_is_replaced(ready: ReplicaGroup) -> None:
    state = after(SWAP, state=ready)
    with pytest.raises(Conflict, match="dan is taking the place of ann"):
        decide(state, Replace(ANN, BOB, EVE), 1.0)


@pytest.mark.parametrize("algorithm", ["paxos", "pbft"])
def test_only_raft_can_change_its_members(algorithm) -> None:
    state = after(Create("ops", ANN, algorithm, (ANN, BOB, CY, EVE)[: 4 if algorithm == "pbft" else 3]), Form({}))
    with pytest.raises(Invalid, match=f"keeps its log by {algorithm}, whose replicas are those that it was made with"):
        decide(state, SWAP, 1.0)


def test_a_group_that_is_not_ready_has_nobody_replaced() -> None:
    for state in (after(MAKE), after(MAKE, End(ANN))):
        with pytest.raises(WrongPhase, match="no host of it can be replaced"):
            decide(state, SWAP, 1.0)


def test_a_group_that_is_ended_meanwhile_has_all_of_them_dismissed(ready: ReplicaGroup) -> None:
    state = after(SWAP, Replace(ANN, ANN, EVE), Joining(5, WITH_DAN), End(ANN), state=ready)
    assert state.to_dismiss == {1: ANN, 2: BOB, 3: CY, 4: DAN, 5: EVE}
    assert not answer(state, SWAP, 1.0).pending
    state = after(*(Dismissed(node) for node in (1, 2, 4, 5)), state=state)
    assert state.status == "ending"
    assert kinds(state, Dismissed(3)) == ["dismissed", "ended"]
