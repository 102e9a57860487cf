"""Who has room, how busy each is, who rests."""

from types import SimpleNamespace
from typing import Any

import pytest

from concerted.errors import TimedOut
from concerted.strategies.workshop.staff import Staff, is_able
from concerted.values import AgentId, Profile, Task, TaskId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


class Scene(SimpleNamespace):
    """As much of a run as the staff asks for: agents and the time."""

    def now(self) -> float:
        return float(self.time)


@pytest.fixture
def scene() -> Any:
    agents = {ANN: Profile(id=ANN, capacity=2), BOB: Profile(id=BOB)}
    return Scene(agents=agents, time=100.0, options={}, id="r")


def test_who_has_room_is_free_for_so_many(scene: Any) -> None:
    staff = Staff(scene)
    staff.take(ANN)
    staff.take(BOB)
    assert staff.free([ANN, BOB]) == {ANN: 1}
    staff.put_back(BOB)
    assert staff.free([BOB, ANN]) == {BOB: 1, ANN: 1}


def test_who_is_not_here_is_not_free(scene: Any) -> None:
    staff = Staff(scene)
    del scene.agents[BOB]
    assert staff.free([ANN, BOB, CY]) == {ANN: 2}


def test_who_rests_is_not_free_until_its_time_is_over_or_it_is_woken(scene: Any) -> None:
    staff = Staff(scene)
    staff.rest(ANN, 5.0)
    staff.rest(BOB, 9.0)
    assert (staff.free([ANN, BOB]), staff.next_up()) == ({}, 105.0)
    scene.time = 105.0
    assert (staff.free([ANN, BOB]), staff.next_up()) == ({ANN: 2}, 109.0)
    staff.wake(BOB)
    assert (staff.free([BOB]), staff.next_up()) == ({BOB: 1}, None)


def test_a_smaller_capacity_than_what_is_held_leaves_no_room(scene: Any) -> None:
    staff = Staff(scene)
    staff.take(ANN)
    staff.take(ANN)
    scene.agents[ANN] = Profile(id=ANN, capacity=1)
    assert staff.free([ANN]) == {}
    assert staff.load(ANN) == 1.0


def test_the_load_is_what_was_given_or_what_the_agent_says_whichever_is_more(scene: Any) -> None:
    staff = Staff(scene)
    staff.take(ANN)
    assert (staff.load(ANN), staff.load(ANN, 2.0), staff.load(ANN, 9.0), staff.load(CY)) == (0.5, 1.0, 1.0, 1.0)


def test_somebody_to_come_back_is_waited_for_as_long_as_the_option_says(scene: Any) -> None:
    scene.options = {"desertion_timeout": 8.0}
    staff = Staff(scene)
    assert staff.deserted_until() is None
    scene.agents, scene.time = {}, 103.0
    staff.look()
    assert staff.deserted_until() == 111.0
    scene.time = 110.9
    staff.look()
    staff.check_deserted()
    scene.time = 111.0
    with pytest.raises(TimedOut, match="all its agents have been gone for 8 s"):
        staff.check_deserted()


def test_without_the_option_it_is_waited_for_without_end(scene: Any) -> None:
    scene.agents = {}
    staff = Staff(scene)
    scene.time = 1e9
    staff.look()
    assert staff.deserted_until() is None
    staff.check_deserted()


def test_who_lacks_a_capability_or_is_somebody_else_is_not_able() -> None:
    ann = Profile(id=ANN, capabilities={"draw": 0.5})
    assert is_able(ann, Task(id=TaskId("t")))
    assert is_able(ann, Task(id=TaskId("t"), agent=ANN, required_capabilities={"draw": 0.5}))
    assert not is_able(ann, Task(id=TaskId("t"), agent=BOB))
    assert not is_able(ann, Task(id=TaskId("t"), required_capabilities={"draw": 0.6}))
    assert not is_able(ann, Task(id=TaskId("t"), required_capabilities={"write": 0.0})), "required at 0 is required"
