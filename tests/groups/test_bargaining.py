"""Bargains: bisection on yes and no, shares that are named, offers in turn, and the nucleolus where none agree."""

import math
from collections.abc import Mapping

import pytest

from concerted.errors import Invalid, NotAllowed, WrongPhase
from concerted.groups.bargaining import (
    Answer,
    Bargain,
    Offers,
    agreed,
    answered,
    equilibrium_offer,
    fall_back,
    heard,
    open_bargain,
    open_offers,
    proposed,
    rounds_of,
    rubinstein,
    stand_by,
)
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
THIRDS = {ANN: 30.0, BOB: 30.0, CY: 30.0}
MAJORITY = [0.0, 0.0, 0.0, 90.0, 0.0, 90.0, 90.0, 90.0]


def say(bargain: Bargain, *yes: AgentId) -> list[Answer]:
    return [Answer(agent, agent in yes) for agent in bargain.agents]


def by_need(bargain: Bargain, needs: Mapping[AgentId, float]) -> list[Answer]:
    return [Answer(agent, share >= needs[agent]) for agent, share in bargain.shares.items()]


# Bisection


def test_what_all_accept_is_agreed_in_the_first_round() -> None:
    bargain = heard(open_bargain(THIRDS), say(open_bargain(THIRDS), ANN, BOB, CY))
    assert bargain.status == "agreed"
    sharing = agreed(bargain, now=7.0)
    assert sharing.shares == THIRDS
    assert (sharing.acceptance_rate, sharing.negotiation_rounds, sharing.finalized_at) == (1.0, 1, 7.0)
    assert not sharing.is_fallback


def test_who_refuses_is_offered_more_and_who_accepts_less_by_the_same_part() -> None:
    bargain = heard(open_bargain(THIRDS), say(open_bargain(THIRDS), ANN, BOB))
    assert bargain.shares == {ANN: 15, BOB: 15, CY: 60}


@pytest.mark.parametrize("needs", [(40, 20, 20), (5, 5, 70), (29, 29, 31), (0, 0, 85), (45, 44, 0)])
def test_ten_rounds_find_an_agreement_where_a_tenth_is_to_spare(needs: tuple[float, float, float]) -> None:
    wants = dict(zip((ANN, BOB, CY), needs, strict=True))
    bargain = open_bargain(THIRDS)
    while bargain.status == "open":
        assert math.fsum(bargain.offer) == pytest.approx(90, abs=1e-12)
        bargain = heard(bargain, by_need(bargain, wants))
    assert bargain.status == "agreed"
    assert len(bargain.rounds) <= 10


def test_shares_that_are_named_are_enough_and_what_is_over_is_divided_alike() -> None:
    bargain = open_bargain(THIRDS)
    bargain = heard(bargain, [Answer(ANN, True, 20.0), Answer(BOB, False, 45.0), Answer(CY, True, 16.0)])
    assert bargain.shares == pytest.approx({ANN: 23, BOB: 48, CY: 19})


def test_where_all_refuse_there_is_nothing_left_to_offer() -> None:
    bargain = heard(open_bargain(THIRDS), say(open_bargain(THIRDS)))
    assert (bargain.status, bargain.reason) == ("stable", "what the members have refused sums to all there is")


def test_who_refuses_all_there_is_cannot_be_offered_more() -> None:
    first = {ANN: 90.0, BOB: 0.0, CY: 0.0}
    bargain = heard(open_bargain(first, {BOB: -10.0}), [Answer(ANN, True), Answer(BOB, True), Answer(CY, False)])
    assert bargain.status == "open"
    alone = heard(open_bargain({ANN: 90.0, BOB: 0.0}), [Answer(ANN, False), Answer(BOB, True)])
    assert alone.status == "stable"


def test_offers_that_stop_moving_end_it() -> None:
    """Nobody answers: there is nothing to learn, and the same offer would be made again."""
    bargain = heard(open_bargain({ANN: 60.0, BOB: 30.0}), [Answer(ANN, False)])
    for _ in range(3):
        if bargain.status == "open":
            bargain = heard(bargain, [])
    assert (bargain.status, bargain.reason) == ("stable", "the offers have stopped moving")


def test_the_last_round_ends_it() -> None:
    bargain = open_bargain(THIRDS, max_rounds=2)
    bargain = heard(bargain, say(bargain, ANN, BOB))
    bargain = heard(bargain, say(bargain, BOB, CY))
    assert (bargain.status, bargain.reason) == ("exhausted", "not agreed after 2 rounds")
    assert open_bargain(THIRDS, max_rounds=0).status == "exhausted"


def test_what_they_have_without_each_other_is_the_least_that_is_offered() -> None:
    bargain = open_bargain(THIRDS, floors={ANN: 20.0, BOB: 10.0})
    bargain = heard(bargain, say(bargain, ANN, BOB))
    assert bargain.shares[ANN] >= 20
    assert bargain.shares[BOB] >= 10


def test_members_who_have_more_alone_do_not_bargain() -> None:
    bargain = open_bargain(THIRDS, floors={ANN: 50.0, BOB: 50.0})
    assert (bargain.status, bargain.reason) == ("stable", "the members have more without each other than together")


