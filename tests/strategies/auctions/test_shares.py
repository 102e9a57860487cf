"""What is free of each agent where one task may take more of it than another."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from concerted.strategies.auctions.shares import Shares
from concerted.strategies.workshop.tasks import Workshop
from concerted.values import AgentId, Objective, Profile, Task, TaskId

ANN, BOB = AgentId("ann"), AgentId("bob")
BIG, SMALL = TaskId("big"), TaskId("small")


class Scene(SimpleNamespace):
    """As much of a run as a workshop asks for before anybody works."""

    def now(self) -> float:
        return 0.0

    def record(self, kind: str, **_facts: Any) -> None:
        self.log.append(kind)


@pytest.fixture
def shop() -> Workshop:
    agents = {ANN: Profile(id=ANN, capacity=4), BOB: Profile(id=BOB, capacity=2)}
    shop = Workshop(Scene(agents=agents, options={}, id="r", log=[], objective=Objective(description="")))  # type: ignore[arg-type]
    shop.add([Task(id=BIG), Task(id=SMALL)])
    return shop


def hand_out(shop: Workshop, shares: Shares, task: TaskId, agent: AgentId, size: float) -> None:
    shares.take(task, agent, size)
    shop.open.discard(task)
    shop.staff.take(agent)


def test_a_large_task_leaves_less_of_its_agent_free(shop: Workshop) -> None:
    shares = Shares(shop)
    hand_out(shop, shares, BIG, ANN, 2.5)
    assert shares.free([ANN, BOB]) == {ANN: 1.5, BOB: 2}
    assert shares.load(ANN, 1.0) == 2.5 / 4
    assert shares.load(BOB, 1.0) == 1 / 2


def test_who_has_less_than_one_place_left_has_no_room(shop: Workshop) -> None:
    shares = Shares(shop)
    hand_out(shop, shares, BIG, ANN, 3.5)
    assert shares.free([ANN, BOB]) == {BOB: 2}


def test_tasks_of_one_place_are_counted_by_the_workshop_alone(shop: Workshop) -> None:
    shares = Shares(shop)
    hand_out(shop, shares, SMALL, BOB, 1.0)
    assert shares.free([ANN, BOB]) == shop.staff.free([ANN, BOB]) == {ANN: 4, BOB: 1}


@pytest.mark.parametrize("ends", ["open again", "over"])
def test_what_a_task_took_is_free_when_it_is_open_again_or_over(shop: Workshop, ends: str) -> None:
    shares = Shares(shop)
    hand_out(shop, shares, BIG, ANN, 3.0)
    assert shares.free([ANN]) == {ANN: 1.0}
    if ends == "open again":
        shop.open.add(BIG)
    else:
        shop.states[BIG] = replace(shop.states[BIG], status="done")
    shop.staff.put_back(ANN)
    assert shares.free([ANN]) == {ANN: 4}


def test_a_task_that_is_awarded_anew_counts_once(shop: Workshop) -> None:
    shares = Shares(shop)
    hand_out(shop, shares, BIG, ANN, 3.0)
    shop.staff.put_back(ANN)
    hand_out(shop, shares, BIG, BOB, 1.0)
    assert shares.free([ANN, BOB]) == {ANN: 4, BOB: 1}
