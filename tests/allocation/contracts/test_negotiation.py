"""Which proposal is best, which cannot be accepted, and what is offered in return."""

import pytest

from concerted.allocation.contracts.negotiation import Bidder, Times, counter_offer, rank
from concerted.config.settings import Criteria
from concerted.messages import CounterOffer, Proposal
from concerted.values import Task

WEIGHTS = Criteria()


def judged(
    task: Task,
    now: float = 0.0,
    due: float | None = None,
    bidders: dict[str, Bidder] | None = None,
    **proposals: Proposal,
):
    known = {name: (bidders or {}).get(name, Bidder()) for name in proposals}
    return rank(task, proposals, known, WEIGHTS, Times(now, 100.0, due))


def names(ranking) -> list[str]:
    return [one.agent for one in ranking.best]


def test_the_score_weighs_cost_time_quality_and_the_record() -> None:
    task = Task(id="t", max_budget=10.0, max_duration_s=100.0)
    ranking = judged(
        task,
        bidders={"ann": Bidder(reliability=0.5)},
        ann=Proposal(cost=4.0, estimated_duration_s=20.0, quality_guarantee=0.9),
    )
    assert ranking.best[0].score == pytest.approx(0.3 * 0.6 + 0.25 * 0.8 + 0.25 * 0.9 + 0.2 * 0.5)


def test_the_better_record_wins_between_equal_proposals() -> None:
    offer = Proposal(cost=1.0)
    ranking = judged(Task(id="t"), bidders={"bob": Bidder(reliability=0.9)}, ann=offer, bob=offer)
    assert names(ranking) == ["bob", "ann"]


def test_equals_are_ordered_by_cost_then_load_then_id() -> None:
    offer = Proposal(cost=1.0)
    ranking = judged(Task(id="t"), bidders={"ann": Bidder(load=0.5)}, cy=offer, bob=offer, ann=offer)
    assert names(ranking) == ["bob", "cy", "ann"]


def test_whoever_has_failed_at_it_comes_last_however_good() -> None:
    ranking = judged(
        Task(id="t"),
        bidders={"ann": Bidder(reliability=1.0, has_failed=True)},
        ann=Proposal(cost=0.0),
        bob=Proposal(cost=9.0, quality_guarantee=0.1),
    )
    assert names(ranking) == ["bob", "ann"]


def test_what_cannot_be_accepted_says_why_and_whether_it_can_be_mended() -> None:
    task = Task(id="t", max_budget=10.0, max_duration_s=50.0, required_capabilities={"law": 0.5})
    lawyer = {"law": 0.8}
    ranking = judged(
        task,
        now=5.0,
        bidders={name: Bidder(capabilities=lawyer) for name in ("ann", "bob", "cy", "eve")},
        ann=Proposal(cost=11.0, estimated_duration_s=1.0),
        bob=Proposal(cost=1.0, estimated_duration_s=60.0),
        cy=Proposal(cost=1.0, estimated_duration_s=1.0, valid_until=4.0),
        dee=Proposal(cost=1.0, estimated_duration_s=1.0),
        eve=Proposal(cost=1.0),
    )
    assert not ranking.best
    assert ranking.unfit == {
        "ann": "over budget: 11 > 10",
        "bob": "too slow: 60 s > 50 s",
        "cy": "it no longer binds",
        "dee": "below the floor: law 0 < 0.5",
        "eve": "too slow: 100 s > 50 s",  # the duration of the call
    }
    assert ranking.mendable == ("ann", "bob", "eve")


def test_the_time_that_counts_is_that_until_the_work_is_done() -> None:
    """cy is as quick as ann and begins later; bob is slower than either, and is done before cy."""
    ranking = judged(
        Task(id="t"),
        now=100.0,
        ann=Proposal(cost=1.0, estimated_duration_s=10.0),
        bob=Proposal(cost=1.0, estimated_duration_s=30.0),
        cy=Proposal(cost=1.0, estimated_duration_s=10.0, start_at=130.0),
        dee=Proposal(cost=1.0, end_at=180.0),
    )
    assert names(ranking) == ["ann", "bob", "cy", "dee"]
    scores = [one.score for one in ranking.best]
    assert [round((scores[0] - score) / 0.25, 6) for score in scores] == [0.0, 20 / 80, 30 / 80, 70 / 80]


