"""The checker of linearizability: wrong histories by name, their right siblings, and what a verdict says."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from concerted.testing.history import History, Operation
from concerted.testing.linearizability import Model, check_linearizable
from concerted.testing.models import (
    Arrivals,
    Counter,
    Election,
    Lease,
    Queue,
    Register,
    VersionedRegister,
)

pytestmark = pytest.mark.pure


def done(op: str, arg: Any, result: Any, called_at: float, returned_at: float, name: str = "it") -> Operation:
    return Operation(name, op, arg, result, called_at, returned_at)


def unknown(op: str, arg: Any, called_at: float, name: str = "it") -> Operation:
    return Operation(name, op, arg, called_at=called_at, outcome="info")


def failed(op: str, arg: Any, called_at: float, returned_at: float) -> Operation:
    return Operation("it", op, arg, None, called_at, returned_at, "fail")


@dataclass
class Pair:
    """A wrong history and one that differs in what matters alone."""

    model: Model[Any]
    wrong: list[Operation]
    right: list[Operation]


LATE_READ = done("read", None, 0, 6, 7)
OLD_A = done("acquire", ["ann", 5], 1, 0, 1)
NEW_B = done("acquire", ["bob", 5], 2, 6, 7)
LED_A = done("campaign", ["ann", 5], 1, 0, 1)
LED_B = done("campaign", ["bob", 5], 2, 6, 7)

PAIRS = {
    # registers
    "a stale read": Pair(
        Register(),
        [done("write", 1, None, 0, 1), done("write", 2, None, 2, 3), done("read", None, 1, 4, 5)],
        [done("write", 1, None, 0, 1), done("write", 2, None, 2, 5), done("read", None, 1, 3, 4)],
    ),
    "a value from the future": Pair(
        Register(),
        [done("read", None, 1, 0, 1), done("write", 1, None, 2, 3)],
        [done("read", None, 1, 0, 2), done("write", 1, None, 1, 3)],
    ),
    "a value from nowhere": Pair(
        Register(0),
        [done("write", 1, None, 0, 1), done("read", None, 7, 2, 3)],
        [done("write", 7, None, 0, 1), done("read", None, 7, 2, 3)],
    ),
    "an answer before the commit, and a crash forgets it": Pair(
        Register("old"),
        [done("write", "new", None, 0, 1), done("read", None, "old", 5, 6)],
        [unknown("write", "new", 0), done("read", None, "old", 5, 6)],
    ),
    "a new value, then the old one again": Pair(
        Register(1),
        [done("write", 2, None, 0, 9), done("read", None, 2, 1, 2), done("read", None, 1, 3, 4)],
        [done("write", 2, None, 0, 9), done("read", None, 1, 1, 2), done("read", None, 2, 3, 4)],
    ),
    "two readers who disagree about the order of two writes": Pair(
        Register(0),
        [
            done("write", 1, None, 0, 9), done("write", 2, None, 0, 9),
            done("read", None, 1, 1, 2), done("read", None, 2, 3, 4), done("read", None, 1, 5, 6),
        ],
        [
            done("write", 1, None, 0, 9), done("write", 2, None, 0, 9),
            done("read", None, 1, 1, 2), done("read", None, 2, 3, 4), done("read", None, 2, 5, 6),
        ],
    ),
    "a swap that happened twice from one value": Pair(
        Register(0),
        [done("cas", [0, 1], True, 0, 3), done("cas", [0, 2], True, 1, 4)],
        [done("cas", [0, 1], True, 0, 3), done("cas", [0, 2], False, 1, 4)],
    ),
    "a swap refused though the value was the expected one": Pair(
        Register(0),
        [done("cas", [0, 1], False, 0, 1), done("read", None, 0, 2, 3)],
        [done("cas", [5, 1], False, 0, 1), done("read", None, 0, 2, 3)],
    ),
    "a write that certainly failed, and shows": Pair(
        Register(0),
        [failed("write", 1, 0, 1), done("read", None, 1, 2, 3)],
        [failed("write", 1, 0, 1), done("read", None, 0, 2, 3)],
    ),
    "a write of unknown outcome that happens twice": Pair(
        Register(0),
        [unknown("write", 1, 0), *(done("read", None, value, at, at + 0.5) for at, value in enumerate([1, 0, 1], 1))],
        [unknown("write", 1, 0), *(done("read", None, value, at, at + 0.5) for at, value in enumerate([0, 1, 1], 1))],
    ),
    "a write of unknown outcome that happens before its call": Pair(
        Register(0),
        [done("read", None, 1, 0, 1), unknown("write", 1, 2)],
        [done("read", None, 1, 0, 3), unknown("write", 1, 2)],
    ),
    "a value that comes back without a write": Pair(
        Register(0),
        [done("write", 0, None, 0, 1), done("write", 1, None, 2, 3), done("read", None, 1, 4, 5), LATE_READ],
        [done("write", 0, None, 0, 9), done("write", 1, None, 2, 3), done("read", None, 1, 4, 5), LATE_READ],
    ),
    # versions
    "a swap that happened twice from one version": Pair(
        VersionedRegister(),
        [done("cas", [0, "a"], 1, 0, 3), done("cas", [0, "b"], 2, 1, 4)],
        [done("cas", [0, "a"], 1, 0, 3), done("cas", [1, "b"], 2, 1, 4)],
    ),
    "a version given twice": Pair(
        VersionedRegister(),
        [done("write", "a", 5, 0, 1), done("write", "b", 5, 2, 3)],
        [done("write", "a", 5, 0, 1), done("write", "b", 6, 2, 3)],
    ),
    "an update that another one has overwritten unseen": Pair(
        VersionedRegister(),
        [done("cas", [0, "a"], 1, 0, 1), done("cas", [1, "b"], 2, 2, 3), done("read", None, ["a", 1], 4, 5)],
        [done("cas", [0, "a"], 1, 0, 1), done("cas", [1, "b"], 2, 2, 3), done("read", None, ["b", 2], 4, 5)],
    ),
    "the value of one write under the version of another": Pair(
        VersionedRegister(),
        [done("write", "a", 1, 0, 1), done("write", "b", 2, 0, 1), done("read", None, ["a", 2], 2, 3)],
        [done("write", "a", 1, 0, 1), done("write", "b", 2, 0, 1), done("read", None, ["b", 2], 2, 3)],
    ),
    # counters
    "a lost update": Pair(
        Counter(),
        [done("add", 1, 1, 0, 2), done("add", 1, 1, 1, 3)],
        [done("add", 1, 1, 0, 2), done("add", 1, 2, 1, 3)],
    ),
    "a tally that forgot what it had acknowledged": Pair(
        Counter(),
        [done("add", 1, None, 0, 1), done("add", 1, None, 0, 1), done("read", None, 1, 2, 3)],
        [done("add", 1, None, 0, 1), unknown("add", 1, 0), done("read", None, 1, 2, 3)],
    ),
    "an addition counted twice": Pair(
        Counter(),
        [unknown("add", 1, 0), done("read", None, 2, 5, 6)],
        [unknown("add", 1, 0), done("read", None, 1, 5, 6)],
    ),
    # queues
    "an item taken twice": Pair(
        Queue(),
        [done("put", "a", None, 0, 1), done("take", None, "a", 2, 4), done("take", None, "a", 3, 5)],
        [done("put", "a", None, 0, 1), done("take", None, "a", 2, 4), done("take", None, None, 3, 5)],
    ),
    "items taken in another order than they were put": Pair(
        Queue(),
        [
            done("put", "a", None, 0, 1), done("put", "b", None, 2, 3),
            done("take", None, "b", 4, 5), done("take", None, "a", 6, 7),
        ],
        [
            done("put", "a", None, 0, 3), done("put", "b", None, 2, 3),
            done("take", None, "b", 4, 5), done("take", None, "a", 6, 7),
        ],
    ),
    "an item taken before it was put": Pair(
        Queue(),
        [done("take", None, "a", 0, 1), done("put", "a", None, 2, 3)],
        [done("take", None, "a", 0, 3), done("put", "a", None, 2, 3)],
    ),
    "a queue that is empty for one who comes after the item": Pair(
        Queue(),
        [done("put", "a", None, 0, 1), done("take", None, None, 2, 3)],
        [done("put", "a", None, 0, 2), done("take", None, None, 1, 3)],
    ),
    # leases
    "a double grant": Pair(
        Lease(),
        [OLD_A, done("acquire", ["bob", 5], 2, 2, 3)],
        [OLD_A, done("acquire", ["bob", 5], None, 2, 3)],
    ),
    "a grant just before the last one may end": Pair(
        Lease(),
        [OLD_A, done("acquire", ["bob", 5], 2, 2, 4.9)],
        [OLD_A, done("acquire", ["bob", 5], 2, 2, 5.0)],
    ),
    "a grant that a renewal has ruled out": Pair(
        Lease(),
        [OLD_A, done("renew", ["ann", 1, 5], True, 3, 4), NEW_B],
        [OLD_A, done("renew", ["ann", 1, 5], False, 5, 6), NEW_B],
    ),
    "a grant that was waited for, and ended too early": Pair(
        Lease(),
        [
            done("acquire", ["ann", 30], 1, 0, 1), done("acquire", ["bob", 5], 2, 2, 21),
            done("release", ["ann", 1], True, 20, 21), done("acquire", ["cy", 5], 3, 22, 23),
        ],
        [
            done("acquire", ["ann", 30], 1, 0, 1), done("acquire", ["bob", 5], 2, 2, 21),
            done("release", ["ann", 1], True, 20, 21), done("acquire", ["cy", 5], 3, 22, 25),
        ],
    ),
    "a token used again": Pair(
        Lease(),
        [OLD_A, done("release", ["ann", 1], True, 2, 3), done("acquire", ["bob", 5], 1, 4, 5)],
        [OLD_A, done("release", ["ann", 1], True, 2, 3), done("acquire", ["bob", 5], 2, 4, 5)],
    ),
    "a token that goes back": Pair(
        Lease(),
        [done("acquire", ["ann", 5], 9, 0, 1), done("acquire", ["bob", 5], 8, 6, 7)],
        [done("acquire", ["ann", 5], 9, 0, 1), done("acquire", ["bob", 5], 10, 6, 7)],
    ),
    "a release by a stale token, accepted": Pair(
        Lease(),
        [OLD_A, NEW_B, done("release", ["ann", 1], True, 8, 9)],
        [OLD_A, NEW_B, done("release", ["ann", 1], False, 8, 9)],
    ),
    "a release by somebody else's token": Pair(
        Lease(),
        [OLD_A, done("release", ["bob", 1], True, 2, 3)],
        [OLD_A, done("release", ["bob", 1], False, 2, 3)],
    ),
    "a renewal by a stale token, accepted": Pair(
        Lease(),
        [OLD_A, NEW_B, done("renew", ["ann", 1, 5], True, 8, 9)],
        [OLD_A, NEW_B, done("renew", ["bob", 2, 5], True, 8, 9)],
    ),
    "a check that says valid for an old token": Pair(
        Lease(),
        [OLD_A, NEW_B, done("check", 1, True, 8, 9)],
        [OLD_A, NEW_B, done("check", 1, True, 5, 9)],
    ),
    "a lease shorter than granted": Pair(
        Lease(),
        [OLD_A, done("check", 1, False, 2, 3)],
        [OLD_A, done("check", 1, False, 2, 6)],
    ),
    "a lease that is gone, and comes back": Pair(
        Lease(),
        [OLD_A, done("check", 1, False, 6, 7), done("check", 1, True, 8, 9)],
        [OLD_A, done("check", 1, True, 6, 7), done("check", 1, False, 8, 9)],
    ),
    "an exclusive grant beside shared ones": Pair(
        Lease(),
        [
            done("acquire", ["ann", 5, "shared"], 1, 0, 1), done("acquire", ["bob", 5, "shared"], 2, 1, 2),
            done("acquire", ["cy", 5], 3, 3, 4),
        ],
        [
            done("acquire", ["ann", 5, "shared"], 1, 0, 1), done("acquire", ["bob", 5, "shared"], 2, 1, 2),
            done("acquire", ["cy", 5, "shared"], 3, 3, 4),
        ],
    ),
    "a list that leaves out a holder": Pair(
        Lease(),
        [OLD_A, done("look", None, [], 2, 3)],
        [OLD_A, done("look", None, [["ann", 1]], 2, 3)],
    ),
    "two holders, one of whom nobody answered": Pair(
        Lease(),
        [unknown("acquire", ["ann", 5], 0), done("check", 1, True, 2, 3), done("acquire", ["bob", 5], 2, 3.5, 4)],
        [unknown("acquire", ["ann", 5], 0), done("check", 1, False, 2, 3), done("acquire", ["bob", 5], 2, 3.5, 4)],
    ),
    # elections
    "two leaders at once": Pair(
        Election(),
        [LED_A, done("campaign", ["bob", 5], 2, 2, 3)],
        [LED_A, done("resign", ["ann", 1], True, 2, 3), done("campaign", ["bob", 5], 2, 2, 3)],
    ),
    "a leader of before, observed": Pair(
        Election(),
        [LED_A, LED_B, done("observe", None, ["ann", 1], 8, 9)],
        [LED_A, LED_B, done("observe", None, ["bob", 2], 8, 9)],
    ),
    "a deposed leader that proclaims": Pair(
        Election(),
        [LED_A, LED_B, done("proclaim", ["ann", 1, "plan"], True, 8, 9)],
        [LED_A, LED_B, done("proclaim", ["ann", 1, "plan"], False, 8, 9)],
    ),
    "what a leader of before has proclaimed": Pair(
        Election(),
        [LED_A, done("proclaim", ["ann", 1, "plan"], True, 2, 3), LED_B, done("hear", None, "plan", 8, 9)],
        [LED_A, done("proclaim", ["ann", 1, "plan"], True, 2, 3), LED_B, done("hear", None, None, 8, 9)],
    ),
    "a proclamation that comes back": Pair(
        Election(),
        [
            LED_A, *(done("proclaim", ["ann", 1, each], True, 1 + each, 1.5 + each) for each in (1, 2)),
            done("proclaim", ["ann", 1, 1], True, 2, 3), done("hear", None, 2, 4, 4.1), done("hear", None, 1, 4.2, 4.3),
        ],
        [
            LED_A, *(done("proclaim", ["ann", 1, each], True, 1 + each, 1.5 + each) for each in (1, 2)),
            done("proclaim", ["ann", 1, 1], True, 2, 9), done("hear", None, 2, 4, 4.1), done("hear", None, 1, 4.2, 4.3),
        ],
    ),
    # sync points
    "a repeated arrival that counts one who is not there": Pair(
        Arrivals(3),
        [done("arrive", "ann", 1, 0, 1), done("arrive", "bob", 2, 8.5, 9), done("arrive", "ann", 2, 2, 8)],
        [done("arrive", "ann", 1, 0, 1), done("arrive", "bob", 2, 2, 9), done("arrive", "ann", 2, 2, 8)],
    ),
    "an arrival counted twice": Pair(
        Arrivals(3),
        [done("arrive", "ann", 1, 0, 1), done("arrive", "ann", 2, 2, 3)],
        [done("arrive", "ann", 1, 0, 1), done("arrive", "ann", 1, 2, 3)],
    ),
    "a lost arrival": Pair(
        Arrivals(3),
        [done("arrive", "ann", 1, 0, 2), done("arrive", "bob", 1, 1, 3)],
        [done("arrive", "ann", 1, 0, 2), done("arrive", "bob", 2, 1, 3)],
    ),
    "a point that completes too early": Pair(
        Arrivals(2),
        [done("arrive", "ann", 1, 0, 1), done("status", None, "completed", 2, 3)],
        [done("arrive", "ann", 1, 0, 1), unknown("arrive", "bob", 1), done("status", None, "completed", 2, 3)],
    ),
    "a point that waits though all are there": Pair(
        Arrivals(2),
        [done("arrive", "ann", 1, 0, 1), done("arrive", "bob", 2, 0, 1), done("status", None, "waiting", 2, 3)],
        [done("arrive", "ann", 1, 0, 1), done("arrive", "bob", 2, 0, 4), done("status", None, "waiting", 2, 3)],
    ),
    "a cancelled point that completes": Pair(
        Arrivals(1),
        [done("cancel", None, True, 0, 1), done("arrive", "ann", 1, 2, 3)],
        [done("cancel", None, True, 0, 1), done("arrive", "ann", None, 2, 3)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))
def test_a_wrong_history_is_refused(pair: Pair) -> None:
    verdict = check_linearizable(History.of(pair.wrong), pair.model)
    assert verdict.status == "invalid", verdict
    assert not verdict.valid


@pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))
def test_its_right_sibling_is_accepted(pair: Pair) -> None:
    verdict = check_linearizable(History.of(pair.right), pair.model)
    assert verdict.valid, verdict


# what a verdict says


def test_a_valid_verdict_gives_the_order_it_found() -> None:
    history = History.of(
        [done("write", 2, None, 0, 9), done("read", None, 1, 1, 2), done("write", 1, None, 0, 3)]
    )  # fmt: skip
    verdict = check_linearizable(history, Register())
    assert [str(each) for each in verdict.linearizations["it"]][:2] == ["write(1) -> None", "read() -> 1"]
    assert str(verdict).startswith("valid: 3 operations on 1 objects, ")


def test_an_order_leaves_out_what_failed_and_what_need_not_have_happened() -> None:
    history = History.of([failed("write", 1, 0, 1), unknown("write", 2, 0), done("read", None, None, 2, 3)])
    assert [each.op for each in check_linearizable(history, Register()).linearizations["it"]] == ["read"]


def test_a_violation_names_the_operation_what_it_overlaps_with_and_what_the_state_could_have_been() -> None:
    history = History.of(
        [
            Operation("cell", "write", 1, None, 10.0, 10.5, process="ann"),
            Operation("cell", "write", 2, None, 11.0, process="bob", outcome="info", note="ConnectionError"),
            Operation("cell", "read", None, 3, 12.0, 12.25, process="cy"),
        ]
    )
    verdict = check_linearizable(history, Register())
    assert str(verdict) == (
        "invalid: 3 operations on 1 objects, 3 configurations visited\n"
        "cell is not linearizable: nothing explains\n"
        "    read() -> 3  by cy  [+2.000000, +2.250000]\n"
        "which overlaps with\n"
        "    write(2) -> ?  by bob  [+1.000000, never] (ConnectionError)\n"
        "after 1 that can be explained.  The state could have been\n"
        "    1\n"
        "        by write(1) -> None\n"
        "    2\n"
        "        by write(1) -> None, write(2) -> ?"
    )


def test_the_first_operation_that_nothing_explains_is_the_one_named() -> None:
    operations = [done("add", 1, number + 1, 2 * number, 2 * number + 1) for number in range(50)]
    operations[30] = done("add", 1, 77, 60, 61)
    [violation] = check_linearizable(History.of(operations), Counter()).violations
    assert violation.operation.result == 77
    assert violation.explained_count == 30
    assert [attempt.state for attempt in violation.attempts] == ["30"]
    assert len(violation.attempts[0].order) == 20


def test_of_two_that_nothing_explains_the_one_that_returned_first_is_named() -> None:
    history = History.of(
        [
            done("write", "a", 5, 0, 1),
            done("read", None, ["b", 3], 2, 50),  # too late for good, as soon as version 5 is written
            done("read", None, ["c", 9], 3, 4),
        ]
    )
    [violation] = check_linearizable(history, VersionedRegister()).violations
    assert str(violation.operation) == "read() -> ('c', 9)"
    assert violation.explained_count == 1


def test_a_long_list_of_what_overlaps_is_cut() -> None:
    writes = [unknown("write", each, each) for each in range(25)]
    verdict = check_linearizable(History.of([*writes, done("read", None, "x", 30, 31)]), Register())
    assert "write(24) -> ?" in str(verdict)
    assert "write(4) -> ?  [" not in str(verdict).partition("after 0")[0]
    assert "    and 5 more\n" in str(verdict)


def test_each_object_is_judged_by_itself() -> None:
    history = History.of(
        [
            done("write", 1, None, 0, 1, "good"), done("read", None, 1, 2, 3, "good"),
            done("write", 1, None, 0, 1, "bad"), done("read", None, 2, 2, 3, "bad"),
            done("write", 1, None, 0, 1, "worse"), done("read", None, None, 2, 3, "worse"),
        ]
    )  # fmt: skip
    verdict = check_linearizable(history, Register())
    assert list(verdict.linearizations) == ["good"]
    assert [violation.object for violation in verdict.violations] == ["bad", "worse"]


def test_an_empty_history_is_valid() -> None:
    assert check_linearizable(History.of([]), Register()).valid


# bounds


def puzzle(name: str, answer: int) -> list[Operation]:
    """Many different additions at once, and a sum that none or only few orders reach."""
    sums = [done("add", 2**each, None, 0, 100, name) for each in range(10)]
    return [*sums, done("read", None, answer, 0, 50, name), done("read", None, answer + 1, 60, 90, name)]


def test_beyond_its_bound_the_verdict_is_unknown() -> None:
    history = History.of(puzzle("it", 10**6))
    verdict = check_linearizable(history, Counter(), max_configurations=100)
    assert (verdict.status, verdict.valid, verdict.undecided) == ("unknown", False, ("it",))
    assert verdict.configuration_count <= 101
    assert "it is undecided: raise max_configurations" in str(verdict)


def test_what_it_costs_to_find_what_is_new_is_bounded_too() -> None:
    """Additions that may or may not have been made: very many sets of them have the same sum."""
    sums = [unknown("add", each, 0) for each in range(1, 31)]
    reads = [done("read", None, 232, 1, 2), done("read", None, 10**6, 3, 4)]
    verdict = check_linearizable(History.of([*sums, *reads]), Counter(), max_configurations=20_000)
    assert verdict.undecided == ("it",)
    assert 1_000 < verdict.configuration_count < 20_000


def test_a_violation_elsewhere_outweighs_what_is_undecided() -> None:
    history = History.of([*puzzle("hard", 10**6), done("read", None, 1, 0, 1, "easy")])
    verdict = check_linearizable(history, Counter(), max_configurations=100)
    assert verdict.status == "invalid"
    assert verdict.undecided == ("hard",)


def test_the_bound_holds_for_each_object() -> None:
    history = History.of([*puzzle("hard", 10**6), done("read", None, 0, 0, 1, "next")])
    assert list(check_linearizable(history, Counter(), max_configurations=100).linearizations) == ["next"]


def test_within_its_bound_a_puzzle_is_decided() -> None:
    assert check_linearizable(History.of(puzzle("it", 340)), Counter()).valid
    assert check_linearizable(History.of(puzzle("it", 10**6)), Counter()).status == "invalid"


# what keeps the search small


def test_reads_at_once_do_not_multiply() -> None:
    reads = [done("read", None, 0, 0, 10 + each) for each in range(40)]
    late = done("read", None, 0, 80, 90)
    history = History.of([*reads, done("write", 1, None, 0, 70), late])
    verdict = check_linearizable(history, Register(0))
    assert verdict.status == "invalid"
    assert verdict.configuration_count < 100


def test_unknown_operations_alike_do_not_multiply() -> None:
    additions = [unknown("add", 1, each) for each in range(40)]
    history = History.of([*additions, done("read", None, 30, 50, 51), done("read", None, 41, 52, 53)])
    verdict = check_linearizable(history, Counter())
    assert verdict.status == "invalid"
    assert verdict.configuration_count < 200


def test_unknown_operations_that_undo_each_other_do_not_multiply() -> None:
    writes = [unknown("write", each, each) for each in range(20)]
    verdict = check_linearizable(History.of([*writes, done("read", None, "x", 50, 51)]), Register())
    assert verdict.status == "invalid"
    assert verdict.configuration_count < 50


def test_what_is_impossible_for_good_ends_the_search_at_once() -> None:
    resigned = done("release", ["ann", 1], True, 2, 90)
    renewals = [done("renew", ["ann", 1, each], True, 2, 20 + each) for each in range(12)]
    verdict = check_linearizable(History.of([done("acquire", ["ann", 99], 1, 0, 1), *renewals, resigned]), Lease())
    assert verdict.valid
    early = [replace(each, returned_at=100.0 + each.returned_at) for each in renewals]
    verdict = check_linearizable(History.of([done("acquire", ["ann", 99], 1, 0, 1), *early, resigned]), Lease())
    assert verdict.valid
    assert verdict.configuration_count < 100


def test_unknown_operations_that_would_change_nothing_are_not_tried() -> None:
    checks = [unknown("check", each, each) for each in range(40)]
    history = History.of([*checks, OLD_A, done("acquire", ["bob", 5], 2, 2, 3)])
    verdict = check_linearizable(history, Lease())
    assert verdict.status == "invalid"
    assert verdict.configuration_count < 100


def test_a_long_history_takes_one_configuration_an_operation() -> None:
    operations = [done("add", 1, number + 1, number, number + 5.5) for number in range(2_000)]
    verdict = check_linearizable(History.of(operations), Counter())
    assert verdict.valid
    assert verdict.configuration_count <= 2_000


def test_a_long_history_of_reads_is_no_deep_one() -> None:
    reads = [done("read", None, 0, number, number + 5.5) for number in range(3_000)]
    assert check_linearizable(History.of(reads), Register(0)).valid


# edges of time


def test_what_is_called_at_the_instant_of_a_return_overlaps_with_it() -> None:
    assert check_linearizable(
        History.of([done("write", 1, None, 0, 1), done("read", None, None, 1, 2)]), Register()
    ).valid


def test_an_operation_of_no_length_has_its_place() -> None:
    history = History.of([done("write", 1, None, 1, 1), done("read", None, 1, 2, 2)])
    assert check_linearizable(history, Register()).valid


def test_an_unknown_operation_may_happen_long_after_its_call() -> None:
    history = History.of([unknown("write", 1, 0), done("read", None, 0, 50, 51), done("read", None, 1, 60, 61)])
    assert check_linearizable(history, Register(0)).valid


def test_a_grant_in_a_chain_of_waiters_counts_from_when_it_was_possible() -> None:
    chain = [done("acquire", ["ann", 5], 1, 0, 0.5), done("acquire", ["bob", 5], 2, 0, 5.5)]
    assert check_linearizable(History.of([*chain, done("acquire", ["cy", 5], 3, 0, 10)]), Lease()).valid
    assert not check_linearizable(History.of([*chain, done("acquire", ["cy", 5], 3, 0, 9.9)]), Lease()).valid
