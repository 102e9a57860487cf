"""What a candidate and an observer of an election wait for, and in whose way it lies."""

import pytest

from concerted.board.elections.answers import lease_lost
from concerted.board.elections.election import Campaign, Create, Observe, Resign, decide, waits
from concerted.board.elections.state import Election, evolve
from concerted.machine import Look, Lost
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
FIRST = "0000000000000001"


def after(*steps: tuple[float, object]) -> Election:
    """Return the state of an election of cy's after requests at instants."""
    state: Election | None = None
    for at, request in ((0.0, Create("boss", CY)), *steps):
        for event in decide(state, request, at).events:  # type: ignore[arg-type]
            state = evolve(state, event, at)
    assert state is not None
    return state


LED = ((1.0, Campaign(ANN, "a1")), (2.0, Campaign(BOB, "b1")), (3.0, Campaign(CY, "c1")))


def test_the_first_in_line_waits_for_the_leader() -> None:
    wait = waits(after(*LED), Campaign(BOB, "b1"), 5.0)
    assert wait is not None
    assert (wait.waiting_for, wait.since) == ("leadership of boss, held by ann", 2.0)
    assert (wait.unblocked_by, wait.needed) == ((ANN,), 1)


def test_the_others_wait_for_all_before_them() -> None:
    wait = waits(after(*LED), Campaign(CY, "c1"), 5.0)
    assert wait is not None
    assert wait.waiting_for == "leadership of boss, held by ann, and for 1 more who come before"
    assert (wait.unblocked_by, wait.needed) == ((ANN, BOB), 2)


def test_while_it_is_offered_the_others_wait_for_who_it_is_offered_to() -> None:
    wait = waits(after(*LED, (4.0, Resign(ANN, FIRST))), Campaign(CY, "c1"), 5.0)
    assert wait is not None
    assert (wait.waiting_for, wait.unblocked_by) == ("leadership of boss, offered to bob", (BOB,))


def test_a_leader_that_is_gone_is_named_with_the_reason() -> None:
    wait = waits(after(*LED, (4.0, Lost(ANN, "no heartbeat for 20 s"))), Campaign(BOB, "b1"), 5.0)
    assert wait is not None
    assert wait.waiting_for == "leadership of boss, held by ann (who is gone: no heartbeat for 20 s)"


def test_who_leads_or_looks_or_is_offered_it_waits_for_nothing() -> None:
    assert waits(after(*LED), Campaign(ANN, "a1"), 5.0) is None
    assert waits(after(*LED, (4.0, Resign(ANN, FIRST))), Campaign(BOB, "b1"), 5.0) is None
    assert waits(after(*LED), Look(), 5.0) is None
    assert waits(after(*LED), Observe(0), 5.0) is None


def test_an_observer_waits_for_nobodys_turn() -> None:
    """A leader may observe its own leadership; that must not look like a deadlock."""
    wait = waits(after(*LED), Observe(1), 5.0)
    assert wait is not None
    assert (wait.waiting_for, wait.since, wait.unblocked_by) == ("another leader of boss than ann", 1.0, ())


def test_an_observer_of_a_vacancy_waits_since_it_came_about() -> None:
    for state, since in ((after(), 0.0), (after(LED[0], (4.0, Resign(ANN, FIRST))), 4.0)):
        wait = waits(state, Observe(0), 5.0)
        assert wait is not None
        assert (wait.waiting_for, wait.since) == ("a leader of boss", since)


def test_whoever_leads_no_longer_is_told_how_it_ended_and_who_leads() -> None:
    error = lease_lost(after(*LED, (4.0, Resign(ANN, FIRST))), FIRST)
    assert str(error) == f"leadership {FIRST} is over, resigned; nobody leads boss; campaign anew"