def test_dates_that_cannot_be_kept_are_unfit_and_may_be_mended() -> None:
    ranking = judged(
        Task(id="t", max_duration_s=50.0),
        now=100.0,
        due=200.0,
        ann=Proposal(cost=1.0, end_at=110.0, estimated_duration_s=20.0),
        bob=Proposal(cost=1.0, start_at=190.0, estimated_duration_s=20.0),
        cy=Proposal(cost=1.0, start_at=110.0, end_at=190.0),
        dee=Proposal(cost=1.0, start_at=150.0, estimated_duration_s=50.0),
        eve=Proposal(cost=1.0, estimated_duration_s=50.0, end_at=99.0),
    )
    assert names(ranking) == ["dee"]
    assert ranking.unfit == {
        "ann": "too late: it cannot be done by its own end_at any more, 110",
        "bob": "too late: done at 210, and due at 200",
        "cy": "too slow: 80 s > 50 s",
        "eve": "too late: it cannot be done by its own end_at any more, 99",
    }
    assert ranking.mendable == ("ann", "bob", "cy", "eve")


def test_who_is_too_late_is_told_by_when_it_is_due() -> None:
    ranking = judged(Task(id="t"), due=200.0, ann=Proposal(cost=1.0, start_at=190.0, estimated_duration_s=20.0))
    assert counter_offer(Task(id="t"), ranking, 0.0, None, 200.0) == (CounterOffer(end_at=200.0), ("ann",))


def test_who_promises_less_quality_than_the_task_demands_is_unfit() -> None:
    ranking = judged(
        Task(id="t", quality_metrics={"recall": 0.8}),
        ann=Proposal(cost=1.0, quality_metrics={"recall": 0.7}),
        bob=Proposal(cost=2.0, quality_metrics={"recall": 0.9}),
        cy=Proposal(cost=3.0),
    )
    assert names(ranking) == ["bob", "cy"]
    assert ranking.unfit == {"ann": "quality metric recall 0.7 < 0.8"}
    assert ranking.mendable == ()


def test_a_task_for_one_agent_is_for_nobody_else() -> None:
    ranking = judged(Task(id="t", agent="bob"), ann=Proposal(cost=1.0), bob=Proposal(cost=9.0))
    assert names(ranking) == ["bob"]
    assert ranking.mendable == ()


def test_who_asks_too_much_is_offered_the_limits_of_the_task() -> None:
    task = Task(id="t", max_budget=10.0, max_duration_s=50.0)
    ranking = judged(task, ann=Proposal(cost=11.0, estimated_duration_s=1.0), bob=Proposal(cost=1.0))
    assert counter_offer(task, ranking, 0.0, None) == (
        CounterOffer(cost=10.0, estimated_duration_s=50.0),
        ("ann", "bob"),
    )


def test_an_admissible_proposal_is_decided_on_at_once_unless_improvement_is_asked_for() -> None:
    task = Task(id="t")
    ranking = judged(task, ann=Proposal(cost=10.0), bob=Proposal(cost=20.0))
    assert counter_offer(task, ranking, 0.0, None) is None
    assert counter_offer(task, ranking, 0.1, None) == (CounterOffer(cost=9.0), ["ann", "bob"])


def test_rounds_end_when_the_price_falls_no_more() -> None:
    task = Task(id="t")
    ranking = judged(task, ann=Proposal(cost=10.0))
    assert counter_offer(task, ranking, 0.1, 10.0) is None
    assert counter_offer(task, ranking, 0.1, 10.5) == (CounterOffer(cost=9.0), ["ann"])
    assert counter_offer(task, judged(task, ann=Proposal(cost=0.0)), 0.1, None) is None


def test_where_nobody_proposes_there_is_nothing_to_offer() -> None:
    task = Task(id="t")
    ranking = judged(task)
    assert (ranking.best, ranking.unfit, counter_offer(task, ranking, 0.5, None)) == ((), {}, None)
