"""Which coalition to form: who may join, what each promises in both modes, and the choice among them."""

import math
from typing import Any

import numpy as np
import pytest

from concerted.errors import Invalid
from concerted.groups.formation import (
    Applicant,
    CoalitionConstraints,
    Terms,
    assess,
    choose,
    eligible,
    expected_worths,
    ranked,
    skills_of,
)
from concerted.groups.games import Skills, coalition_sizes, sums, worth_table
from concerted.values import AgentId, Profile, Task, TaskId

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")
FOUR = (ANN, BOB, CY, DAN)
TASK = Task(id=TaskId("t"), required_capabilities={"french": 0.8, "law": 0.5}, max_budget=20.0)


def applicant(agent: AgentId, cost: float = 1.0, load: float = 0.0, health: float = 1.0, **levels: float) -> Applicant:
    return Applicant(Profile(id=agent, capabilities=levels, cost=cost), load, health)


def terms(**changes: Any) -> Terms:
    limits = {name: changes.pop(name) for name in list(changes) if name in CoalitionConstraints.__struct_fields__}
    return Terms(CoalitionConstraints(**limits), **changes)


# Who may join


def test_whoever_has_something_of_what_is_required_may_join() -> None:
    found = eligible(
        [applicant(BOB, law=0.1), applicant(ANN, french=0.9), applicant(CY, cooking=1.0)], TASK, CoalitionConstraints()
    )
    assert found.agents == (ANN, BOB)
    assert found.refused == {CY: "has none of french, law"}


def test_a_task_that_requires_nothing_is_open_to_all() -> None:
    assert eligible([applicant(ANN)], Task(id=TaskId("t")), CoalitionConstraints()).agents == (ANN,)


def test_who_is_full_ill_unreliable_or_excluded_may_not_join() -> None:
    found = eligible(
        [
            applicant(ANN, load=1.0, law=1.0),
            applicant(BOB, health=0.0, law=1.0),
            applicant(CY, law=1.0, reliability=0.4),
            applicant(DAN, law=1.0),
        ],
        TASK,
        CoalitionConstraints(min_reliability=0.5, must_exclude=(DAN,)),
    )
    assert found.agents == ()
    assert found.refused == {
        ANN: "has no room for another task",
        BOB: "is not well",
        CY: "its reliability is 0.40, below 0.50",
        DAN: "excluded by the constraints",
    }


def test_what_is_known_of_somebody_counts_more_than_its_word() -> None:
    known = Applicant(Profile(id=ANN, capabilities={"law": 1.0, "reliability": 1.0}), reliability=0.1)
    assert known.likely == 0.1
    assert applicant(ANN, reliability=0.3).likely == 0.3
    assert applicant(ANN).likely == 1.0


def test_of_too_many_those_stay_who_bring_most_for_their_cost_and_who_must_be_in() -> None:
    crowd = [applicant(AgentId(f"a{number:02}"), cost=float(number), law=0.5) for number in range(10)]
    found = eligible(crowd, TASK, CoalitionConstraints(must_include=(AgentId("a09"),)), most=3)
    assert found.agents == (AgentId("a00"), AgentId("a01"), AgentId("a09"))
    assert found.refused[AgentId("a05")] == "3 others bring more of what the task requires for what they cost"


def test_a_task_makes_a_game_of_capabilities() -> None:
    game = skills_of([applicant(BOB, cost=3.0, law=0.5), applicant(ANN, cost=2.0, french=0.9)], TASK)
    assert worth_table(game, (ANN, BOB)).tolist() == [0, 0, 0, 20 - 5]
    free = Task(id=TaskId("t"), required_capabilities={"law": 0.5})
    assert skills_of([applicant(BOB, cost=3.0, law=0.5)], free).reward == 3.0
    assert skills_of([], free).reward == 1.0


# What each promises


def test_a_coalition_is_worth_its_total_its_synergy_and_what_can_be_expected_of_it() -> None:
    game = np.array([0.0, 2.0, 4.0, 10.0])
    found = assess(game, (ANN, BOB), 3, terms(reliability={BOB: 0.5}, costs={ANN: 1.0}))
    assert found.value.total == 10
    assert found.value.individual_contributions == pytest.approx({ANN: 4, BOB: 6})
    assert found.value.synergy == 4
    assert found.value.risk_adjusted == pytest.approx(0.5 * 10 + 0.5 * 2)
    assert found.expected_utility == pytest.approx(6 - 1)
    assert (found.stability, found.feasible, found.reasons) == (1.0, True, ())
    assert found.epsilon == pytest.approx(-2)


def test_the_specification_takes_the_mean_reliability_and_counts_who_gains() -> None:
    game = np.array([0.0, 6.0, 6.0, 10.0])
    found = assess(game, (ANN, BOB), 3, terms(reliability={BOB: 0.5}, mode="specification"))
    assert found.value.risk_adjusted == pytest.approx(10 * 0.75)
    assert (found.stability, found.expected_utility) == (0.0, 0.0)
    fair = assess(np.array([0.0, 2.0, 4.0, 10.0]), (ANN, BOB), 3, terms(mode="specification"))
    assert (fair.stability, fair.expected_utility) == (1.0, 10.0)


def test_a_majority_of_three_is_as_stable_as_two_thirds() -> None:
    majority = (sums([1.0, 1.0, 1.0]) >= 2).astype(float)
    assert assess(majority, (ANN, BOB, CY), 7, terms()).stability == pytest.approx(2 / 3)


