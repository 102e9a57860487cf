"""Laws of bargains: nobody is offered what it has refused, all is handed out, and it ends."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerted.groups.bargaining import Answer, Bargain, equilibrium_offer, heard, open_bargain, open_offers, rubinstein
from concerted.values import AgentId

few = settings(max_examples=settings().max_examples * 2 // 5)
AGENTS = [AgentId(name) for name in ("ann", "bob", "cy", "dan")]
amounts = st.floats(0, 100, allow_subnormal=False)
answers = st.tuples(st.sampled_from([True, False, None]), st.none() | amounts)


@st.composite
def first_offers(draw: st.DrawFn) -> dict[AgentId, float]:
    count = draw(st.integers(1, 4))
    return dict(zip(AGENTS, draw(st.lists(amounts, min_size=count, max_size=count)), strict=False))


def answer_at_random(bargain: Bargain, data: st.DataObject) -> list[Answer]:
    said = []
    for agent in bargain.agents:
        accepted, share = data.draw(answers)
        if accepted is not None:
            said.append(Answer(agent, accepted, share))
    return said


@few
@given(first_offers(), st.lists(amounts, min_size=4, max_size=4), st.data())
def test_bisection_never_proposes_what_was_refused(
    first: dict[AgentId, float], floors: list[float], data: st.DataObject
) -> None:
    bargain = open_bargain(first, dict(zip(AGENTS, [floor / 10 for floor in floors], strict=True)))
    refused = dict.fromkeys(bargain.agents, -math.inf)
    while bargain.status == "open":
        assert all(share > refused[agent] for agent, share in bargain.shares.items())
        said = answer_at_random(bargain, data)
        for answer in said:
            if not answer.accepted:
                refused[answer.agent] = max(refused[answer.agent], bargain.shares[answer.agent])
        bargain = heard(bargain, said)


@few
@given(first_offers(), st.data(), st.sampled_from(["bisection", "specification"]))
def test_every_offer_hands_out_all_and_ten_rounds_end_it(
    first: dict[AgentId, float], data: st.DataObject, mode: str
) -> None:
    bargain = open_bargain(first, mode=mode)  # type: ignore[arg-type]
    while bargain.status == "open":
        assert math.fsum(bargain.offer) == pytest.approx(bargain.total, abs=1e-9)
        bargain = heard(bargain, answer_at_random(bargain, data))
    assert len(bargain.rounds) <= 10
    assert (bargain.status == "agreed") == all(bargain.rounds[-1].accepted) if bargain.rounds else True


@few
@given(st.lists(st.floats(0, 1), min_size=2, max_size=4), st.floats(0.2, 0.9))
def test_who_know_what_they_want_agree_within_ten_rounds_where_there_is_enough(wants: list[float], part: float) -> None:
    """They want a part of all there is together, at most 90 %, however that is spread."""
    whole = math.fsum(wants) or 1.0
    needs = {agent: 100 * part * want / whole for agent, want in zip(AGENTS, wants, strict=False)}
    bargain = open_bargain(dict.fromkeys(needs, 100 / len(needs)))
    while bargain.status == "open":
        bargain = heard(bargain, [Answer(agent, share >= needs[agent]) for agent, share in bargain.shares.items()])
    assert bargain.status == "agreed"
    assert all(share >= needs[agent] for agent, share in bargain.shares.items())


@few
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(1, 12), st.floats(0, 100))
def test_the_offer_of_equilibrium_is_the_plain_recursion(discounts: list[float], rounds: int, total: float) -> None:
    agents = AGENTS[: len(discounts)]
    offers = open_offers(agents, total, dict(zip(agents, discounts, strict=True)), max_rounds=rounds)
    found = list(equilibrium_offer(offers).values())
    assert found == pytest.approx(plain(total, discounts, 0, rounds), abs=1e-9)
    assert math.fsum(found) == pytest.approx(total, abs=1e-9)


def plain(total: float, discounts: list[float], at: int, left: int) -> list[float]:
    """Say what each gets if the agent at `at` proposes and so many rounds are left."""
    count = len(discounts)
    if left == 1:
        return [total if place == at else 0.0 for place in range(count)]
    later = plain(total, discounts, (at + 1) % count, left - 1)
    wait = [share * discount for share, discount in zip(later, discounts, strict=True)]
    return [total - math.fsum(wait) + wait[at] if place == at else wait[place] for place in range(count)]


@few
@given(st.lists(st.floats(0, 0.999), min_size=2, max_size=5), st.floats(0, 100))
def test_without_end_no_one_gains_by_waiting_for_the_next_round(discounts: list[float], total: float) -> None:
    now = rubinstein(total, discounts)
    then = rubinstein(total, [*discounts[1:], discounts[0]])
    later = [then[-1], *then[:-1]]
    assert math.fsum(now) == pytest.approx(total, abs=1e-7)
    assert min(now) >= -1e-9
    for place in range(1, len(discounts)):
        assert now[place] == pytest.approx(discounts[place] * later[place], abs=1e-7)
