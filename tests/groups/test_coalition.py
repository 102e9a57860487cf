"""A coalition's life: governance and votes, agreement, refusal and what comes next, members lost, payment."""

from typing import Any

import msgspec
import numpy as np
import pytest

from concerted.errors import Invalid, NotAllowed, NotFound, WrongPhase
from concerted.groups.bargaining import ProfitSharing
from concerted.groups.coalition import (
    Coalition,
    Consent,
    Exit,
    Governance,
    VotingRule,
    after_refusal,
    compensations,
    complete,
    consent_of,
    dissolve,
    establish,
    fail,
    govern,
    lose_member,
    penalize,
    propose,
    settle_payments,
    vote,
)
from concerted.groups.formation import CoalitionConstraints, Terms, ValuedCoalition, assess, choose, ranked
from concerted.groups.games import coalition_sizes, subgame
from concerted.groups.leadership import Candidate
from concerted.values import AgentId, Task, TaskId

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")
THREE = (ANN, BOB, CY)
GAME = coalition_sizes(3) ** 2.0
TASK = Task(id=TaskId("t"), required_capabilities={"french": 0.8, "law": 0.5}, deadline_s=60.0)
SKILLS = {ANN: {"leadership": 0.9, "law": 0.3}, BOB: {"french": 0.7, "law": 0.6}, CY: {"cooking": 1.0}}


def valued(agents: tuple[AgentId, ...] = THREE, game: Any = GAME) -> ValuedCoalition:
    return assess(game, agents, (1 << len(agents)) - 1, Terms())


def governance(agents: tuple[AgentId, ...] = THREE, rule: VotingRule = "majority", **shares: float) -> Governance:
    candidates = [Candidate(agent, SKILLS[agent]) for agent in agents]
    return govern(candidates, TASK, {AgentId(name): share for name, share in shares.items()}, rule)


def sharing(agents: tuple[AgentId, ...] = THREE) -> ProfitSharing:
    return ProfitSharing(shares=dict.fromkeys(agents, 3.0), acceptance_rate=1.0, negotiation_rounds=2, finalized_at=1.0)


def proposal() -> Coalition:
    return propose("c1", valued(), TASK, sharing(), governance(), now=5.0)


def active() -> Coalition:
    return establish(proposal(), Consent(THREE, (), ()), 6.0)


# Governance


def test_the_best_leads_and_each_other_does_what_it_is_best_at() -> None:
    found = governance()
    assert found.leader == ANN
    assert found.roles == {ANN: "leader", BOB: "french", CY: "member"}
    assert found.weights == pytest.approx(dict.fromkeys(THREE, 1 / 3))
    assert governance(ann=1.0, bob=3.0, cy=-1.0).weights == {ANN: 0.25, BOB: 0.75, CY: 0.0}
    with pytest.raises(Invalid, match="a coalition of nobody has no leader"):
        govern([], TASK, {})


@pytest.mark.parametrize(
    ("rule", "votes", "stands"),
    [
        ("majority", {}, "open"),
        ("majority", {ANN: True}, "open"),
        ("majority", {ANN: True, BOB: True}, "passed"),
        ("majority", {ANN: False, BOB: False}, "rejected"),
        ("majority", {ANN: True, BOB: False, CY: False}, "rejected"),
        ("two_thirds", {ANN: True, BOB: True}, "passed"),
        ("two_thirds", {ANN: True, BOB: False}, "open"),
        ("two_thirds", {BOB: False, CY: False}, "rejected"),
        ("unanimous", {ANN: True, BOB: True}, "open"),
        ("unanimous", {ANN: True, BOB: True, CY: True}, "passed"),
        ("unanimous", {CY: False}, "rejected"),
        ("shares", {BOB: True}, "passed"),
        ("shares", {ANN: True, CY: True}, "open"),
        ("shares", {BOB: False}, "rejected"),
        ("leader", {BOB: True, CY: True}, "open"),
        ("leader", {ANN: False, BOB: True, CY: True}, "rejected"),
        ("leader", {ANN: True}, "passed"),
    ],
)
def test_a_vote_stands_as_its_rule_says(rule: VotingRule, votes: dict[AgentId, bool], stands: str) -> None:
    assert vote(governance(rule=rule, ann=1.0, bob=3.0, cy=1.0), votes) == stands


def test_a_stranger_has_no_vote() -> None:
    with pytest.raises(NotAllowed, match="dan is not a member and has no vote"):
        vote(governance(), {DAN: True})


# Agreement


