"""The order in which runs are taken over."""

from concerted.ports.store import RunRecord
from concerted.stores.adoption import parents_first, takeovers
from concerted.values import RunId


def run(name: str, parent: str | None = None, at: float = 0.0, **columns: object) -> RunRecord:
    above = RunId(parent) if parent is not None else None
    return RunRecord(id=RunId(name), strategy="s", parent=above, root=RunId(name), created_at=at, **columns)  # type: ignore[arg-type]


def names(runs: list[RunRecord]) -> list[str]:
    return [one.id for one in runs]


def test_parents_come_before_children_and_the_older_first() -> None:
    runs = [run("grandchild", "child", 3.0), run("late", at=2.0), run("child", "root", 1.0), run("root", at=1.0)]
    assert names(parents_first(runs)) == ["root", "late", "child", "grandchild"]


def test_a_child_whose_parent_is_over_stands_with_the_roots() -> None:
    assert names(parents_first([run("b", at=2.0), run("a", "ended", 1.0)])) == ["a", "b"]


def test_a_damaged_circle_of_parents_is_no_endless_loop() -> None:
    assert sorted(names(parents_first([run("a", "b"), run("b", "a"), run("c", "c")]))) == ["a", "b", "c"]


def test_a_takeover_says_who_had_the_run_before() -> None:
    before = run("a", status="active", node="north", epoch=4, attempts=2)
    [write] = takeovers([before, run("b")], "south", 9.0)
    assert (write.run, write.epoch) == ("a", 4)
    [row] = write.rows
    assert (row.stream, row.at) == ("run:a", 9.0)
    assert row.data == b'{"attempts":2,"epoch":5,"node":"south","reason":"north owns the store no more"}'