def test_who_changes_its_mind_is_believed_in_what_it_refuses() -> None:
    bargain = open_bargain(THIRDS)
    bargain = heard(bargain, say(bargain, ANN, BOB))
    bargain = heard(bargain, [Answer(ANN, True), Answer(BOB, True), Answer(CY, False)])
    assert bargain.shares[CY] > 60
    fickle = heard(open_bargain(THIRDS), say(open_bargain(THIRDS), ANN))
    fickle = heard(fickle, [Answer(ANN, False, 1.0), Answer(BOB, True), Answer(CY, True)])
    assert fickle.shares[ANN] > fickle.rounds[-1].shares[0]


def test_the_specification_raises_who_refused_by_a_step_at_the_cost_of_all() -> None:
    bargain = open_bargain(THIRDS, mode="specification")
    bargain = heard(bargain, say(bargain, ANN, BOB))
    assert bargain.shares == pytest.approx({ANN: 30 * 90 / 93, BOB: 30 * 90 / 93, CY: 33 * 90 / 93})
    for _ in range(9):
        bargain = heard(bargain, say(bargain, ANN, BOB))
    assert bargain.status == "exhausted"


def test_only_members_answer_and_only_while_it_is_open() -> None:
    bargain = open_bargain(THIRDS)
    with pytest.raises(NotAllowed, match="dan is not a member of this bargain; its members are ann, bob, cy"):
        heard(bargain, [Answer(AgentId("dan"), True)])
    with pytest.raises(Invalid, match="bob asks for a share of nan"):
        heard(bargain, [Answer(BOB, False, math.nan)])
    with pytest.raises(WrongPhase, match="this bargain is over: agreed"):
        heard(heard(bargain, say(bargain, ANN, BOB, CY)), [])
    with pytest.raises(WrongPhase, match=r"have not agreed: open, go on"):
        agreed(bargain, 0.0)


def test_an_offer_names_finite_shares() -> None:
    for first in ({}, {ANN: math.nan}, {ANN: 1.0, BOB: math.inf}):
        with pytest.raises(Invalid, match="the first offer is"):
            open_bargain(first)


# Offers in turn


def test_rubinstein_s_two_divide_a_pie() -> None:
    """Rubinstein 1982: the first mover has (1 - d2) / (1 - d1 d2)."""
    assert rubinstein(1.0, [0.9, 0.9])[0] == pytest.approx(0.526316, abs=5e-7)
    assert rubinstein(1.0, [0.9, 0.8])[0] == pytest.approx((1 - 0.8) / (1 - 0.72))
    assert math.fsum(rubinstein(10.0, [0.5, 0.9, 0.7])) == pytest.approx(10)


def test_equals_who_are_patient_divide_it_alike_and_one_who_is_not_gets_little() -> None:
    assert rubinstein(3.0, [0.999999] * 3) == pytest.approx([1, 1, 1], abs=1e-5)
    assert rubinstein(1.0, [0.99, 0.0]) == [1.0, 0.0]
    assert rubinstein(5.0, [0.3]) == [5.0]


def test_many_rounds_come_near_to_no_last_round() -> None:
    offers = open_offers([ANN, BOB, CY], 1.0, {ANN: 0.8, BOB: 0.9, CY: 0.7}, max_rounds=301)
    assert list(equilibrium_offer(offers).values()) == pytest.approx(rubinstein(1.0, [0.8, 0.9, 0.7]), abs=1e-6)


def test_in_the_last_round_the_proposer_takes_all_but_what_the_others_have_anyway() -> None:
    offers = open_offers([ANN, BOB], 10.0, {ANN: 0.9, BOB: 0.9}, floors={BOB: 3.0}, max_rounds=1)
    assert equilibrium_offer(offers) == {ANN: 7, BOB: 3}


def test_with_two_rounds_to_go_the_second_mover_gets_what_waiting_is_worth() -> None:
    offers = open_offers([ANN, BOB], 10.0, {ANN: 0.9, BOB: 0.8}, max_rounds=2)
    assert equilibrium_offer(offers) == pytest.approx({ANN: 2, BOB: 8})


def test_the_turn_goes_round_until_all_accept() -> None:
    offers = open_offers([ANN, BOB, CY], 90.0, {})
    assert offers.proposer == ANN
    offers = answered(proposed(offers, ANN, THIRDS), [Answer(BOB, True), Answer(CY, False)])
    assert (offers.status, offers.proposer) == ("open", BOB)
    better = {ANN: 20.0, BOB: 30.0, CY: 40.0}
    offers = proposed(offers, BOB, better)
    assert offers.shares == better
    offers = answered(offers, [Answer(ANN, True), Answer(CY, True)])
    assert agreed(offers, 0.0).shares == better
    assert agreed(offers, 0.0).negotiation_rounds == 2