def test_what_is_expected_is_the_mean_over_who_delivers() -> None:
    game = np.array([0.0, 1.0, 2.0, 7.0])
    expected = expected_worths(game, [0.25, 0.5])
    assert expected.tolist() == [0, 0.25, 1.0, 0.25 * 0.5 * 7 + 0.25 * 0.5 * 1 + 0.75 * 0.5 * 2]
    for wrong in ([0.5], [0.5, 1.5], [0.5, math.nan]):
        with pytest.raises(Invalid, match="are not 2 probabilities"):
            expected_worths(game, wrong)


def test_it_is_said_why_a_coalition_is_not_feasible() -> None:
    asked = terms(
        max_size=2, must_include=(DAN,), must_exclude=(ANN,), incompatible=((ANN, BOB),), max_cost=2.0,
        costs=dict.fromkeys(FOUR, 1.0), withdrawn=frozenset({CY}), refused=frozenset({7}),
        skills=Skills({}, {"law": 1.0}),
    )  # fmt: skip
    found = assess(coalition_sizes(4) * 1.0, FOUR, 7, asked)
    assert not found.feasible
    assert found.reasons == (
        "3 members; 1 to 2 are allowed", "dan must be in", "ann must not be in", "cy must not be in",
        "ann and bob may not both be in", "it costs 3, more than 2", "law is 0 of 1", "it has been refused",
    )  # fmt: skip


# The choice


def test_the_best_is_what_is_worth_most_of_what_is_allowed() -> None:
    squares = coalition_sizes(4) ** 2.0
    assert ranked(squares, FOUR, terms())[0].agents == FOUR
    assert ranked(squares, FOUR, terms(max_size=3))[0].agents == (ANN, BOB, CY)
    assert ranked(squares, FOUR, terms(max_size=2, must_include=(DAN,)))[0].agents == (ANN, DAN)
    assert ranked(squares, FOUR, terms(incompatible=((ANN, BOB),)))[0].agents == (ANN, CY, DAN)
    assert ranked(squares, FOUR, terms(must_include=(AgentId("eve"),))) == []


def test_an_unreliable_member_may_cost_more_than_it_brings() -> None:
    game = np.array([0.0, 6.0, 1.0, 8.0])
    asked = terms(reliability={BOB: 0.2}, costs={BOB: 1.0})
    assert [found.agents for found in ranked(game, (ANN, BOB), asked)] == [(ANN,), (ANN, BOB), (BOB,)]


def test_every_coalition_that_is_ranked_is_feasible_by_itself() -> None:
    game = coalition_sizes(4) ** 2.0
    levels = {agent: {"law": 0.4} for agent in FOUR}
    asked = terms(
        max_size=3, incompatible=((ANN, CY),), max_cost=3.5, costs={ANN: 2.0, BOB: 1.0, CY: 1.0, DAN: 1.0},
        skills=Skills(levels, {"law": 0.8}), refused=frozenset({0b0011}), withdrawn=frozenset(),
    )  # fmt: skip
    found = {valued.agents for valued in ranked(game, FOUR, asked, most=100)}
    alone = {valued.agents for mask in range(1, 16) if (valued := assess(game, FOUR, mask, asked)).feasible}
    assert found == alone == {(ANN, DAN), (BOB, CY), (BOB, DAN), (CY, DAN), (BOB, CY, DAN)}


def test_the_first_that_is_stable_enough_is_chosen() -> None:
    majority = (sums([1.0, 1.0, 1.0]) >= 2).astype(float) + 0.01 * coalition_sizes(3)
    found = ranked(majority, (ANN, BOB, CY), terms())
    assert found[0].agents == (ANN, BOB, CY)
    chosen = choose(found, min_stability=0.7)
    assert chosen is not None
    assert chosen.agents == (ANN, BOB)
    assert choose(found, min_stability=0.6) is found[0]
    assert choose([], 0.7) is None


def test_equals_are_in_the_order_of_fewer_members_then_of_agents() -> None:
    game = np.array([0.0, 1, 1, 1, 1, 1, 1, 1])
    assert [found.agents for found in ranked(game, (ANN, BOB, CY), terms())[:4]] == [(ANN,), (BOB,), (CY,), (ANN, BOB)]


def test_the_specification_puts_stable_ones_before_those_worth_more() -> None:
    game = np.array([0.0, 6.0, 6.0, 10.0])
    found = ranked(game, (ANN, BOB), terms(mode="specification"))
    assert [each.agents for each in found] == [(ANN,), (BOB,), (ANN, BOB)]


def test_a_game_must_be_one_of_these_agents_and_of_numbers() -> None:
    with pytest.raises(Invalid, match="a game of 2 agents is not one of these 3: ann, bob, cy"):
        ranked([0.0, 1, 1, 2], (ANN, BOB, CY), terms())
    with pytest.raises(Invalid, match=r"\(mask 3\) is worth nan"):
        ranked([0.0, 1, 1, math.nan], (ANN, BOB), terms())


@pytest.mark.parametrize(
    "limits", [{"min_size": 0}, {"min_size": 4, "max_size": 3}, {"min_stability": 1.2}, {"min_reliability": -0.1}]
)
def test_limits_that_contradict_each_other_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be 0\.\.1|1 <= min_size <= max_size"):
        CoalitionConstraints(**limits)
