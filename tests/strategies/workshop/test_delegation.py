"""The book of a hierarchy, without a coordinator: batches, reports, and what becomes of what was not done."""

from typing import Any

import pytest

from concerted.errors import Invalid
from concerted.strategies.workshop.delegation import Delegation
from concerted.values import Meeting, Objective, Outcome, Task, TaskId, TaskResult


class Desk:
    """What the book asks of a run: its objective, the time, and where to write."""

    def __init__(self, **objective: Any) -> None:
        self.id, self.at, self.objective = "r", 0.0, Objective(**objective)
        self.rows: list[tuple[str, str | None]] = []

    def now(self) -> float:
        return self.at

    def record(self, kind: str, *, agent: str | None = None, ref: str | None = None, **facts: Any) -> None:
        self.rows.append((kind, ref))


def book_of(*tasks: Task, reassignments: int = 2, **objective: Any) -> tuple[Delegation, Desk]:
    desk = Desk(**objective)
    return Delegation(desk, tasks, reassignments), desk  # type: ignore[arg-type]


def named(batches: dict[str, list[Task]]) -> dict[str, list[str]]:
    return {cluster: [task.id for task in batch] for cluster, batch in batches.items()}


def done(*names: str) -> Outcome:
    tasks = tuple(TaskResult(id=TaskId(name), status="done", result=f"{name}!", attempts=1) for name in names)
    return Outcome(success=True, tasks=tasks)


def not_done(name: str, failures: int = 0, error: str = "nobody bids") -> Outcome:
    result = TaskResult(id=TaskId(name), status="failed", attempts=failures, failures=failures, error=error)
    return Outcome(success=False, tasks=(result,))


def test_a_batch_is_what_can_begin_and_what_comes_after_it_in_the_same_cluster(task: Any) -> None:
    book, _ = book_of(task("a"), task("b", "a"), task("c", "b"), task("d", "c"))
    book.place({"a": "c1", "b": "c1", "c": "c2", "d": "c1"})
    assert named(book.batches()) == {"c1": ["a", "b"]}


def test_what_another_cluster_has_done_is_in_the_objective_of_what_comes_after(task: Any) -> None:
    book, desk = book_of(task("a"), task("b", "a"))
    book.place({"a": "c1", "b": "c2"})
    book.begin("c1", book.batches()["c1"])
    assert named(book.batches()) == {}
    assert book.report("c1", done("a")) == {}
    objective = book.begin("c2", book.batches()["c2"])
    assert objective.done == {"a": "a!"}
    assert [one.after for one in objective.tasks] == [("a",)]
    assert ("task.done", "a") in desk.rows


def test_what_was_done_before_the_run_counts_as_done(task: Any) -> None:
    book, _ = book_of(task("b", "a"), done={"a": 7})
    book.place({"b": "c1"})
    assert book.begin("c1", book.batches()["c1"]).done == {"a": 7}


def test_what_was_not_done_is_open_to_other_clusters_with_the_attempts_left(task: Any) -> None:
    book, _ = book_of(task("a", retries=2))
    book.place({"a": "c1"})
    book.begin("c1", book.batches()["c1"])
    assert book.report("c1", not_done("a", failures=2)) == {"a": "nobody bids"}
    assert (book.barred, book.moves) == ({"a": {"c1"}}, {"a": 1})
    assert [one.id for one in book.unplaced()] == ["a"]
    book.place({"a": "c2"})
    (again,) = book.begin("c2", book.batches()["c2"]).tasks
    assert again.retries == 0
    book.report("c2", not_done("a", failures=1))
    assert not book.unfinished
    assert (book.ended["a"].status, book.ended["a"].failures, book.ended["a"].attempts) == ("failed", 3, 3)


def test_it_does_not_go_from_cluster_to_cluster_for_ever(task: Any) -> None:
    book, _ = book_of(task("a"), reassignments=1)
    for cluster in ("c1", "c2"):
        book.place({"a": cluster})
        book.begin(cluster, book.batches()[cluster])
        book.report(cluster, not_done("a"))
    assert book.ended["a"].error == "2 clusters could not do it, the last: nobody bids"


