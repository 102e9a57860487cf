"""A plan as it is written: what its entries stand for, and what can be made out of faulty ones."""

from concerted.config.document import compose
from concerted.config.draft import AgentEntry, Draft, ObjectiveEntry, TaskEntry
from concerted.config.problems import Problems


def draft(text: str) -> Draft:
    root = compose(text, "f", Problems())
    return Draft(root=root, name=None, agents={}, tasks={}, sync={}, objective=ObjectiveEntry(), words={})


def test_a_count_stands_for_numbered_agents() -> None:
    assert AgentEntry(id="w").ids() == ["w"]
    assert AgentEntry(id="w", count=3).ids() == ["w-1", "w-2", "w-3"]
    assert AgentEntry(id="w", count=1).ids() == ["w-1"]


def test_after_is_one_task_or_many_each_once() -> None:
    assert TaskEntry(id="t").comes_after() == ()
    assert TaskEntry(id="t", after="a").comes_after() == ("a",)
    assert TaskEntry(id="t", after=("b", "a", "b")).comes_after() == ("b", "a")


def test_a_task_may_arrive_at_several_sync_points_and_wait_for_several() -> None:
    entry = TaskEntry(id="t", arrives_at="a", waits_for=("b", "c", "b"))
    assert (entry.meets_at(), entry.held_up_by()) == (("a",), ("b", "c"))


def test_the_ids_of_sync_points_are_found_in_faulty_ones_too() -> None:
    assert list(draft("sync:\n- {id: a, deadline: x}\n- b\n- {id: c}\n").sync_ids()) == ["a", "c"]


def test_ids_and_payload_keys_are_found_in_faulty_tasks_too() -> None:
    faulty = draft(
        "tasks:\n- {id: a, retries: x, payload: {k: 1, l: .nan}}\n- {id: [b]}\n- c\n- {id: d, payload: [k]}\n"
    )
    assert list(faulty.task_ids()) == ["a", "d"]
    assert list(faulty.payload_keys()) == ["k", "l"]


def test_items_are_counted_as_written() -> None:
    assert draft("tasks: [a, {id: b}]").written("tasks") == 2
    assert draft("tasks: []").written("tasks") == 0
    assert draft("").written("tasks") == 0
    assert draft("tasks: x").written("tasks") == -1


def test_whether_something_is_written_does_not_depend_on_its_being_right() -> None:
    assert draft("agents: [{run: [x]}]").has("agents", 0, "run")
    assert not draft("agents: [{run: [x]}]").has("agents", 0, "process")
