"""Who is in whose way: what conflicts, who is next, and whom a release concerns."""

import pytest

from concerted.board.leases.conflicts import ahead, candidates, held_ahead, holders_of, is_free, is_next, position
from concerted.board.leases.lease import Acquire, decide, evolve
from concerted.board.leases.requests import ask_of
from concerted.board.leases.space import EMPTY, Ask, Leases, Mode, Waiting
from concerted.board.queue import turn
from concerted.values import AgentId

NOW_AT_THE_END = (turn(1e9, "medium"), 10**9, "late")


def space_of(*wishes: tuple[str, str] | tuple[str, str, Mode]) -> Leases:
    """Return a space in which these were asked for, one by one: ticket, names with spaces between, mode."""
    space = EMPTY
    for at, (ticket, names, *mode) in enumerate(wishes):
        request = Acquire(ticket, AgentId(f"holder of {ticket}"), tuple(names.split()), *mode, ttl_s=1000.0)
        for event in decide(space, request, float(at)).events:
            space = evolve(space, event, float(at))
    return space


def wanted(names: str, mode: Mode = "exclusive") -> Ask:
    return ask_of(Acquire("t", AgentId("x"), tuple(names.split()), mode))


def tickets(some: tuple[Waiting, ...] | list[Waiting]) -> list[str]:
    return [one.ask.ticket for one in some]


def waiting(space: Leases, ticket: str) -> Waiting:
    return space.line.waiting[ticket]


@pytest.mark.parametrize(
    ("held", "mode", "names", "wanted_mode", "free"),
    [
        ("a", "exclusive", "a", "exclusive", False),
        ("a", "exclusive", "a", "shared", False),
        ("a", "shared", "a", "exclusive", False),
        ("a", "shared", "a", "shared", True),
        ("a", "exclusive", "b", "exclusive", True),
        ("a b", "exclusive", "b c", "exclusive", False),
        ("src/", "exclusive", "src/a", "exclusive", False),
        ("src/", "shared", "src/a", "shared", True),
        ("src/", "shared", "src/a", "exclusive", False),
        ("src/", "exclusive", "src/a", "shared", False),
        ("src/a", "exclusive", "src/", "exclusive", False),
        ("src/a", "shared", "src/", "exclusive", False),
        ("src/a", "shared", "src/", "shared", True),
        ("src/*.py", "exclusive", "src/a*", "exclusive", False),
        ("src/*.py", "exclusive", "lib/", "exclusive", True),
        ("lib/ src/a", "exclusive", "src/", "exclusive", False),
    ],
)
def test_what_overlaps_is_free_only_if_all_share_it(
    held: str, mode: Mode, names: str, wanted_mode: Mode, free: bool
) -> None:
    space = space_of(("t1", held, mode))
    ask = wanted(names, wanted_mode)
    assert is_free(space, ask) == free
    assert tuple(lease.token for lease in held_ahead(space, ask)) == (() if free else ("0000000000000001",))


def test_an_exclusive_wish_is_next_only_behind_nobody_who_wants_some_of_it() -> None:
    space = space_of(("t1", "a"), ("t2", "a b"), ("t3", "c"))
    assert not is_next(space, wanted("b"), NOW_AT_THE_END)
    assert not is_next(space, wanted("**"), NOW_AT_THE_END)
    assert is_next(space, wanted("d"), NOW_AT_THE_END)
    assert is_next(space, wanted("b"), (turn(-1e9, "medium"), 0, "before all"))


def test_a_shared_wish_is_next_behind_those_who_share() -> None:
    space = space_of(("t1", "a"), ("t2", "a b", "shared"))
    assert is_next(space, wanted("b", "shared"), NOW_AT_THE_END)
    assert not is_next(space, wanted("b"), NOW_AT_THE_END)


