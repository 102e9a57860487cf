"""Sharing tasks out by talk, turn by turn: what counts as an answer, and who is forgotten."""

from typing import Any

import msgspec
import pytest

from concerted.allocation.market.gossip import SILENT_ROUNDS, Stake, Talk, neighbours_of, take_turn
from concerted.messages import Claims, ShareOut
from concerted.values import AgentId, TaskId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
DIG, SOW = TaskId("dig"), TaskId("sow")
STAKES = {
    ANN: Stake({DIG: 9.0, SOW: 8.0}, 1),
    BOB: Stake({DIG: 7.0, SOW: 2.0}, 2),
    CY: Stake({DIG: 1.0, SOW: 1.0}, 1),
}
LINE = {ANN: (BOB,), BOB: (ANN, CY), CY: (BOB,)}


def talk() -> Talk:
    return Talk("r#1", (DIG, SOW), STAKES, LINE)


def turn(of: Talk, agent: AgentId) -> Claims:
    request = of.request(agent)
    claims = take_turn(agent, request)
    assert of.hear(request, agent, claims) == ""
    return claims


def speak(of: Talk, rounds: int = 20) -> int:
    """Let everybody take its turn until all agree."""
    while not of.is_agreed:
        of.rounds += 1
        assert of.rounds < rounds, "they do not agree"
        requests = {agent: of.request(agent) for agent in of.present}
        for agent, request in requests.items():
            assert of.hear(request, agent, take_turn(agent, request)) == ""
    return of.rounds


def test_agents_in_a_line_agree_on_what_a_central_greedy_one_would_do() -> None:
    one = talk()
    speak(one)
    assert one.bundles() == ({ANN: [DIG], BOB: [SOW]}, {})


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 64, 100])
def test_what_one_says_comes_to_all_in_few_rounds_and_nobody_hears_many(count: int) -> None:
    agents = [AgentId(f"a{number:03}") for number in range(count)]
    around = neighbours_of(agents)
    assert all(agent in around[other] for agent in agents for other in around[agent])
    assert all(len(others) <= 2 * count.bit_length() for others in around.values())
    heard, rounds = {agents[0]}, 0
    while len(heard) < count:
        rounds += 1
        heard |= {agent for agent in agents if heard.intersection(around[agent])}
    assert rounds <= (count.bit_length() + 1) // 2


def test_nobody_has_agreed_before_everybody_has_spoken() -> None:
    one = talk()
    assert not one.is_agreed
    turn(one, ANN)
    assert not one.is_agreed


def test_a_neighbour_is_told_each_thing_once_and_again_if_its_answer_is_lost() -> None:
    one = talk()
    turn(one, ANN)
    assert [said.agent for said in one.request(BOB).told] == [ANN]
    one.miss(BOB, "timeout")
    assert [said.agent for said in one.request(BOB).told] == [ANN]
    turn(one, BOB)
    assert one.request(BOB).told == ()


def test_what_an_agent_thinks_goes_with_its_next_request() -> None:
    one = talk()
    said = turn(one, ANN)
    assert one.request(ANN).own == said
    assert turn(one, ANN).step == 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"agent": BOB}, "it speaks for bob"),
        ({"step": 1}, "its step is 1, and was 1"),
        ({"bundle": ()}, "its bundle is not what it claims for itself"),
        ({"bundle": (DIG, DIG)}, "its bundle is not what it claims for itself"),
        ({"claims": {DIG: (ANN, 9.0), SOW: (ANN, 8.0)}, "bundle": (DIG, SOW)}, "it takes 2 tasks and has room for 1"),
        ({"claims": {TaskId("fly"): (ANN, 1.0)}, "bundle": (TaskId("fly"),)}, "it has not bid on fly"),
        ({"claims": {DIG: (ANN, 9.0), TaskId("fly"): (BOB, 1.0)}}, "it has not bid on fly"),
    ],
)
def test_an_answer_that_cannot_be_changes_nothing_and_says_why(changes: dict[str, Any], why: str) -> None:
    one = talk()
    before = turn(one, ANN)
    request = one.request(ANN)
    assert one.hear(request, ANN, msgspec.structs.replace(take_turn(ANN, request), **changes)) == why
    assert one.request(ANN).own == before


def test_who_is_silent_for_long_is_forgotten_and_what_it_had_won_is_free() -> None:
    one = talk()
    speak(one)
    for _ in range(SILENT_ROUNDS):
        assert ANN in one.present
        one.miss(ANN, "timeout")
    assert one.gone == {ANN: f"timeout, {SILENT_ROUNDS} times"}
    assert not one.is_agreed
    speak(one)
    assert one.bundles() == ({BOB: [SOW, DIG]}, {})


def test_neighbours_of_one_who_is_gone_hear_each_other() -> None:
    one = talk()
    one.forget(BOB, "it is gone")
    turn(one, CY)
    assert [said.agent for said in one.request(ANN).told] == [CY]
    speak(one)
    assert one.bundles() == ({ANN: [DIG], CY: [SOW]}, {})


def test_what_two_have_taken_is_told_and_given_to_neither() -> None:
    one = talk()
    requests = {agent: one.request(agent) for agent in (ANN, BOB, CY)}
    for agent, request in requests.items():
        one.hear(request, agent, take_turn(agent, request))
    assert one.bundles() == ({BOB: [SOW]}, {DIG: [ANN, BOB, CY]})


def test_an_agent_may_value_a_task_by_what_it_has_already_and_what_it_has_not_bid_on_is_worth_nothing() -> None:
    request = ShareOut(auction="a", round=1, tasks=(DIG, SOW, TaskId("fly")), worth={DIG: 4.0, SOW: 3.0}, most=3)
    fading = take_turn(ANN, request, lambda bundle, _task: 8.0 / (1 + len(bundle)))
    assert fading.claims == {DIG: (ANN, 8.0), SOW: (ANN, 4.0)}
    assert fading.bundle == (DIG, SOW)