def test_what_could_not_begin_is_not_held_against_its_cluster(task: Any) -> None:
    book, _ = book_of(task("a"), task("b", "a"))
    book.place({"a": "c1", "b": "c1"})
    book.begin("c1", book.batches()["c1"])
    book.report("c1", not_done("a"))
    assert book.barred == {"a": {"c1"}}
    assert sorted(one.id for one in book.unplaced()) == ["a", "b"]


def test_with_a_task_that_has_failed_goes_all_that_comes_after_it(task: Any) -> None:
    book, desk = book_of(task("a", retries=0), task("b", "a"), task("c", "b"))
    book.place({"a": "c1", "b": "c2", "c": "c1"})
    book.begin("c1", book.batches()["c1"])
    book.report("c1", not_done("a", failures=1, error="burnt"))
    assert not book.unfinished
    assert {one: result.error for one, result in book.ended.items()} == {
        "a": "burnt",
        "b": "it comes after a, and a was not done",
        "c": "it comes after a by way of b, and a was not done",
    }
    assert desk.rows[1:] == [("task.failed", "a"), ("task.failed", "b"), ("task.failed", "c")]


def test_a_cluster_without_a_word_on_a_task_has_not_done_it(task: Any) -> None:
    book, _ = book_of(task("a"))
    book.place({"a": "c1"})
    book.begin("c1", book.batches()["c1"])
    assert book.report("c1", Outcome(success=False, reason="it was called off")) == {"a": "it was called off"}


def test_a_deadline_runs_on_while_clusters_change(task: Any) -> None:
    book, desk = book_of(task("a", deadline_s=10.0))
    book.place({"a": "c1"})
    desk.at = 4.0
    assert book.begin("c1", book.batches()["c1"]).tasks[0].deadline_s == 6.0
    desk.at = 11.0
    book.report("c1", not_done("a"))
    assert book.ended["a"].error == "its deadline of 10 s has passed; nobody bids"


def test_what_a_cluster_that_is_gone_has_not_begun_is_taken_back(task: Any) -> None:
    book, _ = book_of(task("a"), task("b", "a"))
    book.place({"a": "c1", "b": "c1"})
    book.begin("c1", [book.tasks[TaskId("a")]])
    book.free(["c1"])
    assert book.placed == {"a": "c1"}


def test_clusters_meet_at_points_of_the_whole_run(task: Any) -> None:
    tasks = (task("a", arrives_at=("m",)), task("b", arrives_at=("m", "far")), task("c", waits_for=("m",)))
    meetings = (Meeting(id="m", deadline_s=9.0), Meeting(id="far", shared=True, participants=("zoe",)))
    book, desk = book_of(*tasks, sync=meetings)
    book.place({"a": "c1", "b": "c2", "c": "c1"})
    assert named(book.batches()) == {"c1": ["a"], "c2": ["b"]}  # c begins when a and b are over
    desk.at = 2.0
    objective = book.begin("c2", book.batches()["c2"])
    assert objective.tasks[0].arrives_at == ("r:m", "far")
    far, m = objective.sync
    assert (m.id, m.participants, m.deadline_s, m.shared) == ("r:m", ("a", "b"), 7.0, True)
    assert (far.id, far.participants) == ("far", ("zoe",))


def test_at_the_end_every_task_has_an_ending(task: Any) -> None:
    book, desk = book_of(task("b"), task("a"))
    book.place({"a": "c1"})
    book.begin("c1", book.batches()["c1"])
    book.report("c1", done("a"))
    book.close()
    assert [(one.id, one.status, one.error) for one in book.task_results()] == [
        ("b", "cancelled", "the run ended first"),
        ("a", "done", None),
    ]
    assert desk.rows[-1] == ("task.cancelled", "b")


def test_tasks_that_make_no_graph_are_refused(task: Any) -> None:
    with pytest.raises(Invalid, match="comes after 'x', which nobody has named"):
        book_of(task("a", "x"))
