"""Fair shares: five ideas of fairness, each of which divides all there is."""

import msgspec
import pytest

from concerted.errors import Invalid
from concerted.groups.shapley import owen, shapley
from concerted.groups.sharing import Relations, fair_shares
from concerted.values import AgentId

ANN, BOB, CY = TEAM = (AgentId("ann"), AgentId("bob"), AgentId("cy"))
# ann has the left glove, bob and cy a right one each
GLOVES = [0.0, 0, 0, 1, 0, 1, 0, 1]


def named(shares: list[float]) -> dict[str, float]:
    return {agent: pytest.approx(share) for agent, share in zip(TEAM, shares, strict=True)}


def test_by_what_each_adds_over_all_orders() -> None:
    assert fair_shares(GLOVES, TEAM, "shapley") == named([2 / 3, 1 / 6, 1 / 6])


def test_what_the_values_of_banzhaf_miss_is_divided_equally() -> None:
    """They are 3/4, 1/4 and 1/4, a quarter too much."""
    assert fair_shares(GLOVES, TEAM, "banzhaf") == named([3 / 4 - 1 / 12, 1 / 4 - 1 / 12, 1 / 4 - 1 / 12])


def test_by_stability_the_only_left_glove_gets_all() -> None:
    assert fair_shares(GLOVES, TEAM, "nucleolus") == named([1.0, 0.0, 0.0])


def test_the_nucleolus_exists_also_where_they_have_more_alone_than_together() -> None:
    shares = fair_shares([0.0, 3, 3, 2], (ANN, BOB), "nucleolus")
    assert shares == {"ann": pytest.approx(1.0), "bob": pytest.approx(1.0)}


def test_a_union_is_as_strong_as_its_parts_together() -> None:
    shares = fair_shares(GLOVES, TEAM, "owen", Relations(unions=((BOB, CY),)))
    assert shares == named(owen(GLOVES, [[0], [1, 2]]).tolist())
    assert shares["bob"] + shares["cy"] == pytest.approx(0.5)


def test_unions_of_others_do_not_matter() -> None:
    relations = Relations(unions=((AgentId("dan"), BOB), (AgentId("eve"),)))
    assert fair_shares(GLOVES, TEAM, "owen", relations) == named(shapley(GLOVES).tolist())


def test_who_stands_between_gets_more() -> None:
    worths = [0.0, 0, 0, 0, 0, 0, 0, 9]
    shares = fair_shares([0.0, 0, 0, 6, 0, 6, 6, 6], TEAM, "myerson", Relations(links=((ANN, BOB), (BOB, CY))))
    assert shares == named([1.0, 4.0, 1.0])
    assert fair_shares(worths, TEAM, "myerson", Relations(links=((ANN, BOB), (BOB, CY)))) == named([3.0, 3.0, 3.0])


def test_what_links_do_not_reach_is_divided_equally() -> None:
    shares = fair_shares([0.0, 0, 0, 6, 0, 0, 0, 9], TEAM, "myerson", Relations(links=((ANN, BOB),)))
    assert shares == named([4.0, 4.0, 1.0])


@pytest.mark.parametrize(("sharing", "told"), [("owen", "need unions"), ("myerson", "need links")])
def test_without_what_they_go_by_there_are_none(sharing: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        fair_shares(GLOVES, TEAM, sharing)  # type: ignore[arg-type]


def test_a_game_of_others_is_refused() -> None:
    with pytest.raises(Invalid, match="a game of 3 agents is not one of these 2: ann, bob"):
        fair_shares(GLOVES, (ANN, BOB), "shapley")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"unions": [["ann", "bob"], ["bob"]]}, "bob is in unions twice"),
        ({"unions": [["ann", "ann"]]}, "ann is in unions twice"),
        ({"links": [["ann", "ann"]]}, "a link of ann with itself"),
        ({"links": [["ann"]]}, "length"),
    ],
)
def test_relations_that_are_none_are_named(given: dict[str, object], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(given, Relations)
