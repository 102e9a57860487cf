"""Tables of games: how they are made, what they refuse, and what capabilities are worth."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from concerted.errors import Invalid, Overloaded
from concerted.groups.games import (
    FORBIDDEN,
    MOST_AGENTS,
    Skills,
    as_table,
    check_convex,
    check_finite,
    check_monotone,
    check_superadditive,
    coalition_sizes,
    mask_of,
    members,
    named,
    parts_of,
    shortfalls,
    subgame,
    sums,
    table_of,
    tabulate,
    worth,
    worth_table,
)
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


# Masks


def test_a_mask_names_its_members_in_their_order() -> None:
    assert members(0b101, (ANN, BOB, CY)) == (ANN, CY)
    assert mask_of((CY, ANN), (ANN, BOB, CY)) == 0b101
    assert named(0b101) == "the coalition of agents 0, 2 (mask 5)"
    assert named(0) == "the empty coalition"


def test_who_is_not_in_the_game_has_no_bit() -> None:
    with pytest.raises(Invalid, match="dan is not an agent of this game; it has ann, bob"):
        mask_of((AgentId("dan"),), (ANN, BOB))


def test_parts_of_a_coalition_begin_with_nobody_and_end_with_all() -> None:
    assert parts_of(0b1010).tolist() == [0b0000, 0b0010, 0b1000, 0b1010]


def test_sums_and_sizes_are_those_of_the_members() -> None:
    assert sums([1.0, 2.0, 4.0]).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert coalition_sizes(3).tolist() == [0, 1, 1, 2, 1, 2, 2, 3]


def test_a_subgame_is_the_game_among_its_members() -> None:
    assert subgame(np.arange(16.0), 0b1010).tolist() == [0, 2, 8, 10]


# Tables


def test_a_table_has_a_value_for_each_coalition() -> None:
    table, n = as_table([0, 1, 2, 4])
    assert (table.tolist(), n) == ([0, 1, 2, 4], 2)
    with pytest.raises(Invalid, match="3 values are no game"):
        as_table([0, 1, 2])
    with pytest.raises(Invalid, match="1 values are no game"):
        as_table([0])


def test_an_array_is_not_copied() -> None:
    given = np.array([0.0, 1.0])
    assert as_table(given)[0] is given


def test_nobody_is_worth_nothing() -> None:
    with pytest.raises(Invalid, match="the empty coalition is worth 3; it must be worth 0"):
        as_table([3, 4])


def test_too_many_agents_are_told_to_sample() -> None:
    with pytest.raises(Overloaded, match=r"at most 25 agents\. Sample instead"):
        as_table(np.broadcast_to(np.zeros(1), (1 << (MOST_AGENTS + 1),)))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_worth_that_is_no_number_is_named(wrong: float) -> None:
    with pytest.raises(Invalid, match=rf"the coalition of agents 0, 1 \(mask 3\) is worth {wrong}") as refused:
        check_finite(np.array([0.0, 1.0, 2.0, wrong]))
    assert refused.value.facts["mask"] == 3


# A function that is asked


def squares(masks: Sequence[int]) -> list[float]:
    return [float(mask.bit_count() ** 2) for mask in masks]


def test_a_function_is_asked_for_each_coalition_once_in_batches() -> None:
    asked: list[Sequence[int]] = []

    def worths(masks: Sequence[int]) -> list[float]:
        asked.append(masks)
        return squares(masks)

    table = table_of(3, worths, batch=3)

    assert table.tolist() == [0, 1, 1, 4, 1, 4, 4, 9]
    assert asked == [(1, 2, 4), (3, 5, 6), (7,)]


def test_what_is_known_is_not_asked_again() -> None:
    known = {1: 5.0, 3: 6.0}
    asking = tabulate(2, known)
    assert next(asking) == (2,)
    with pytest.raises(StopIteration) as done:
        asking.send([7.0])
    assert done.value.value.tolist() == [0, 5, 7, 6]
    assert known == {0: 0.0, 1: 5.0, 2: 7.0, 3: 6.0}


def test_coalitions_above_the_limit_are_not_asked_for_and_forbidden() -> None:
    asking = tabulate(3, max_size=1)
    assert next(asking) == (1, 2, 4)
    with pytest.raises(StopIteration) as done:
        asking.send([1.0, 2.0, 3.0])
    table = done.value.value
    assert table[[0, 1, 2, 4]].tolist() == [0, 1, 2, 3]
    assert (table[[3, 5, 6, 7]] == FORBIDDEN).all()


def test_answers_must_be_numbers_one_for_each_question() -> None:
    with pytest.raises(Invalid, match="3 coalitions were asked for and 1 values came"):
        table_of(2, lambda masks: [1.0])
    with pytest.raises(Invalid, match=r"the coalition of agents 1 \(mask 2\) is worth nan"):
        table_of(2, lambda masks: [math.nan if mask == 2 else 1.0 for mask in masks])
    with pytest.raises(Overloaded, match="26 agents: a table has 1 to 25"):
        table_of(26, squares)


# Properties


def test_a_game_that_falls_when_somebody_joins_is_named() -> None:
    check_monotone(np.array([0.0, 1.0, 1.0, 1.0]))
    with pytest.raises(Invalid, match=r"agent 1 joins the coalition of agents 0 .* falls from 3 to 2"):
        check_monotone(np.array([0.0, 3.0, 1.0, 2.0]))


def test_a_game_in_which_parting_pays_is_named() -> None:
    check_superadditive(sums([1.0, 2.0, 3.0]))
    with pytest.raises(Invalid, match=r"not superadditive: the coalition of agents 0, 1 .* is worth 2, and 1 more"):
        check_superadditive(np.array([0.0, 1.0, 2.0, 2.0]))
    with pytest.raises(Overloaded, match="at most 15 agents"):
        check_superadditive(np.zeros(1 << 16))


def test_a_game_in_which_somebody_adds_less_to_more_is_named() -> None:
    check_convex(np.array(squares(range(8))))
    with pytest.raises(Invalid, match=r"not convex: agents 0 and 1 add less to the coalition of agents 2"):
        check_convex(np.array([0.0, 1.0, 1.0, 2.0, 1.0, 3.0, 3.0, 4.0]))


# Capabilities

TEAM = {ANN: {"french": 0.8, "law": 0.2}, BOB: {"french": 0.1, "law": 0.5}, CY: {"law": 0.3}}


def skills(**changes: object) -> Skills:
    return Skills(**{"levels": TEAM, "thresholds": {"french": 0.9, "law": 1.0}, "reward": 10.0, **changes})  # type: ignore[arg-type]


def test_a_coalition_earns_by_the_capability_it_has_least_of() -> None:
    assert worth(skills(), (ANN,)) == pytest.approx(10 * 0.2)
    assert worth(skills(), (ANN, BOB, CY)) == 10


def test_all_or_nothing_earns_nothing_until_all_is_covered() -> None:
    assert worth(skills(coverage="all"), (ANN, BOB)) == 0
    assert worth(skills(coverage="all"), (ANN, BOB, CY)) == 10


def test_sums_that_miss_a_threshold_by_rounding_alone_reach_it() -> None:
    tenth = Skills({ANN: {"x": 0.7}, BOB: {"x": 0.2}, CY: {"x": 0.1}}, {"x": 1.0}, coverage="all")
    assert 0.7 + 0.2 + 0.1 < 1.0
    assert worth(tenth, (ANN, BOB, CY)) == 1.0
    assert worth_table(tenth, (ANN, BOB, CY))[7] == 1.0


def test_costs_overhead_and_synergy_count() -> None:
    game = skills(costs={ANN: 1.0, BOB: 2.0}, overhead=0.5, synergy={(BOB, ANN): 3.0})
    assert worth(game, (ANN, BOB)) == pytest.approx(10 * 0.7 + 3 - 1 - 2 - 0.5)
    assert worth(game, ()) == 0


def test_who_may_do_nothing_is_worth_no_less_than_nothing() -> None:
    assert worth(skills(coverage="all", costs={ANN: 1.0}), (ANN,)) == -1
    assert worth(skills(coverage="all", costs={ANN: 1.0}, may_idle=True), (ANN,)) == 0


@pytest.mark.parametrize("coverage", ["all", "least", "mean"])
@pytest.mark.parametrize(("combine", "may_idle"), [("sum", False), ("max", True)])
def test_the_table_says_the_same_as_each_coalition_by_itself(coverage: str, combine: str, may_idle: bool) -> None:
    costs, synergy = {BOB: 2.0}, {(CY, BOB): -1.0}
    game = skills(coverage=coverage, combine=combine, may_idle=may_idle, costs=costs, overhead=0.25, synergy=synergy)
    agents = (ANN, BOB, CY)
    table = worth_table(game, agents)
    for size in range(4):
        for coalition in combinations(agents, size):
            assert table[mask_of(coalition, agents)] == pytest.approx(worth(game, coalition))


def test_it_is_said_of_what_there_is_too_little() -> None:
    assert shortfalls(skills(), (ANN, BOB)) == ("law is 0.7 of 1",)
    assert shortfalls(skills(), (ANN, BOB, CY)) == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"thresholds": {"law": 0.0}}, "the threshold of law is 0.0"),
        ({"thresholds": {"law": math.nan}}, "the threshold of law is nan"),
        ({"reward": math.inf}, "the reward is inf"),
        ({"costs": {BOB: math.nan}}, "the cost of bob is nan"),
        ({"synergy": {(ANN, BOB): math.nan}}, "the synergy of ann and bob is nan"),
        ({"synergy": {(ANN, ANN): 1.0}}, "a synergy of ann with itself"),
        ({"levels": {CY: {"law": math.nan}}}, "law of cy is nan"),
    ],
)
def test_numbers_that_are_none_are_named(changes: dict[str, object], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        skills(**changes)


def test_a_table_of_too_many_agents_is_refused() -> None:
    with pytest.raises(Overloaded, match="26 agents"):
        worth_table(skills(), [AgentId(f"a{number}") for number in range(26)])
