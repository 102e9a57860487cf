"""When askers ask: whom they take for the leader, and that they ask all where nobody is believed alone."""

import random
from collections import deque
from collections.abc import Sequence

import pytest

from concerted.ports.decisions import CastBallot
from concerted.sim.decisions.callers import RETRY_S, Callers
from concerted.sim.decisions.court import Court
from concerted.sim.decisions.crowd import Crowd
from concerted.sim.decisions.errands import Asker
from concerted.sim.worlds.timeline import Life, Timeline
from concerted.values import AgentId


def asked(leads: int | None, *, is_signed: bool, until: float) -> list[tuple[float, Sequence[int]]]:
    """Let one ask three servers that never answer, and return when whom."""
    timeline, life = Timeline(), Life()
    asker = Asker(1, AgentId("ann"), deque([(4.0, CastBallot(id="d", choice="accept"))]))
    crowd = Crowd([asker], Court([]), 1)
    found: list[tuple[float, Sequence[int]]] = []

    def ask(nodes: Sequence[int], _: bytes) -> int | None:
        found.append((timeline.now, nodes))
        return leads

    callers = Callers(
        rng=random.Random(1),
        timeline=timeline,
        life=life,
        crowd=crowd,
        there=lambda: [1, 2, 3],
        ask=ask,
        leader=lambda: 1,
        is_signed=is_signed,
    )
    callers.begin()
    timeline.at(until, life, setattr, life, "over", True)
    timeline.run(life)
    return found


def test_nobody_asks_before_it_is_time() -> None:
    assert [at for at, _ in asked(2, is_signed=False, until=6.0)] == [4.0]


def test_who_is_not_answered_asks_again() -> None:
    instants = [at for at, _ in asked(2, is_signed=False, until=30.0)]
    assert instants == [4.0 + RETRY_S * turn for turn in range(len(instants))]
    assert len(instants) == 6


def test_who_finds_no_leader_looks_for_one_soon() -> None:
    assert len(asked(None, is_signed=False, until=30.0)) > 15


@pytest.mark.parametrize("is_signed", [False, True])
def test_where_nobody_is_believed_alone_all_are_asked_in_the_end(is_signed: bool) -> None:
    counts = [len(nodes) for _, nodes in asked(2, is_signed=is_signed, until=30.0)]
    assert counts == [1, *[3 if is_signed else 1] * 5]
