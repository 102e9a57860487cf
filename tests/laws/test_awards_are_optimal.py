"""Laws of clearing a round: the fast code agrees with plain ones, and no order of the input matters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from concerted.allocation.criteria import INADMISSIBLE, Offer
from concerted.allocation.mechanisms import Rule, clear, ranking
from concerted.values import AgentId, Task, TaskId


@dataclass(frozen=True)
class Round:
    """One round of sealed offers, and the room of each agent."""

    tasks: list[Task]
    offers: list[Offer]
    scores: list[float]
    free: dict[AgentId, int]

    def clear(self, rule: Rule) -> dict[TaskId, Offer]:
        return clear(self.tasks, self.offers, self.scores, self.free, rule)

    def score_of(self, offer: Offer) -> float:
        return next(score for one, score in zip(self.offers, self.scores, strict=True) if one is offer)


# Few values, so that scores, costs and loads are often equal.
SCORES = st.sampled_from([INADMISSIBLE, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0])


@st.composite
def rounds(draw: st.DrawFn, most_tasks: int = 4, most_agents: int = 4, most_priority: int = 2) -> Round:
    names = [TaskId(f"t{i}") for i in range(draw(st.integers(0, most_tasks)))]
    agents = [AgentId(f"a{i}") for i in range(draw(st.integers(1, most_agents)))]
    tasks = [Task(id=name, priority=draw(st.integers(0, most_priority))) for name in names]
    pairs = [(name, agent) for name in names for agent in agents if draw(st.booleans())]
    cheap = st.sampled_from([1.0, 2.0])
    offers = [Offer(agent=agent, task=name, cost=draw(cheap), duration_s=1.0) for name, agent in pairs]
    scores = [draw(SCORES) for _ in offers]
    free = {agent: draw(st.integers(0, 2)) for agent in agents if draw(st.integers(0, 9))}
    return Round(tasks, offers, scores, free)


def best_by_trying_everything(one: Round) -> tuple[list[int], float]:
    """Return, over all ways to clear a round, the best: priorities given out, highest first, then the total score."""
    options: list[list[tuple[AgentId, float] | None]] = [
        [None, *((o.agent, s) for o, s in zip(one.offers, one.scores, strict=True) if o.task == task.id and s >= 0)]
        for task in one.tasks
    ]
    best: tuple[list[int], float] = ([], 0.0)
    for way in product(*options):
        taken = [choice[0] for choice in way if choice is not None]
        if all(taken.count(agent) <= one.free.get(agent, 0) for agent in taken):
            given_out = [task.priority for task, choice in zip(one.tasks, way, strict=True) if choice is not None]
            total = sum(choice[1] for choice in way if choice is not None)
            best = max(best, (sorted(given_out, reverse=True), total))
    return best


@given(rounds())
def test_the_optimal_rule_is_as_good_as_trying_everything(one: Round) -> None:
    won = one.clear("optimal")
    priority = {task.id: task.priority for task in one.tasks}
    found = sorted((priority[name] for name in won), reverse=True), sum(one.score_of(offer) for offer in won.values())
    assert found == best_by_trying_everything(one)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("tasks", "agents"), [(30, 30), (60, 20), (20, 60)])
def test_the_optimal_rule_agrees_with_a_published_solver(seed: int, tasks: int, agents: int) -> None:
    """A dense matrix with a bonus for each task given out, larger than all scores together, solved by scipy."""
    dice = np.random.default_rng(seed)
    bids = dice.random((tasks, agents)) < 0.2
    scores = dice.integers(0, 1 << 20, (tasks, agents)) / (1 << 20)  # exact in binary, so sums are exact, too
    value = np.where(bids, scores + tasks + 1, 0.0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    given_out = bids[rows, columns]

    pairs = [(int(row), int(column)) for row, column in np.argwhere(bids)]
    offers = [Offer(agent=AgentId(f"a{a}"), task=TaskId(f"t{t}"), cost=1.0, duration_s=1.0) for t, a in pairs]
    listed = [Task(id=TaskId(f"t{i}")) for i in range(tasks)]
    one = Round(listed, offers, [float(scores[pair]) for pair in pairs], {AgentId(f"a{i}"): 1 for i in range(agents)})
    won = one.clear("optimal")

    assert len(won) == given_out.sum()
    assert sum(one.score_of(offer) for offer in won.values()) == scores[rows, columns][given_out].sum()


@pytest.mark.parametrize("rule", ["optimal", "sequential"])
@given(one=rounds(most_tasks=6))
def test_nobody_gets_more_than_it_has_room_for_nor_what_it_did_not_offer(rule: Rule, one: Round) -> None:
    won = one.clear(rule)
    assert all(offer.task == name and one.score_of(offer) >= 0 for name, offer in won.items())
    winners = [offer.agent for offer in won.values()]
    assert all(winners.count(agent) <= one.free.get(agent, 0) for agent in winners)


@pytest.mark.parametrize("rule", ["optimal", "sequential"])
@given(one=rounds(most_tasks=6))
def test_no_task_is_left_while_somebody_who_offered_has_room(rule: Rule, one: Round) -> None:
    won = one.clear(rule)
    winners = [offer.agent for offer in won.values()]
    for offer, score in zip(one.offers, one.scores, strict=True):
        if offer.task not in won and score >= 0:
            assert winners.count(offer.agent) >= one.free.get(offer.agent, 0)


@pytest.mark.parametrize("rule", ["optimal", "sequential"])
@given(one=rounds(), dice=st.randoms(use_true_random=False))
def test_the_order_of_the_offers_changes_nothing(rule: Rule, one: Round, dice: Random) -> None:
    pairs = list(zip(one.offers, one.scores, strict=True))
    dice.shuffle(pairs)
    free = list(one.free.items())
    dice.shuffle(free)
    tasks = list(one.tasks)
    if rule == "optimal":
        dice.shuffle(tasks)
    shuffled = Round(tasks, [offer for offer, _ in pairs], [score for _, score in pairs], dict(free))
    assert shuffled.clear(rule) == one.clear(rule)


@given(rounds())
def test_the_optimal_rule_never_gives_out_fewer_tasks_than_the_sequential_one(one: Round) -> None:
    assert len(one.clear("optimal")) >= len(one.clear("sequential"))


@given(rounds())
def test_the_sequential_rule_gives_the_first_task_to_the_first_of_its_ranking_with_room(one: Round) -> None:
    ranked, won = ranking(one.offers, one.scores), one.clear("sequential")
    for task in one.tasks[:1]:
        assert won.get(task.id) == first_with_room(ranked, task.id, one.free)


def first_with_room(
    ranked: Mapping[TaskId, Sequence[Offer]], task: TaskId, free: Mapping[AgentId, int]
) -> Offer | None:
    return next((offer for offer in ranked.get(task, ()) if free.get(offer.agent, 0) > 0), None)
