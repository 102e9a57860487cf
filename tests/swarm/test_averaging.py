"""A shared number without a centre: neighbours, weights, and mass that is never lost."""

import math
from fractions import Fraction

import pytest

from concerted.errors import Invalid
from concerted.swarm.averaging import PushSum, checked, metropolis, ring_of, spread, vector, weights

AGENTS = [f"a{place}" for place in range(9)]


def test_everybody_in_a_ring_has_neighbours_on_both_sides_and_one_across() -> None:
    ring = ring_of(AGENTS, reach=1)
    assert ring["a0"] == ("a1", "a4", "a5", "a8")
    assert checked(ring) == {agent: tuple(sorted(others)) for agent, others in ring.items()}
    assert [len(ring_of(AGENTS[:count])[AGENTS[0]]) for count in (1, 2, 3, 4)] == [0, 1, 2, 3]


def test_metropolis_weights_are_the_published_ones() -> None:
    """Xiao and Boyd 2004, equation 12."""
    star = checked({"hub": ["x", "y", "z"], "x": [], "y": [], "z": []})
    assert weights(star, "hub") == {"x": 0.25, "y": 0.25, "z": 0.25}
    assert weights(star, "x") == {"hub": 0.25}


def test_neighbours_come_to_the_mean_of_all_and_keep_it_on_the_way() -> None:
    ring = ring_of(AGENTS)
    values = {agent: (float(place), -2.0 * place) for place, agent in enumerate(AGENTS)}
    for _ in range(60):
        values = {
            agent: metropolis(values[agent], {other: values[other] for other in ring[agent]}, weights(ring, agent))
            for agent in AGENTS
        }
        assert math.fsum(value[0] for value in values.values()) == pytest.approx(36.0)
    assert spread(values.values()) < 1e-9
    assert values["a3"] == pytest.approx((4.0, -8.0))


def test_a_silent_neighbour_keeps_nobody_from_staying_between_the_others() -> None:
    assert metropolis((1.0,), {}, {"x": 0.3}) == (1.0,)
    assert metropolis((1.0,), {"x": (2.0,)}, {"x": 0.3, "y": 0.3}) == (1.3,)


def test_push_sum_finds_the_mean_though_half_is_late() -> None:
    gossip = PushSum.of({agent: (float(place) ** 2,) for place, agent in enumerate(AGENTS)})
    for turn in range(400):
        for place, agent in enumerate(AGENTS):
            gossip.give(agent, AGENTS[(place + 1 + (turn * 7 + place) % 8) % 9])
        for agent in AGENTS[turn % 2 :: 2]:
            gossip.take(agent)
    for agent in AGENTS:
        gossip.take(agent)
        assert gossip.value(agent)[0] == pytest.approx(204 / 9, rel=1e-6)


def test_nothing_is_lost_when_somebody_leaves() -> None:
    gossip = PushSum.of({"a": (3.0,), "b": (5.0,), "c": (10.0,)})
    gossip.give("a", "b")
    gossip.leave("b", "c")
    gossip.take("c")
    assert sum(Fraction(value[0]) for value in gossip.sums.values()) == 18
    assert sum(gossip.masses.values()) == 3.0
    assert "b" not in gossip.sums


def test_numbers_and_lists_of_them_are_vectors() -> None:
    assert vector(3) == (3.0,)
    assert vector([1, 2.5], size=2) == (1.0, 2.5)
    assert spread([(1.0, 5.0), (2.0, 9.0)]) == 4.0


@pytest.mark.parametrize("value", ["3", None, [], [1, "2"], [math.nan], True, {"x": 1}])
def test_what_is_no_vector_is_refused(value: object) -> None:
    with pytest.raises(Invalid, match="is no"):
        vector(value)


def test_graphs_that_cannot_agree_are_refused_by_name() -> None:
    with pytest.raises(Invalid, match="no way leads from a to c"):
        checked({"a": ["b"], "b": [], "c": ["d"], "d": []})
    with pytest.raises(Invalid, match="a has the neighbour x, who is not in the graph"):
        checked({"a": ["x"]})
    with pytest.raises(Invalid, match="the others have 2"):
        vector([1, 2, 3], size=2)