def test_silence_is_no_yes_and_the_last_round_ends_it() -> None:
    offers = open_offers([ANN, BOB], 90.0, {}, max_rounds=1)
    offers = answered(proposed(offers, ANN, {ANN: 45.0, BOB: 45.0}), [])
    assert (offers.status, offers.reason) == ("exhausted", "not agreed after 1 rounds")
    assert open_offers([ANN], 1.0, {}, max_rounds=0).status == "exhausted"
    assert open_offers([ANN, BOB], 1.0, {}, floors={ANN: 1.0, BOB: 1.0}).status == "stable"


def test_only_whose_turn_it_is_proposes_and_only_what_there_is() -> None:
    offers = open_offers([ANN, BOB], 90.0, {})
    with pytest.raises(NotAllowed, match="it is not the turn of bob to propose; ann does"):
        proposed(offers, BOB, {ANN: 45.0, BOB: 45.0})
    with pytest.raises(Invalid, match="the shares that ann proposes sum to 91; they must sum to 90"):
        proposed(offers, ANN, {ANN: 45.0, BOB: 46.0})
    for shares in ({ANN: 90.0}, {ANN: math.nan, BOB: 1.0}):
        with pytest.raises(Invalid, match="it must name one share for each of ann, bob"):
            proposed(offers, ANN, shares)
    with pytest.raises(WrongPhase, match="ann may not propose now: the bargain waits for answers"):
        proposed(proposed(offers, ANN, {ANN: 45.0, BOB: 45.0}), ANN, {ANN: 45.0, BOB: 45.0})
    with pytest.raises(WrongPhase, match="there is no offer to answer; ann is to propose first"):
        answered(offers, [])


@pytest.mark.parametrize("discount", [-0.1, 1.1, math.nan])
def test_a_discount_is_between_0_and_1(discount: float) -> None:
    with pytest.raises(Invalid, match="is not between 0 and 1"):
        open_offers([ANN, BOB], 1.0, {ANN: discount})
    with pytest.raises(Invalid, match="is not between 0 and 1"):
        rubinstein(1.0, [0.5, discount])
    with pytest.raises(Invalid, match="nobody loses by waiting"):
        rubinstein(1.0, [1.0, 1.0])
    with pytest.raises(Invalid, match="cannot be divided"):
        open_offers([], 1.0, {})


# Where they do not agree


def test_the_nucleolus_is_what_there_is_without_an_agreement() -> None:
    bargain = heard(open_bargain(THIRDS), say(open_bargain(THIRDS)))
    sharing = fall_back(bargain, MAJORITY, now=3.0)
    assert sharing.shares == pytest.approx(THIRDS)
    assert sharing.is_fallback
    assert (sharing.acceptance_rate, sharing.negotiation_rounds, sharing.finalized_at) == (0.0, 1, 3.0)
    assert sharing.epsilon == pytest.approx(30)
    assert sharing.note == (
        "what the members have refused sums to all there is; the nucleolus instead: the core is empty, epsilon = 30"
    )


def test_a_fall_back_says_how_many_had_accepted_and_that_the_core_is_not_empty() -> None:
    bargain = open_bargain(THIRDS, max_rounds=1)
    bargain = heard(bargain, say(bargain, ANN, BOB))
    sharing = fall_back(bargain, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 90.0], now=0.0)
    assert sharing.acceptance_rate == pytest.approx(2 / 3)
    assert sharing.note.endswith("the core is not empty, epsilon = -30")


def test_members_who_have_more_alone_get_the_prenucleolus() -> None:
    offers: Offers = open_offers([ANN, BOB], 2.0, {}, floors={ANN: 5.0, BOB: 5.0})
    assert fall_back(offers, [0.0, 5.0, 5.0, 2.0], 0.0).shares == pytest.approx({ANN: 1, BOB: 1})


def test_a_fall_back_needs_the_members_own_game() -> None:
    with pytest.raises(Invalid, match="a game of 4 values is not one of the 3 members"):
        fall_back(open_bargain(THIRDS), [0.0, 0.0, 0.0, 1.0], 0.0)


def test_too_many_for_the_nucleolus_get_the_shares_with_which_they_began() -> None:
    first = {"ann": 60.0, "bob": 30.0}
    bargain = open_bargain(first, max_rounds=1)
    bargain = heard(bargain, [Answer("ann", True), Answer("bob", False)])
    sharing = stand_by(bargain, first, 7.0)
    assert (sharing.shares, sharing.is_fallback, sharing.finalized_at) == (first, True, 7.0)
    assert (sharing.acceptance_rate, sharing.negotiation_rounds, sharing.epsilon) == (0.5, 1, None)
    assert sharing.note.endswith("; the first shares instead: 2 members are too many for the nucleolus")


def test_what_was_proposed_in_each_round_is_told_with_who_accepted_it() -> None:
    bargain = open_bargain({"ann": 60.0, "bob": 30.0}, max_rounds=1)
    assert rounds_of(bargain) == ()
    bargain = heard(bargain, [Answer("ann", True)])
    (told,) = rounds_of(bargain)
    assert (told.proposal, told.accepted) == ({"ann": 60.0, "bob": 30.0}, {"ann": True, "bob": None})
