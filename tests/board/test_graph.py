"""The graph of tasks: order, endings, and graphs that are none."""

import pytest

from concerted.board.graph import Graph, ReadyQueue
from concerted.errors import Invalid
from concerted.values import Task, TaskId


def task(name: str, *after: str, priority: int = 0, deadline_s: float | None = None) -> Task:
    return Task(id=TaskId(name), after=tuple(TaskId(one) for one in after), priority=priority, deadline_s=deadline_s)


def ids(*names: str) -> list[TaskId]:
    return [TaskId(name) for name in names]


DIAMOND = [task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")]


def test_it_begins_with_what_comes_after_nothing() -> None:
    assert Graph(DIAMOND).start() == ["a"]


def test_a_task_may_begin_when_the_last_before_it_is_done() -> None:
    graph = Graph(DIAMOND)
    assert graph.done(TaskId("a")) == ["b", "c"]
    assert graph.done(TaskId("c")) == []
    assert graph.done(TaskId("b")) == ["d"]
    assert graph.done(TaskId("d")) == []
    assert graph.unfinished == 0


def test_done_twice_is_done_once() -> None:
    graph = Graph(DIAMOND)
    graph.done(TaskId("a"))
    assert graph.done(TaskId("a")) == []
    graph.done(TaskId("b"))
    assert graph.done(TaskId("b")) == []
    assert graph.unfinished == 2


def test_a_task_named_twice_in_after_is_waited_for_once() -> None:
    graph = Graph([task("a"), task("b", "a", "a")])
    assert graph.done(TaskId("a")) == ["b"]


def test_higher_priority_goes_first_then_the_earlier_deadline_then_the_id() -> None:
    graph = Graph(
        [
            task("z", priority=1),
            task("late", deadline_s=9.0),
            task("soon", deadline_s=1.0),
            task("b"),
            task("a"),
            task("y", priority=2),
        ]
    )
    order = ids("y", "z", "soon", "late", "a", "b")
    assert graph.start() == order
    assert graph.urgent_first == order


def test_what_comes_after_a_failed_task_never_can_be_done_and_says_why() -> None:
    graph = Graph([*DIAMOND, task("e", "d"), task("alone")])
    graph.done(TaskId("a"))
    assert graph.failed(TaskId("b")) == [
        ("d", "it comes after b, and b was not done"),
        ("e", "it comes after b by way of d, and b was not done"),
    ]
    assert graph.unfinished == 2  # c and alone


def test_a_failed_task_does_not_free_what_another_waits_for() -> None:
    graph = Graph(DIAMOND)
    graph.done(TaskId("a"))
    graph.failed(TaskId("b"))
    assert graph.done(TaskId("c")) == []


def test_failed_twice_is_failed_once() -> None:
    graph = Graph(DIAMOND)
    assert len(graph.failed(TaskId("a"))) == 3
    assert graph.failed(TaskId("a")) == []
    assert graph.failed(TaskId("b")) == []


def test_no_tasks_are_a_graph_too() -> None:
    graph = Graph([])
    assert (graph.start(), graph.unfinished) == ([], 0)


def test_every_problem_is_named_at_once() -> None:
    tasks = [task("a", "nobody", "noone"), task("a"), task("b", "c"), task("c", "b"), task("d", "d")]
    with pytest.raises(Invalid) as caught:
        Graph(tasks)
    assert caught.value.facts["problems"] == [
        "there are two tasks 'a'; ids are unique",
        "task 'a' comes after 'nobody', 'noone', which nobody has named",
        "tasks wait for each other in a circle: b -> c -> b",
        "tasks wait for each other in a circle: d -> d",
    ]


# the queue of those that are ready


def test_the_queue_gives_the_most_urgent_first_in_whatever_order_they_come() -> None:
    queue = ReadyQueue(Graph([task("a"), task("b", priority=1), task("c", deadline_s=1.0)]))
    for name in ids("a", "c", "b", "a"):
        queue.add(name)
    assert list(queue) == ["b", "c", "a"]
    assert len(queue) == 3


def test_what_is_taken_out_of_the_queue_can_be_put_in_again() -> None:
    queue = ReadyQueue(Graph([task("a"), task("b")]))
    queue.add(TaskId("a"))
    queue.discard(TaskId("a"))
    queue.discard(TaskId("b"))
    assert (list(queue), TaskId("a") in queue) == ([], False)
    queue.add(TaskId("a"))
    assert TaskId("a") in queue


def test_what_was_done_before_holds_nothing_up() -> None:
    graph = Graph([task("b", "a"), task("c", "b", "a")], ids("a"))
    assert graph.start() == ["b"]
    assert graph.done(TaskId("b")) == ["c"]
    with pytest.raises(Invalid, match="'c' comes after 'x', which nobody has named"):
        Graph([task("c", "a", "x")], ids("a"))
