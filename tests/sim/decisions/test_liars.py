"""Hosts that lie about decisions: every kind of lie is told, and none of it counts."""

import random
from collections import Counter

import msgspec
import pytest

from concerted.consensus.sessions import Answer
from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.decisions.liars import KINDS
from concerted.sim.decisions.walk import DecisionsWalk
from concerted.sim.decisions.world import DecisionsWorld
from concerted.sim.faults import Faults


def world_with(*kinds: str) -> DecisionsWorld:
    """The first world in which somebody lies, and of his host's lies only these."""
    for seed in range(50):
        world = DecisionsWorld("pbft", seed, Faults())
        for liar in world.assembly.liars.values():
            liar.kinds = kinds
            return world
    raise AssertionError("nobody lies")


def test_up_to_f_lie_in_every_way_and_none_where_the_size_is_given() -> None:
    drawn = [KEEPINGS["pbft"](random.Random(seed), 0) for seed in range(100)]
    told = Counter(kind for keeping in drawn for kinds in keeping.liars.values() for kind in kinds)
    assert {len(keeping.liars) for keeping in drawn} == {0, 1, 2}
    assert all(len(keeping.liars) <= (keeping.servers - 1) // 3 for keeping in drawn)
    assert min(told[kind] for kind in KINDS) > 10
    assert KEEPINGS["pbft"](random.Random(1), 4).liars == {}
    assert not any(KEEPINGS[name](random.Random(1), 0).liars for name in ("raft", "paxos"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_liars_host_signs_is_ordered_and_changes_nothing(kind: str) -> None:
    world = world_with(kind)
    assert world.play().problems == ()
    (liar, *_) = world.assembly.liars
    signed = [entry for entry in world.checks.chosen if f"replica-{liar}".encode() in (entry.command or b"")]
    assert bool(signed) == (kind != "slander")


def test_a_slanderer_tells_clients_something_else() -> None:
    world = world_with("slander")
    (liar, *_) = world.assembly.liars.values()
    answer = Answer("done", 3, 1, msgspec.json.encode({"index": 5, "ok": {"status": "accepted"}}))
    said = {liar.told(answer).result for _ in range(50)}
    assert len(said) == 2, "the truth at times"
    assert liar.told(Answer("opened", 5, 1)).session in {5, 6}


def test_whoever_lies_goes_on_to_lie_on_a_walk_that_has_healed() -> None:
    walk = next(each for each in (DecisionsWalk("pbft", seed) for seed in range(50)) if each.liars)
    assert walk.run().problems == ()