def test_who_waits_for_a_pattern_is_before_who_wants_a_name_of_it() -> None:
    space = space_of(("t1", "src/a"), ("t2", "src/ x"))
    for names, free in (("src/b", False), ("x", False), ("src/*.py", False), ("y", True)):
        assert is_next(space, wanted(names), NOW_AT_THE_END) == free


def test_the_position_counts_those_before_it_who_want_some_of_it() -> None:
    space = space_of(("t1", "a b"), ("t2", "a"), ("t3", "b"), ("t4", "a"), ("t5", "a b"), ("t6", "c a b"))
    assert {ticket: position(space, waiting(space, ticket)) for ticket in space.line.waiting} == {
        "t2": 1, "t3": 1, "t4": 2, "t5": 4, "t6": 5
    }  # fmt: skip


def test_the_position_counts_patterns_too() -> None:
    space = space_of(("t1", "src/a src/b"), ("t2", "src/"), ("t3", "src/a"), ("t4", "src/*"), ("t5", "src/b"))
    assert {ticket: position(space, waiting(space, ticket)) for ticket in space.line.waiting} == {
        "t2": 1, "t3": 2, "t4": 3, "t5": 3
    }  # fmt: skip


def test_a_release_concerns_the_first_who_wants_it_alone() -> None:
    space = space_of(("t1", "a b"), ("t2", "a"), ("t3", "a"), ("t4", "b"), ("t5", "c"))
    assert tickets(candidates(space, [("a",)])) == ["t2"]
    assert tickets(candidates(space, [("a", "b")])) == ["t2", "t4"]
    assert tickets(candidates(space, [("z",)])) == []


def test_a_release_concerns_all_the_first_who_share_and_no_more() -> None:
    space = space_of(
        ("t1", "a"), ("t2", "a", "shared"), ("t3", "a", "shared"), ("t4", "a"), ("t5", "a", "shared"), ("t6", "a")
    )
    assert tickets(candidates(space, [("a",)])) == ["t2", "t3", "t4"]


def test_a_release_concerns_those_who_wait_for_a_pattern_of_it() -> None:
    space = space_of(("t1", "src/a"), ("t2", "src/"), ("t3", "src/b"), ("t4", "lib/*"), ("t5", "src/?"))
    assert tickets(candidates(space, [("src/a",)])) == ["t2", "t5"]
    assert tickets(candidates(space, [("src/**",)])) == ["t2", "t3", "t5"]


def test_one_waits_for_those_before_it_as_far_as_the_next_who_wants_it_alone() -> None:
    space = space_of(("t1", "a"), ("t2", "a"), ("t3", "a"), ("t4", "a", "shared"), ("t5", "a", "shared"), ("t6", "a"))
    assert tickets(ahead(space, waiting(space, "t2"), 9)) == []
    assert tickets(ahead(space, waiting(space, "t3"), 9)) == ["t2"]
    assert tickets(ahead(space, waiting(space, "t5"), 9)) == ["t3"]
    assert tickets(ahead(space, waiting(space, "t6"), 9)) == ["t3", "t4", "t5"]
    assert tickets(ahead(space, waiting(space, "t6"), 1)) == ["t5"]


def test_one_waits_for_patterns_before_it_too() -> None:
    space = space_of(("t1", "src/a"), ("t2", "src/"), ("t3", "src/b"), ("t4", "src/*"))
    assert tickets(ahead(space, waiting(space, "t3"), 9)) == ["t2"]
    assert tickets(ahead(space, waiting(space, "t4"), 9)) == ["t2", "t3"]


def test_the_holders_of_a_name_are_found_by_any_name_that_overlaps() -> None:
    space = space_of(("t1", "src/a"), ("t2", "src/b", "shared"), ("t3", "lib/"))
    assert [lease.ask.ticket for lease in holders_of(space, "src/", 9)] == ["t1", "t2"]
    assert [lease.ask.ticket for lease in holders_of(space, "lib/x", 9)] == ["t3"]
    assert [lease.ask.ticket for lease in holders_of(space, "**", 2)] == ["t1", "t2"]