def test_a_proposal_has_a_contract_a_channel_and_binds_nobody() -> None:
    found = proposal()
    assert (found.status, found.created_at, found.communication_channels) == ("proposed", 5.0, ("coalition/c1",))
    assert found.contract.parties == THREE
    assert found.contract.obligations == {ANN: "leader", BOB: "french", CY: "member"}
    assert found.contract.valid_until == 65.0
    assert found.contract.shares == dict.fromkeys(THREE, 3.0)


def test_shares_and_roles_are_the_members() -> None:
    with pytest.raises(Invalid, match="the shares name ann, bob, the coalition is ann, bob, cy"):
        propose("c1", valued(), TASK, sharing((ANN, BOB)), governance(), 0.0)
    with pytest.raises(Invalid, match="the roles name ann, bob"):
        propose("c1", valued(), TASK, sharing(), governance((ANN, BOB)), 0.0)


def test_all_must_agree_and_silence_is_no_agreement() -> None:
    found = consent_of(proposal().contract, {ANN: True, BOB: False, CY: None})
    assert found == Consent((ANN,), (BOB,), (CY,))
    assert not found.is_unanimous
    assert found.acceptance_rate == pytest.approx(1 / 3)
    assert consent_of(proposal().contract, dict.fromkeys(THREE, True)).is_unanimous
    with pytest.raises(NotAllowed, match="dan is not a party of c1: ann, bob, cy are"):
        consent_of(proposal().contract, {DAN: True})


def test_a_coalition_to_which_all_agree_is_active() -> None:
    assert active().status == "active"
    with pytest.raises(WrongPhase, match="coalition c1 is active; to be agreed to it must be proposed"):
        establish(active(), Consent(THREE, (), ()), 7.0)


def test_a_coalition_that_one_refuses_is_refused_with_the_reason() -> None:
    found = establish(proposal(), Consent((ANN,), (CY,), (BOB,)), 7.0)
    assert (found.status, found.ended_at, found.refused_by) == ("refused", 7.0, (BOB, CY))
    assert found.reason == "not agreed to by cy, bob (no answer)"


@pytest.mark.parametrize(("withdraw", "next_best"), [(False, (ANN, BOB)), (True, (ANN, CY))])
def test_after_a_refusal_the_next_best_is_proposed(withdraw: bool, next_best: tuple[AgentId, ...]) -> None:
    refused = establish(proposal(), Consent((ANN, CY), (BOB,), ()), 7.0)
    terms = after_refusal(Terms(), THREE, refused, withdraw)
    chosen = choose(ranked(GAME, THREE, terms), 0.7)
    assert chosen is not None
    assert chosen.agents == next_best


# Its life


def test_a_coalition_ends_completed_failed_or_dissolved() -> None:
    assert (complete(active(), 9.0).status, complete(active(), 9.0).ended_at) == ("completed", 9.0)
    assert (fail(active(), "no result", 9.0).status, fail(active(), "no result", 9.0).reason) == ("failed", "no result")
    assert dissolve(proposal(), "called off", 9.0).status == dissolve(active(), "called off", 9.0).status == "dissolved"
    done = complete(active(), 9.0)
    assert dissolve(done, "too late", 10.0) is done
    for act in (lambda: complete(done, 10.0), lambda: fail(done, "", 10.0), lambda: complete(proposal(), 1.0)):
        with pytest.raises(WrongPhase, match="must be active"):
            act()


def test_the_rest_goes_on_with_what_it_contributes() -> None:
    rest = assess(subgame(GAME, 0b110), (BOB, CY), 3, Terms())
    found = lose_member(active(), ANN, rest, governance((BOB, CY)), CoalitionConstraints(), 8.0)
    assert (found.status, found.agents, found.lost) == ("active", (BOB, CY), (ANN,))
    assert found.profit_sharing.shares == found.contract.shares == pytest.approx({BOB: 2, CY: 2})
    assert found.profit_sharing.note == "divided anew after ann was lost: to each what it contributes"
    assert found.governance.leader in (BOB, CY)
    assert found.contract.parties == (BOB, CY)
    assert found.value.total == 4


@pytest.mark.parametrize(
    ("game", "limits", "why"),
    [
        ([0.0, 1.0, 1.0, 4.0], {"min_size": 3}, "the rest cannot go on: 2 members; 3 to 10 are allowed"),
        ([0.0, 0.0, 0.0, 0.0], {}, "what the rest can do is worth nothing"),
        ([0.0, 4.0, 4.0, 4.0], {}, "the rest is too unstable: 0.50, below 0.70"),
    ],
)
def test_a_rest_that_cannot_go_on_is_dissolved(game: list[float], limits: dict[str, Any], why: str) -> None:
    constraints = CoalitionConstraints(**limits)
    rest = assess(game, (BOB, CY), 3, Terms(constraints))
    found = lose_member(active(), ANN, rest, governance((BOB, CY)), constraints, 8.0)
    assert (found.status, found.lost, found.ended_at) == ("dissolved", (ANN,), 8.0)
    assert found.reason == f"ann is lost, and {why}"


