"""What a formation computes: the same of a table and of worths by mask, and in a form that the log can keep."""

import msgspec

from concerted.groups.crowd import Draw, Search
from concerted.groups.formation import CoalitionConstraints, Terms, ValuedCoalition
from concerted.strategies.coalitions.computing import (
    computed_alone,
    computed_assessment,
    computed_game,
    computed_ranking,
    computed_search,
)
from concerted.values import AgentId

FEW = tuple(AgentId(name) for name in ("ann", "bob", "cy"))
MANY = (*FEW, *(AgentId(f"z{number:02}") for number in range(17)))
TABLE = [0.0, 1, 2, 6, 0, 4, 2, 9]
LISTED = {mask: worth for mask, worth in enumerate(TABLE) if worth}
TERMS = Terms(CoalitionConstraints(max_size=3))


def test_the_game_among_some_is_the_same_of_a_table_and_of_many() -> None:
    assert computed_game(TABLE, FEW, 0b101) == computed_game(LISTED, MANY, 0b101) == [0.0, 1.0, 0.0, 4.0]


def test_an_assessment_is_the_same_of_a_table_and_of_many() -> None:
    few, many = (
        computed_assessment(worths, agents, 0b111, TERMS, Draw()) for worths, agents in ((TABLE, FEW), (LISTED, MANY))
    )
    assert few == many
    assert msgspec.convert(few, ValuedCoalition).value.total == 9.0


def test_a_ranking_is_the_same_of_a_table_and_of_many() -> None:
    ranked = msgspec.convert(computed_ranking(TABLE, FEW, TERMS), list[ValuedCoalition])
    found = msgspec.convert(computed_search(LISTED, MANY, TERMS, 100, Draw()), Search)
    assert [each for each in ranked if each.value.total] == list(found.candidates)


def test_what_each_of_many_is_worth_alone() -> None:
    assert computed_alone(LISTED, MANY, ("bob", "ann", "z00")) == {"bob": 2.0, "ann": 1.0, "z00": 0.0}


def test_a_computation_comes_back_from_the_log_as_it_was() -> None:
    found = computed_search(LISTED, MANY, TERMS, 100, Draw())
    again = msgspec.json.decode(msgspec.json.encode(found))
    assert msgspec.convert(again, Search) == msgspec.convert(found, Search)
