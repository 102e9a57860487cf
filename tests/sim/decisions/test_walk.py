"""Untimed walks over replicas that keep decisions: the same each time, and over every protocol something is decided."""

import pytest

from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.decisions.walk import DecisionsWalk, decisions_walk

pytestmark = pytest.mark.parametrize("protocol", sorted(KEEPINGS))


def test_a_seed_walks_the_same_way(protocol: str) -> None:
    once, again = (decisions_walk(protocol, 3) for _ in range(2))
    assert once == again
    assert once.problems == ()
    assert once.transcript == ()


def test_walks_decide_something(protocol: str) -> None:
    walked = [decisions_walk(protocol, seed) for seed in range(8)]
    assert [each.problems for each in walked] == [()] * 8
    assert sum(each.closed for each in walked) > 0
    assert sum(each.answered for each in walked) > 20


def test_a_transcript_tells_what_happened_and_changes_nothing(protocol: str) -> None:
    told = decisions_walk(protocol, 2, transcript=True)
    assert told.chosen == decisions_walk(protocol, 2).chosen
    assert any("asks" in line for line in told.transcript)
    assert any(line.endswith("healed") for line in told.transcript)


def test_who_is_never_answered_is_seen(protocol: str) -> None:
    walk = DecisionsWalk(protocol, 1, steps=50)
    walk.crowd.hear = lambda *_: None  # type: ignore[method-assign]
    (problem,) = walk.run().problems
    assert "liveness" in problem


def test_what_is_broken_is_told_with_its_step(protocol: str) -> None:
    walk = DecisionsWalk(protocol, 1)
    walk.assembly.court.oracle.honest = 99
    walk.assembly.court.oracle._done = _Everything()  # type: ignore[assignment]
    problems = walk.run().problems
    assert problems
    assert problems[0].startswith("step ")


class _Everything(set):
    """Holds whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True
