"""Laws of scores: in range, the same in bulk and explained, and never better for a worse offer."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.allocation.criteria import (
    INADMISSIBLE,
    Mode,
    Offer,
    explain_score,
    floor_reason,
    score_offers,
    why_lost,
)
from concerted.config.settings import Criteria
from concerted.values import AgentId, Task, TaskId

LEVELS = st.floats(0, 1)
AMOUNTS = st.one_of(st.just(0.0), st.floats(0, 1e6))
LIMITS = st.one_of(st.none(), st.floats(1e-3, 1e6))
SKILLS = st.dictionaries(st.sampled_from(["dig", "read"]), LEVELS)
WEIGHTS = st.sampled_from(
    [
        Criteria(),
        Criteria(cost=1, time=0, quality=0, reliability=0),
        Criteria(cost=0, time=0.5, quality=0, reliability=0.5),
    ]
)
MODES: list[Mode] = ["sound", "specification"]


@dataclass(frozen=True)
class Market:
    """One task and the offers for it, of different agents."""

    task: Task
    offers: list[Offer]
    weights: Criteria

    def scores(self, mode: Mode) -> list[float]:
        return score_offers({self.task.id: self.task}, self.offers, self.weights, mode)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    task = Task(
        id=TaskId("weed"),
        required_capabilities=draw(SKILLS),
        max_budget=draw(LIMITS),
        max_duration_s=draw(LIMITS),
    )
    facts = st.fixed_dictionaries(
        {
            "cost": AMOUNTS, "duration_s": AMOUNTS, "quality": LEVELS, "reliability": LEVELS, "load": LEVELS,
            "capabilities": SKILLS,
        }
    )  # fmt: skip
    found: list[dict[str, Any]] = draw(st.lists(facts, min_size=1, max_size=4))
    offers = [Offer(agent=AgentId(f"a{i}"), task=task.id, **one) for i, one in enumerate(found)]
    return Market(task, offers, draw(WEIGHTS))


@pytest.mark.parametrize("mode", MODES)
@given(market=markets())
def test_a_score_is_between_nothing_and_one_or_there_is_a_reason_for_none(mode: Mode, market: Market) -> None:
    for offer, score in zip(market.offers, market.scores(mode), strict=True):
        if floor_reason(market.task, offer, mode) is None:
            assert 0.0 <= score <= 1.0 + 1e-9
        else:
            assert score == INADMISSIBLE


@pytest.mark.parametrize("mode", MODES)
@given(market=markets())
def test_an_explained_score_is_the_score_and_the_sum_of_its_parts(mode: Mode, market: Market) -> None:
    for offer, score in zip(market.offers, market.scores(mode), strict=True):
        explained = explain_score(market.task, offer, market.offers, market.weights, mode)
        assert explained.total == score
        if score != INADMISSIBLE:
            assert sum(explained.parts.values()) == pytest.approx(score)


@pytest.mark.parametrize("mode", MODES)
@given(market=markets(), dice=st.permutations(range(4)))
def test_a_score_does_not_depend_on_the_order_of_the_offers(mode: Mode, market: Market, dice: list[int]) -> None:
    order = [i for i in dice if i < len(market.offers)]
    turned = Market(market.task, [market.offers[i] for i in order], market.weights)
    scores = market.scores(mode)
    assert turned.scores(mode) == [scores[i] for i in order]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("better", ["cost", "duration_s", "load", "quality", "reliability"])
@given(market=markets(), share=LEVELS)
def test_a_better_offer_never_scores_less(mode: Mode, better: str, market: Market, share: float) -> None:
    """Of two offers that differ in one thing alone, in the same market."""
    one = market.offers[0]
    was = getattr(one, better)
    now = was + (1 - was) * share if better in ("quality", "reliability") else was * share
    improved = msgspec.structs.replace(one, agent=AgentId("better"), **{better: min(now, 1.0) if was <= 1 else now})
    scores = Market(market.task, [improved, *market.offers], market.weights).scores(mode)
    assert scores[0] >= scores[1] - 1e-12


@pytest.mark.parametrize("mode", MODES)
@given(market=markets(), winner=st.integers(-1, 3))
def test_whoever_has_not_won_is_told_why_in_one_line(mode: Mode, market: Market, winner: int) -> None:
    admissible = [offer for offer, score in zip(market.offers, market.scores(mode), strict=True) if score >= 0]
    won = admissible[winner].agent if 0 <= winner < len(admissible) else None
    for offer in market.offers:
        why = why_lost(market.task, offer.agent, market.offers, won, market.weights, mode)
        assert why
        assert "\n" not in why
