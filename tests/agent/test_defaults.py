"""What an agent answers without a function of its own."""

import pytest

from concerted.agent import Agent, Refused
from concerted.agent.defaults import assign, bids, default_answer, propose
from concerted.messages import (
    Bids,
    CallForProposals,
    CheckProgress,
    CounterOffer,
    Custom,
    DecomposeObjective,
    GetCapabilities,
    GetStatus,
    Proposal,
    RequestBid,
    RequestVote,
)
from concerted.values import Objective, Task


def worker(agent: str = "ann", **fields: object) -> Agent:
    made = Agent(agent, **fields)
    made.task()(lambda task: None)
    return made


def offer(*tasks: Task, most: int = 32) -> RequestBid:
    return RequestBid(auction="a", tasks=tasks, closes_at=0.0, max_bids=most)


def names(answer: Bids) -> list[str]:
    return [bid.task for bid in answer.bids]


def test_a_bid_follows_from_profile_task_and_load() -> None:
    ann = worker(capabilities={"writing": 0.8, "law": 0.6}, cost=10.0, speed=2.0, capacity=2)
    ann.held = 1
    (bid,) = bids(ann, offer(Task(id="t", max_duration_s=100, required_capabilities={"writing": 0.5, "law": 0.6}))).bids
    assert (bid.cost, bid.estimated_duration_s, bid.quality_score) == (15.0, 75.0, pytest.approx(0.7))


def test_a_task_without_limit_or_requirements_has_nominal_length_and_full_quality() -> None:
    (bid,) = bids(worker(), offer(Task(id="t"))).bids
    assert (bid.estimated_duration_s, bid.quality_score) == (60.0, 1.0)


def test_bids_and_proposals_bind_for_as_long_as_the_profile_says() -> None:
    hasty = worker(bid_validity_s=30.0)
    (bid,) = default_answer(hasty, offer(Task(id="t")), 100.0).bids
    assert bid.valid_until == 130.0
    assert default_answer(hasty, call(Task(id="t")), 100.0).valid_until == 130.0
    (lasting,) = default_answer(worker(), offer(Task(id="t")), 100.0).bids
    assert lasting.valid_until is None


def test_nobody_bids_below_the_floor_or_above_the_budget_or_on_the_task_of_another() -> None:
    ann = worker(capabilities={"writing": 0.4}, cost=5.0)
    answer = bids(
        ann,
        offer(
            Task(id="too-hard", required_capabilities={"writing": 0.5}),
            Task(id="unknown", required_capabilities={"law": 0.0}),
            Task(id="too-cheap", max_budget=4.9),
            Task(id="for-bob", agent="bob"),
            Task(id="good", agent="ann", max_budget=5.0, required_capabilities={"writing": 0.4}),
        ),
    )
    assert names(answer) == ["good"]


def test_an_agent_bids_only_on_kinds_it_has_a_function_for() -> None:
    ann = Agent("ann")
    ann.task("draft")(lambda task: None)
    answer = bids(ann, offer(Task(id="a", kind="review"), Task(id="b", kind="draft"), Task(id="c")))
    assert names(answer) == ["b"]


@pytest.mark.parametrize(
    ("agent", "request_", "reason"),
    [
        (worker(), offer(), "no tasks were offered"),
        (Agent("idle"), offer(Task(id="t")), "it has no task functions"),
        (worker(), offer(Task(id="t", agent="bob")), "no offered task fits its kinds, capabilities and price"),
    ],
)
def test_no_bid_has_a_reason(agent: Agent, request_: RequestBid, reason: str) -> None:
    assert bids(agent, request_) == Bids(reason=reason)


def call(task: Task, **fields: object) -> CallForProposals:
    return CallForProposals(cfp="c", issuer="boss", task=task, reply_by=9.0, contract_duration_s=60.0, **fields)


def test_a_proposal_is_what_would_be_bid() -> None:
    ann = worker(capabilities={"writing": 0.8}, cost=10.0, speed=2.0)
    task = Task(id="t", max_duration_s=100, required_capabilities={"writing": 0.5})
    assert propose(ann, call(task)) == Proposal(cost=10.0, estimated_duration_s=50.0, quality_guarantee=0.8, cfp="c")
    assert default_answer(ann, call(task), 0.0) == propose(ann, call(task))


