"""Which group of replicas keeps a thing is chosen once."""

import pytest

from concerted.consensus.keeper import Choose, Keeper, answer, decide, evolve, topic, waits, wakes
from concerted.errors import NotFound
from concerted.machine import Found, Look, Lost, Wake
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB = AgentId("ann"), AgentId("bob")


def after(*requests, state: Keeper | None = None) -> Keeper | None:
    for request in requests:
        for event in decide(state, request, 1.0).events:
            state = evolve(state, event, 1.0)
    return state


def test_the_first_choice_counts_and_every_later_one_comes_to_nothing() -> None:
    chosen = after(Choose("ops", (ANN, BOB)), Choose("other"))
    assert chosen == Keeper("ops", (ANN, BOB))
    assert answer(chosen, Look(), 1.0).group == "ops"


def test_a_group_that_came_to_nothing_gives_way_to_one_other_and_not_to_two() -> None:
    chosen = after(Choose("ops"), Choose("next", instead_of="ops"), Choose("late", instead_of="ops"))
    assert chosen == Keeper("next")


def test_nothing_stands_in_the_place_of_a_group_that_was_not_chosen() -> None:
    assert after(Choose("next", instead_of="ops")) is None
    assert after(Choose("ops"), Choose("next", instead_of="another")) == Keeper("ops")


def test_who_looks_before_there_is_a_choice_is_told_so() -> None:
    with pytest.raises(NotFound, match="no group of replicas was chosen"):
        decide(None, Look(), 1.0)


@pytest.mark.parametrize("request_", [Wake(), Lost(ANN, "gone"), Found(ANN), Look()])
def test_time_and_agents_change_nothing_and_nobody_waits(request_) -> None:
    chosen = after(Choose("ops"))
    assert decide(chosen, request_, 2.0).events == ()
    event = decide(None, Choose("ops"), 1.0).events[0]
    assert (list(wakes(event)), waits(chosen, request_, 2.0), topic(request_)) == ([], None, "")
