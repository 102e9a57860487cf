"""Laws of the choice among many: what is proved is the best there is, and a search never passes its bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.groups.crowd import MOST_MEMBERS, search, worths_of
from concerted.groups.formation import CoalitionConstraints, Terms, ranked
from concerted.groups.games import Skills, worth_table
from concerted.values import AgentId


@st.composite
def markets(draw: st.DrawFn) -> tuple[Skills, tuple[AgentId, ...], Terms]:
    n = draw(st.integers(2, 8))
    agents = tuple(AgentId(f"a{number}") for number in range(n))
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = {agent: {"x": round(float(dice.random()), 1), "y": round(float(dice.random()), 1)} for agent in agents}
    costs = {agent: round(float(dice.random()) * 3, 1) for agent in agents}
    pairs = {(agents[0], agents[-1]): round(float(dice.normal()), 1)}
    skills = Skills(levels, {"x": 1.0, "y": 0.7}, 8.0, "all", costs=costs, synergy=pairs, may_idle=True)
    constraints = CoalitionConstraints(
        max_size=draw(st.integers(2, n)), min_stability=0.0,
        must_exclude=(agents[1],) if draw(st.booleans()) else (), max_cost=draw(st.sampled_from([None, 4.0])),
    )  # fmt: skip
    odds = {agent: round(float(dice.random()), 1) for agent in agents}
    extra = costs if constraints.max_cost is not None else {}
    mode = draw(st.sampled_from(["sound", "specification"]))
    return skills, agents, Terms(constraints, odds, extra, skills, mode=mode)  # type: ignore[arg-type]


@given(markets())
def test_where_all_are_valued_they_are_ranked_as_in_a_table(market: tuple[Skills, tuple[AgentId, ...], Terms]) -> None:
    skills, agents, terms = market
    table = worth_table(skills, agents)
    assert worths_of(skills, agents, np.arange(len(table))) == pytest.approx(table)
    slow = ranked(table, agents, terms, 24)
    found = search(skills, agents, terms, 1 << len(agents), 24)
    assert found.status == "optimal"
    assert [each.agents for each in found.candidates] == [each.agents for each in slow]


@given(markets(), st.integers(1, 40))
def test_a_search_finds_only_what_may_form_and_nothing_passes_its_bound(
    market: tuple[Skills, tuple[AgentId, ...], Terms], budget: int
) -> None:
    skills, agents, terms = market
    found = search(skills, agents, terms, 1, 24)
    assert found.status == "feasible"
    assert found.bound is not None
    assert all(each.feasible for each in search(skills, agents, terms, budget, 24).candidates)
    assert len(agents) <= MOST_MEMBERS
    for each in ranked(worth_table(skills, agents), agents, terms, 300):
        assert each.expected_utility <= found.bound + 1e-9
