"""A plan as it is written: what its entries stand for, and what can be made out of faulty ones."""

from concerted.config.document import compose
from concerted.config.draft import AgentEntry, Draft, ObjectiveEntry, TaskEntry
from concerted.config.problems import Problems


def draft(text: str) -> Draft:
    root = compose(text, "f", Problems())
    return Draft(root=root, name=None, agents={}, tasks={}, objective=ObjectiveEntry(), words={})


def test_a_count_stands_for_numbered_agents() -> None:
    assert AgentEntry(id="w").ids() == ["w"]
    assert AgentEntry(id="w", count=3).ids() == ["w-1", "w-2", "w-3"]
    assert AgentEntry(id="w", count=1).ids() == ["w-1"]


def test_after_is_one_task_or_many_each_once() -> None:
    assert TaskEntry(id="t").waits_for() == ()
    assert TaskEntry(id="t", after="a").waits_for() == ("a",)
    assert TaskEntry(id="t", after=("b", "a", "b")).waits_for() == ("b", "a")


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
