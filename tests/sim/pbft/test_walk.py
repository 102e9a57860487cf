"""Random walks over PBFT with liars: they end, they repeat themselves, and much happens on them."""

import random

import pytest

from concerted.consensus.pbft.messages import read_request
from concerted.sim.pbft.liars import KINDS
from concerted.sim.pbft.lying_client import LYING_CLIENT
from concerted.sim.pbft.walk import PbftWalk, draw_liars, pbft_walk


@pytest.mark.parametrize("seed", range(8))
def test_no_invariant_breaks_on_a_walk(seed: int) -> None:
    assert pbft_walk(seed).problems == ()


def test_a_walk_is_the_same_whenever_it_is_walked() -> None:
    first, second = (pbft_walk(3, transcript=True).transcript for _ in range(2))
    assert first == second != ()


def test_much_happens_on_a_walk() -> None:
    walks = [pbft_walk(seed) for seed in range(12)]
    assert sum(each.chosen_count for each in walks) > 40
    assert sum(each.answered_count for each in walks) > 40
    assert sum(each.views_count for each in walks) > 10
    assert sum(each.accused_count for each in walks) > 0, "liars are found out"


def test_never_more_than_f_lie_and_each_kind_of_lie_is_told() -> None:
    drawn = [draw_liars(random.Random(seed), 7, random.Random(seed)) for seed in range(60)]
    assert {len(liars) for liars in drawn} == {0, 2}
    assert {kind for liars in drawn for kinds in liars.values() for kind in kinds} == set(KINDS)


def test_what_came_later_changes_nothing_else_that_a_seed_draws() -> None:
    def without(kinds):
        return tuple(kind for kind in kinds if kind != "repeating")

    for seed in range(20):
        late = draw_liars(random.Random(seed), 7, random.Random(seed))
        assert {node: without(kinds) for node, kinds in late.items()} == draw_liars(random.Random(seed), 7)


def test_on_some_walks_a_client_lies_and_what_it_wants_is_carried_out_too() -> None:
    walks = [PbftWalk(seed) for seed in range(12)]
    liars = [walk for walk in walks if walk.lying_client is not None]
    assert 0 < len(liars) < len(walks)
    assert [problems for walk in liars for problems in walk.run().problems] == []
    carried_out = [read_request(entry.command).client for walk in liars for entry in walk.cluster.checks.chosen]
    assert carried_out.count(LYING_CLIENT) > 20
    assert len(carried_out) - carried_out.count(LYING_CLIENT) > 20, "and others are not starved"
    assert {walk.cluster.settings.numbers_count for walk in liars} > {1}
