"""Agents who split their capacity over several pieces of work."""

import math

import pytest

from concerted.errors import Invalid, Overloaded
from concerted.groups import overlapping
from concerted.groups.overlapping import Work, split_capacity
from concerted.values import AgentId, TaskId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
ONE, TWO, THREE = TaskId("one"), TaskId("two"), TaskId("three")


def test_an_agent_works_in_two_coalitions_at_once() -> None:
    """Neither piece of work can be done by one agent, and both by all three."""
    levels = {ANN: {"hours": 8.0}, BOB: {"hours": 8.0}, CY: {"hours": 8.0}}
    work = {ONE: Work({"hours": 12.0}, 30.0), TWO: Work({"hours": 12.0}, 20.0)}
    found = split_capacity(levels, work)
    assert (found.worth, found.status, found.bound) == (50, "optimal", 50)
    for parts in found.parts.values():
        assert sum(part * 8 for part in parts.values()) == pytest.approx(12)
    assert sum(found.payoffs.values()) == pytest.approx(50)


def test_the_pieces_that_pay_most_are_done_where_not_all_can_be() -> None:
    levels = {ANN: {"hours": 10.0}}
    work = {ONE: Work({"hours": 6.0}, 10.0), TWO: Work({"hours": 5.0}, 8.0), THREE: Work({"hours": 5.0}, 7.0)}
    found = split_capacity(levels, work)
    assert sorted(found.parts) == [THREE, TWO]
    assert found.worth == 15
    assert found.payoffs == {ANN: 15}


def test_every_capability_must_be_covered() -> None:
    levels = {ANN: {"french": 1.0}, BOB: {"law": 1.0}}
    both = Work({"french": 0.5, "law": 0.5}, 10.0)
    assert split_capacity(levels, {ONE: both, TWO: both}).worth == 20
    assert split_capacity({ANN: {"french": 1.0}}, {ONE: both}).parts == {}


def test_nobody_gives_more_than_is_needed_or_than_it_has() -> None:
    found = split_capacity({ANN: {"x": 4.0}, BOB: {"x": 1.0}}, {ONE: Work({"x": 1.0}, 1.0)}, capacity={BOB: 0.5})
    assert sum(found.parts[ONE].get(agent, 0.0) * level for agent, level in ((ANN, 4), (BOB, 1))) == pytest.approx(1)
    assert split_capacity({ANN: {"x": 4.0}}, {ONE: Work({"x": 1.0}, 1.0)}, capacity={ANN: 0.2}).worth == 0


def test_a_reward_is_divided_by_what_each_brings() -> None:
    found = split_capacity({ANN: {"x": 3.0}, BOB: {"x": 1.0}}, {ONE: Work({"x": 4.0}, 8.0)})
    assert found.payoffs == pytest.approx({ANN: 6, BOB: 2})


def test_no_work_and_no_agents_are_worth_nothing() -> None:
    assert split_capacity({ANN: {"x": 1.0}}, {}).worth == 0
    assert split_capacity({}, {ONE: Work({"x": 1.0}, 5.0)}).worth == 0


def test_a_search_that_ends_early_says_how_far_off_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = {AgentId(f"a{number}"): {"x": 1.0, "y": 0.3 * number} for number in range(4)}
    work = {TaskId(f"t{number}"): Work({"x": 0.7 + 0.1 * number, "y": 0.5}, 5.0 + number) for number in range(8)}
    best = split_capacity(levels, work)
    monkeypatch.setattr(overlapping, "MOST_PROGRAMS", 3)
    found = split_capacity(levels, work)
    assert found.status == "feasible"
    assert found.worth <= best.worth <= found.bound


@pytest.mark.parametrize(
    ("level", "need", "reward", "capacity", "says"),
    [
        (math.nan, 1.0, 1.0, 1.0, "x of ann is nan"),
        (-1.0, 1.0, 1.0, 1.0, "x of ann is -1.0"),
        (1.0, 0.0, 1.0, 1.0, "one must need something"),
        (1.0, math.inf, 1.0, 1.0, "the need of one for x is inf"),
        (1.0, 1.0, -2.0, 1.0, "the reward of one is -2.0"),
        (1.0, 1.0, 1.0, math.nan, "the capacity of ann is nan"),
    ],
)
def test_numbers_that_cannot_be_are_named(level: float, need: float, reward: float, capacity: float, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        split_capacity({ANN: {"x": level}}, {ONE: Work({"x": need}, reward)}, {ANN: capacity})


def test_too_much_at_once_is_refused() -> None:
    levels = {AgentId(f"a{number}"): {"x": 1.0} for number in range(21)}
    work = {TaskId(f"t{number}"): Work({"x": 1.0}, 1.0) for number in range(20)}
    with pytest.raises(Overloaded, match="21 agents and 20 pieces of work are more than 400 parts"):
        split_capacity(levels, work)