def test_a_counter_offer_is_met_down_to_the_own_cost_and_refused_below() -> None:
    ann = worker(cost=10.0)
    assert propose(ann, call(Task(id="t"), round=1, counter=CounterOffer(cost=10.0))).cost == 10.0
    assert propose(ann, call(Task(id="t"), round=1, counter=CounterOffer(quality_guarantee=0.5))).cost == 10.0
    with pytest.raises(Refused, match="it does this for 10 and not for less"):
        propose(ann, call(Task(id="t"), round=1, counter=CounterOffer(cost=9.9)))


def test_who_would_not_bid_does_not_propose() -> None:
    with pytest.raises(Refused, match="no offered task fits"):
        propose(worker(cost=5.0), call(Task(id="t", max_budget=4.0)))


def test_a_fleet_spreads_its_bids_over_all_tasks_and_always_in_the_same_way() -> None:
    request = offer(*(Task(id=f"t{n}") for n in range(100)), most=4)
    first = {name: names(bids(worker(name), request)) for name in (f"agent-{n}" for n in range(200))}
    again = {name: names(bids(worker(name), request)) for name in first}
    assert first == again
    assert all(len(set(chosen)) == 4 for chosen in first.values())
    assert len({task for chosen in first.values() for task in chosen}) > 95


def test_the_place_from_which_an_agent_bids_is_the_same_in_every_process() -> None:
    request = offer(*(Task(id=f"t{n}") for n in range(100)), most=1)
    assert names(bids(worker("ann"), request)) == ["t37"]


def test_urgent_tasks_are_bid_on_first() -> None:
    tasks = [Task(id=f"t{n}", priority=9 if n % 10 == 0 else 0) for n in range(50)]
    chosen = names(bids(worker(), offer(*tasks, most=5)))
    assert sorted(chosen) == ["t0", "t10", "t20", "t30", "t40"]


def test_a_task_is_assigned_to_who_fits_best_then_to_who_has_least() -> None:
    request = CheckProgress(
        term=1,
        ready=(Task(id="law", required_capabilities={"law": 0.5}), Task(id="any-1"), Task(id="any-2")),
        loads={"ann": 3, "bob": 0, "cy": 1},
        free={"ann": 1, "bob": 1, "cy": 5},
        capabilities={"ann": {"law": 0.9}, "bob": {"law": 0.6}, "cy": {}},
    )
    assert assign(request) == {"law": "ann", "any-1": "bob", "any-2": "cy"}


def test_nobody_gets_more_than_is_free_and_what_nobody_can_do_is_left_out() -> None:
    request = CheckProgress(
        term=1,
        ready=(
            Task(id="hard", required_capabilities={"law": 0.5}),
            Task(id="late"),
            Task(id="urgent", priority=5),
            Task(id="for-cy", agent="cy"),
        ),
        loads={},
        free={"ann": 1, "bob": 0},
        capabilities={"ann": {"law": 0.4}},
    )
    assert assign(request) == {"urgent": "ann"}


def test_an_agent_of_unknown_capabilities_is_taken_to_be_able() -> None:
    request = CheckProgress(
        term=1, ready=(Task(id="t", required_capabilities={"law": 1.0}),), loads={}, free={"ann": 1}
    )
    assert assign(request) == {"t": "ann"}


def test_status_capabilities_votes_and_tasks_of_an_objective_come_from_what_is_known() -> None:
    ann = worker(capabilities={"writing": 0.5}, capacity=2)
    ann.held = 1
    status = ann.default(GetStatus())
    assert (status.id, status.state, status.load) == ("ann", "available", 0.5)
    ann.held = 3
    assert (ann.status().state, ann.status().load, ann.load) == ("busy", 1.0, 1.5)
    assert ann.default(GetCapabilities()) == {"writing": 0.5}
    assert ann.default(RequestVote(term=1, candidate="bob")) == {"granted": True, "reason": ""}
    tasks = (Task(id="t"),)
    assert ann.default(DecomposeObjective(term=1, objective=Objective(tasks=tasks))) == tasks


def test_an_unknown_request_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="agent ann has no function for REVIEW"):
        worker().default(Custom(name="REVIEW"))
