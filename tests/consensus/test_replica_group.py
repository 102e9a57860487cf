"""A group of replicas, as the coordinator knows it."""

import pytest

from concerted.consensus.replica_group import (
    Await,
    Create,
    Dismissed,
    End,
    Entrust,
    Form,
    Lead,
    ReplicaGroup,
    answer,
    decide,
    evolve,
    tolerates,
    waits,
    wakes,
)  # fmt: skip
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import EVERYBODY, Found, Look, Lost, Wake
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
MAKE = Create("ops", ANN, "raft", (ANN, BOB, CY), uid="1")
DESCRIPTION = {"id": "ops-1", "replicas": {"1": "/a", "2": "/b", "3": "/c"}}


def after(*requests, state: ReplicaGroup | None = None) -> ReplicaGroup:
    for request in requests:
        for event in decide(state, request, 1.0).events:
            state = evolve(state, event, 1.0)
    assert state is not None
    return state


def kinds(state: ReplicaGroup | None, request) -> list[str]:
    return [event.kind.partition(".")[2] for event in decide(state, request, 1.0).events]


def test_a_group_is_forming_until_its_description_is_there() -> None:
    state = after(MAKE)
    assert (state.status, state.group) == ("forming", None)
    state = after(Form(DESCRIPTION), state=state)
    assert (state.status, state.group) == ("ready", DESCRIPTION)
    assert kinds(state, Form({"id": "other"})) == []


@pytest.mark.parametrize(("count", "words"), [(1, "one fault domain"), (2, "tolerates the loss of none, and no lies")])
def test_who_makes_too_small_a_group_is_warned(count: int, words: str) -> None:
    state = after(Create("ops", ANN, "raft", (ANN, BOB, CY)[:count]))
    (warning,) = answer(state, Look(), 1.0).warnings
    assert words in warning
    assert answer(after(MAKE), Look(), 1.0).warnings == ()


def test_who_waits_for_it_is_told_whose_word_is_missing_and_is_woken_when_it_is_ready() -> None:
    state = after(MAKE)
    wait = waits(state, Await(), 2.0)
    assert wait is not None
    assert (wait.unblocked_by, wait.needed) == ((ANN, BOB, CY), 3)
    assert answer(state, Await(), 2.0).pending
    (event,) = decide(state, Form(DESCRIPTION), 2.0).events
    assert wakes(event) == (EVERYBODY,)
    ready = evolve(state, event, 2.0)
    assert not answer(ready, Await(), 2.0).pending
    assert waits(ready, Await(), 2.0) is None


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Create("ops", ANN, "raft", (ANN, BOB, CY, AgentId("dee"))), "raft takes 1, 2, 3, 5, 7 replicas"),
        (Create("ops", ANN, "pbft", (ANN, BOB, CY)), "with fewer than 4 replicas pbft survives no lie"),
        (Create("ops", ANN, "raft", (ANN, ANN, BOB)), "a host is named twice"),
        (Create(" ", ANN, "raft", (ANN,)), "cannot name a group"),
        (Create("ops", ANN, "raft", (ANN,), heartbeat_interval_s=20.0), "several of them must come within it"),
    ],
)
def test_a_group_that_cannot_be_is_refused_with_what_is_wrong(request_: Create, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        decide(None, request_, 1.0)
    assert words in refused.value.message


def test_the_same_group_again_is_that_group_and_another_one_of_its_name_is_none() -> None:
    state = after(MAKE)
    assert kinds(state, Create("ops", BOB, "raft", (ANN, BOB, CY), uid="2")) == []
    with pytest.raises(Conflict, match="ann has made group ops already"):
        decide(state, Create("ops", BOB, "raft", (ANN,)), 1.0)


def test_what_is_entrusted_to_it_stays_so() -> None:
    state = after(MAKE, Form(DESCRIPTION), Entrust("decision:d"), Entrust("decision:d"), Entrust("agreement:a"))
    assert answer(state, Look(), 1.0).objects == ("agreement:a", "decision:d")
    with pytest.raises(WrongPhase, match="cannot be entrusted to it"):
        decide(after(MAKE), Entrust("decision:d"), 1.0)


def test_who_leads_is_noted_when_it_changes() -> None:
    state = after(MAKE, Form(DESCRIPTION))
    assert kinds(state, Lead(2, 1)) == ["led"]
    state = after(Lead(2, 1), state=state)
    assert kinds(state, Lead(2, 1)) == []
    told = answer(state, Look(), 1.0)
    assert (told.leader, told.term) == (BOB, 1)
    assert kinds(state, Lead(2, 5)) == ["led"]


def test_hosts_that_go_and_come_back_are_noted() -> None:
    state = after(MAKE, Form(DESCRIPTION), Lost(BOB, "no heartbeat"), Lost(BOB, "again"), Lost(AgentId("eve"), "x"))
    assert answer(state, Look(), 1.0).lost_agents == (BOB,)
    state = after(Found(BOB), Found(CY), state=state)
    assert answer(state, Look(), 1.0).lost_agents == ()


def test_its_creator_or_an_admin_ends_it_once() -> None:
    state = after(MAKE, Form(DESCRIPTION))
    with pytest.raises(NotAllowed, match="ann, who made it, or an admin can"):
        decide(state, End(BOB), 1.0)
    ended = after(End(BOB, "moved", is_admin=True), state=state)
    assert (ended.status, ended.reason) == ("ending", "moved")
    assert kinds(ended, End(ANN)) == []
    assert kinds(ended, Lead(1, 9)) == []
    with pytest.raises(WrongPhase, match=r"is over \(moved\)"):
        decide(ended, MAKE, 1.0)


def test_it_has_ended_when_every_host_has_dismissed_its_replica() -> None:
    state = after(MAKE, Form(DESCRIPTION))
    assert kinds(state, Dismissed(1)) == []
    state = after(End(ANN), Dismissed(1), Dismissed(1), Dismissed(9), Dismissed(3), state=state)
    assert (state.status, state.dismissed, state.to_dismiss) == ("ending", (1, 3), {2: BOB})
    assert kinds(state, Dismissed(2)) == ["dismissed", "ended"]
    assert after(Dismissed(2), state=state).status == "ended"


def test_time_and_news_of_what_is_not_there_change_nothing() -> None:
    for request in (Wake(), Lost(ANN, "x"), Found(ANN)):
        assert kinds(None, request) == []
    with pytest.raises(NotFound, match="create it"):
        decide(None, Await(), 1.0)


@pytest.mark.parametrize(
    ("algorithm", "count", "failing"), [("raft", 2, 0), ("raft", 5, 2), ("pbft", 4, 1), ("pbft", 13, 4)]
)
def test_how_many_may_fail_follows_from_how_many_there_are(algorithm, count: int, failing: int) -> None:
    assert tolerates(algorithm, count) == failing
