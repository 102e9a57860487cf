"""Circles of waiting: found when there are any, and only then."""

from graphlib import CycleError, TopologicalSorter

from hypothesis import given
from hypothesis import strategies as st

from concerted.config.graph import find_cycles

graphs = st.dictionaries(st.integers(0, 8).map(str), st.lists(st.integers(0, 9).map(str), max_size=4), max_size=9)


def test_a_graph_without_circles_has_none() -> None:
    assert find_cycles({"a": [], "b": ["a"], "c": ["a", "b"]}) == []
    assert find_cycles({}) == []


def test_a_task_may_wait_for_itself() -> None:
    assert find_cycles({"a": ["a"]}) == [["a"]]


def test_a_circle_begins_with_its_earliest_member_and_follows_the_waiting() -> None:
    assert find_cycles({"x": ["c"], "b": ["c"], "c": ["a"], "a": ["b"]}) == [["b", "c", "a"]]


def test_circles_apart_from_each_other_are_all_found_in_order() -> None:
    assert find_cycles({"a": ["b"], "c": ["d"], "d": ["c"], "b": ["a"], "e": ["e"]}) == [["a", "b"], ["c", "d"], ["e"]]


def test_there_is_a_limit_to_the_circles_returned() -> None:
    assert len(find_cycles({str(i): [str(i)] for i in range(50)}, limit=3)) == 3


def test_unknown_names_close_no_circle() -> None:
    assert find_cycles({"a": ["nobody"], "b": ["a", "nobody"]}) == []


def test_a_long_chain_needs_no_deep_stack() -> None:
    n = 10_000
    chain = {str(i): [str(i + 1)] for i in range(n)}
    assert find_cycles(chain | {str(n): []}) == []
    assert len(find_cycles(chain | {str(n): ["0"]})[0]) == n + 1


@given(graphs)
def test_circles_are_found_exactly_when_a_plain_sort_fails(after: dict[str, list[str]]) -> None:
    known = {node: [other for other in others if other in after] for node, others in after.items()}
    try:
        TopologicalSorter(known).prepare()
        acyclic = True
    except CycleError:
        acyclic = False
    assert (find_cycles(after) == []) is acyclic


@given(graphs)
def test_what_is_returned_is_a_circle(after: dict[str, list[str]]) -> None:
    for cycle in find_cycles(after):
        assert len(set(cycle)) == len(cycle)
        assert all(other in after[node] for node, other in zip(cycle, cycle[1:] + cycle[:1], strict=True))