def test_the_last_member_lost_leaves_nobody() -> None:
    alone = propose("c2", valued((ANN,), [0.0, 2.0]), TASK, sharing((ANN,)), governance((ANN,)), 0.0)
    found = lose_member(establish(alone, Consent((ANN,), (), ()), 0.0), ANN, None, None, CoalitionConstraints(), 8.0)
    assert (found.status, found.reason) == ("dissolved", "ann is lost, and nobody is left")


def test_only_members_of_an_active_coalition_are_lost() -> None:
    with pytest.raises(NotFound, match="dan is not a member of c1"):
        lose_member(active(), DAN, None, None, CoalitionConstraints(), 8.0)
    with pytest.raises(WrongPhase, match="to lose ann it must be active"):
        lose_member(proposal(), ANN, None, None, CoalitionConstraints(), 8.0)
    with pytest.raises(Invalid, match="the rest is bob, cy, and ann, bob, cy were assessed"):
        lose_member(active(), ANN, valued(), governance(), CoalitionConstraints(), 8.0)


def test_what_is_earned_is_paid_by_the_contract() -> None:
    assert settle_payments(active(), 12.0) == {ANN: 4, BOB: 4, CY: 4}
    assert settle_payments(active(), 0.0) == {ANN: 0, BOB: 0, CY: 0}


def test_who_walks_away_owes_the_penalty_to_those_who_stay() -> None:
    left = penalize(active(), [BOB], [BOB], 7.0)
    (owed,) = left.exits
    assert owed == Exit(agent=BOB, penalty=owed.penalty, compensation=owed.compensation, at=7.0)
    assert (owed.penalty, owed.compensation) == (pytest.approx(0.3), pytest.approx({ANN: 0.15, CY: 0.15}))
    assert left.agents == THREE  # it is lost next
    again = penalize(left, [CY], [CY, BOB], 8.0)
    assert [each.agent for each in again.exits] == [BOB, CY]
    assert compensations(again) == pytest.approx({ANN: 0.45, CY: 0.15})


def test_who_is_gone_as_well_gets_nothing_of_a_penalty() -> None:
    left = penalize(active(), [BOB], [BOB, CY], 7.0)
    assert compensations(left) == pytest.approx({ANN: 0.3})
    nobody = penalize(active(), [BOB, CY], [ANN, BOB, CY], 7.0)
    assert [(each.penalty, each.compensation) for each in nobody.exits] == [(0.0, {}), (0.0, {})]


def test_a_penalty_goes_by_the_shares() -> None:
    shares = {ANN: 6.0, BOB: 5.0, CY: -2.0}
    contract = msgspec.structs.replace(active().contract, shares=shares)
    uneven = msgspec.structs.replace(active(), contract=contract)
    assert compensations(penalize(uneven, [BOB], [BOB], 7.0)) == pytest.approx({ANN: 0.5, CY: 0.0})
    assert penalize(uneven, [CY], [CY], 7.0).exits[0].penalty == 0.0
    contract = msgspec.structs.replace(contract, shares={ANN: 0.0, BOB: 5.0, CY: 0.0})
    alike = msgspec.structs.replace(active(), contract=contract)
    assert compensations(penalize(alike, [BOB], [BOB], 7.0)) == pytest.approx({ANN: 0.25, CY: 0.25})


def test_only_members_of_an_active_coalition_walk_away() -> None:
    with pytest.raises(NotFound, match="dan is not a member of c1"):
        penalize(active(), [DAN], [DAN], 8.0)
    with pytest.raises(WrongPhase, match="to be left by ann it must be active"):
        penalize(proposal(), [ANN], [ANN], 8.0)


def test_where_all_shares_are_nothing_all_are_paid_alike() -> None:
    nothing = ProfitSharing(shares=dict.fromkeys(THREE, 0.0), acceptance_rate=1, negotiation_rounds=1, finalized_at=0)
    coalition = propose("c1", valued(game=np.zeros(8)), TASK, nothing, governance(), 0.0)
    assert settle_payments(coalition, 6.0) == pytest.approx({ANN: 2, BOB: 2, CY: 2})
