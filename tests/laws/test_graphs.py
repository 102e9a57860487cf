"""Laws of the task graph: nothing begins too early, nothing is forgotten, order does not depend on input order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from concerted.board.graph import Graph
from concerted.values import Task, TaskId


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Draw tasks without cycles: each comes after some of those drawn before, and then all are shuffled."""
    tasks: list[Task] = []
    for number in range(draw(st.integers(0, 12))):
        after = draw(st.lists(st.sampled_from([task.id for task in tasks]), max_size=3)) if tasks else []
        priority = draw(st.integers(0, 2))
        tasks.append(Task(id=TaskId(f"t{number}"), after=tuple(after), priority=priority))
    return list(draw(st.permutations(tasks)))


@given(graphs(), st.randoms(use_true_random=False), st.floats(0, 1))
def test_nothing_begins_before_what_it_comes_after(tasks: list[Task], dice: random.Random, failing: float) -> None:
    by_id = {task.id: task for task in tasks}
    graph = Graph(tasks)
    ready, done, failed, begun = graph.start(), set(), set(), []
    while ready:
        task = ready.pop(dice.randrange(len(ready)))
        begun.append(task)
        assert set(by_id[task].after) <= done, f"{task} began before {set(by_id[task].after) - done}"
        if dice.random() < failing:
            failed |= {task, *(other for other, _ in graph.failed(task))}
        else:
            done.add(task)
            ready += graph.done(task)
    assert len(begun) == len(set(begun)), "a task began twice"
    assert done | failed == set(by_id), "a task was forgotten"
    assert not done & failed
    assert graph.unfinished == 0
    for task in failed - set(begun):
        assert set(by_id[task].after) & failed, f"{task} failed for no reason"


@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_the_input(tasks: list[Task], dice: random.Random) -> None:
    shuffled = dice.sample(tasks, len(tasks))
    one, other = Graph(tasks), Graph(shuffled)
    assert one.start() == other.start()
    assert one.urgent_first == other.urgent_first
    for task in one.urgent_first:
        assert one.done(task) == other.done(task)
