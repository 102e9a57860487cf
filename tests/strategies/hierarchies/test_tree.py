"""What a hierarchy came to: results of clusters, of levels, of everybody."""

from typing import Any

from concerted.groups.clusters import Cluster, Clustering
from concerted.strategies.hierarchies.tree import ChildRun, HierarchyResult, Tree
from concerted.values import Outcome, ParticipantResult, TaskResult


def cluster(name: str, *agents: str) -> Cluster:
    return Cluster(id=name, agents=agents, leader=agents[0], score=60.0, capabilities={}, capacity=len(agents))


def clustering(*clusters: Cluster) -> Clustering:
    return Clustering(clusters=clusters, names=(), means=(), spreads=(), centres={})


def outcome(agent: str, *tasks: str, result: Any = None) -> Outcome:
    return Outcome(
        success=True,
        result=result,
        tasks=tuple(TaskResult(id=task, status="done", agent=agent) for task in tasks),
        participants={agent: ParticipantResult(agent=agent, done=tasks)},
    )


def report(tree: Tree, where: Cluster, strategy: str, told: Outcome) -> None:
    tree.reported(where, ChildRun.of(strategy, len(told.tasks), told, 2.5), told)


def test_a_cluster_is_told_with_all_its_runs() -> None:
    tree, first = Tree(), cluster("c1", "ann", "bob")
    tree.formed(clustering(first))
    report(tree, first, "auction", outcome("ann", "a", "b"))
    report(tree, first, "auction", outcome("bob", "c"))
    found = tree.outcome(None, ["ann", "bob", "cy"], timed_out=False)
    assert isinstance(found.result, HierarchyResult)
    (told,) = found.result.cluster_results
    assert (told.cluster_id, told.leader, told.agent_count, told.tasks_completed) == ("c1", "ann", 2, 3)
    assert told.duration == 5.0
    assert [child.tasks for child in told.result] == [2, 1]
    assert found.participants["ann"].done == ("a", "b")
    assert found.participants["cy"].role == "member"


def test_a_cluster_that_is_gone_is_still_told() -> None:
    tree = Tree()
    tree.formed(clustering(cluster("c1", "ann"), cluster("c2", "bob")))
    tree.formed(clustering(cluster("c2", "bob")))
    result = tree.outcome(None, [], timed_out=False).result
    assert [one.cluster_id for one in result.cluster_results] == ["c1", "c2"]


def test_levels_are_counted_through_nested_hierarchies() -> None:
    tree, first = Tree(), cluster("c1", "ann")
    tree.formed(clustering(first))
    assert tree.outcome(None, [], timed_out=False).result.hierarchy_levels == 2
    report(tree, first, "hierarchical", outcome("ann", "a", result={"hierarchy_levels": 2, "big": "x" * 9_000}))
    found = tree.outcome(None, [], timed_out=False).result
    assert found.hierarchy_levels == 3
    assert found.cluster_results[0].result[0].result["hierarchy_levels"] == 2


def test_a_result_that_is_large_is_left_in_its_own_run() -> None:
    small, large = outcome("ann", "a", result={"x": 1}), outcome("ann", "a", result={"x": "x" * 9_000})
    assert ChildRun.of("auction", 1, small, 0.0).result == {"x": 1}
    assert ChildRun.of("auction", 1, large, 0.0).result is None


def test_without_tasks_it_has_not_succeeded() -> None:
    found = Tree().outcome(None, [], timed_out=False)
    assert (found.success, found.reason) == (False, "there were no tasks")
    assert Tree().outcome(None, [], timed_out=True).reason == "the deadline passed first: there were no tasks"
