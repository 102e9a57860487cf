"""The division of work between clusters."""

from collections import Counter
from typing import Any

from concerted.groups.clusters import Cluster, organise
from concerted.groups.division import divide, is_able
from concerted.values import AgentId, Profile, Task, TaskId

CREW = [
    Profile(id=AgentId("ann"), capabilities={"x": 0.9}),
    Profile(id=AgentId("bob"), capabilities={"x": 0.8}),
    Profile(id=AgentId("cy"), capabilities={"y": 0.9}, capacity=2),
    Profile(id=AgentId("dee"), capabilities={"y": 0.8}, capacity=2),
]
PROFILES = {each.id: each for each in CREW}


def two() -> tuple[Cluster, ...]:
    """c1 is ann and bob, who can x; c2 is cy and dee, who can y and hold twice as much."""
    clusters = organise(CREW, clusters=2).clusters
    assert [cluster.agents for cluster in clusters] == [("ann", "bob"), ("cy", "dee")]
    return clusters


def task(name: str, *after: str, **fields: Any) -> Task:
    return Task(id=TaskId(name), after=tuple(TaskId(each) for each in after), **fields)


def test_a_task_goes_where_it_can_be_done() -> None:
    found = divide([task("a", required_capabilities={"y": 0.5}), task("b", required_capabilities={"x": 0.85})],
                   two(), PROFILES)  # fmt: skip
    assert found.placed == {"a": "c2", "b": "c1"}


def test_work_is_divided_by_room() -> None:
    found = divide([task(f"t{number:02}") for number in range(12)], two(), PROFILES)
    assert Counter(found.placed.values()) == {"c1": 4, "c2": 8}


def test_only_the_room_of_those_who_are_able_counts() -> None:
    tasks = [task(f"t{number}", required_capabilities={"x": 0.85}) for number in range(3)]
    assert set(divide(tasks, two(), PROFILES).placed.values()) == {"c1"}


def test_what_comes_after_stays_with_what_came_before() -> None:
    chain = [task("a", required_capabilities={"x": 0.1}), task("b", "a"), task("c", "b")]
    assert divide(chain, two(), PROFILES).placed == {"a": "c1", "b": "c1", "c": "c1"}


def test_a_cluster_that_is_much_fuller_hands_on_what_comes_after() -> None:
    first = [task(f"a{number}", required_capabilities={"x": 0.1}) for number in range(8)]
    later = [task(f"b{number}", f"a{number}") for number in range(8)]
    assert Counter(divide(first + later, two(), PROFILES).placed.values())["c2"] >= 4


def test_what_clusters_hold_already_counts() -> None:
    held = {TaskId(f"h{number}"): "c2" for number in range(8)}
    assert divide([task("a")], two(), PROFILES, placed=held).placed == {"a": "c1"}


def test_a_cluster_that_may_not_have_a_task_does_not_get_it() -> None:
    found = divide([task("a"), task("b")], two(), PROFILES, barred={TaskId("a"): {"c2"}})
    assert found.placed == {"a": "c1", "b": "c2"}


def test_what_nobody_can_do_is_left_with_the_reason() -> None:
    tasks = [task("a", required_capabilities={"x": 0.95, "z": 0.5}), task("b", agent=AgentId("eve"))]
    assert divide(tasks, two(), PROFILES).left == {
        "a": "no cluster has an agent with x 0.95 and z 0.5",
        "b": "no cluster has eve, who must do it",
    }
    barred = {TaskId("c"): {"c1", "c2"}}
    assert divide([task("c")], two(), PROFILES, barred=barred).left == {"c": "no other cluster has an agent for it"}
    assert divide([task("c")], (), PROFILES).left == {"c": "no cluster has an agent for it"}


def test_a_task_that_names_its_agent_goes_to_its_cluster() -> None:
    assert divide([task("a", agent=AgentId("dee"))], two(), PROFILES).placed == {"a": "c2"}


def test_who_is_able_has_everything_that_is_required() -> None:
    assert is_able(CREW[0], task("a", required_capabilities={"x": 0.9}))
    assert not is_able(CREW[0], task("a", required_capabilities={"x": 0.91}))
    assert not is_able(CREW[0], task("a", required_capabilities={"y": 0.0}))
    assert not is_able(CREW[0], task("a", agent=AgentId("bob")))
