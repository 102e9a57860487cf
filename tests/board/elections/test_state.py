"""Where an election stands: what is remembered, how the queue is sorted, and how a state comes back from the log."""

from typing import Any, get_args

import msgspec
import pytest

from concerted.board.elections.state import ENDED_KEPT, Election, Leader, ended_as, evolve, is_leader
from concerted.machine import Event
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB = AgentId("ann"), AgentId("bob")
CREATED = Event("election.created", ANN, None, {"name": "boss", "confirm_s": 5.0, "candidates": ["ann", "bob"]})


def created() -> Election:
    return evolve(None, CREATED, 1.0)


def queued(agent: AgentId, ticket: str, number: int, score: float = 0.0) -> Event:
    data = {"ticket": ticket, "ttl_s": 9.0, "value": [1], "score": score, "number": number, "since": 2.0}
    return Event("election.queued", agent, ticket, data)


def won(agent: AgentId, ticket: str, token: str) -> Event:
    data = {
        "ticket": ticket,
        "token": token,
        "epoch": int(token),
        "ttl_s": 9.0,
        "value": {"a": [1]},
        "expires_at": 12.0,
    }
    return Event("election.won", agent, token, {**data, "version": 1})


def test_candidates_stand_by_score_then_by_number() -> None:
    state = created()
    for event in (queued(ANN, "a", 1), queued(BOB, "b", 2, 5.0), queued(AgentId("cy"), "c", 3), queued(BOB, "d", 0)):
        state = evolve(state, event, 3.0)
    assert [one.ticket for one in state.queue] == ["b", "d", "a", "c"]
    assert state.number == 3


def test_the_winner_waits_no_longer() -> None:
    state = evolve(evolve(created(), queued(ANN, "a", 1), 2.0), won(ANN, "a", "1"), 3.0)
    assert state.queue == ()
    assert state.leader == Leader(ANN, "a", "1", 1, 9.0, {"a": [1]}, 3.0, 12.0)
    assert is_leader(state, "1")
    assert not is_leader(state, "2")


def test_so_many_endings_are_remembered_the_newest_of_a_ticket_counts() -> None:
    state = created()
    for n in range(ENDED_KEPT + 1):
        state = evolve(state, Event("election.dropped", ANN, f"t{n}", {"ticket": f"t{n}", "reason": "gone"}), float(n))
    state = evolve(state, Event("election.withdrawn", ANN, "t9", {"ticket": "t9", "reason": "ann withdrew"}), 99.0)
    assert len(state.ended) == ENDED_KEPT
    assert ended_as(state, ticket="t0") is None
    newest = ended_as(state, ticket="t9")
    assert newest is not None
    assert (newest.how, newest.at) == ("withdrawn", 99.0)
    assert ended_as(state, token="") is None


def test_events_of_other_things_change_nothing() -> None:
    state = created()
    assert evolve(state, Event("lease.granted", ANN, "1", {}), 2.0) is state
    assert evolve(state, Event("election.proclaimed", ANN, "1", {"value": 1, "version": 2}), 2.0) is state


def test_a_state_comes_back_from_its_folded_form() -> None:
    state = created()
    for event in (won(ANN, "a", "1"), queued(BOB, "b", 1), Event("election.leader_lost", ANN, "1", {"reason": "gone"})):
        state = evolve(state, event, 3.0)
    resigned = {"ticket": "a", "token": "1", "version": 2}
    state = evolve(state, Event("election.resigned", ANN, "1", resigned), 4.0)
    state = evolve(state, Event("election.offered", BOB, "b", {"ticket": "b", "confirm_at": 9.0}), 4.0)
    plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
    assert msgspec.convert(plain, Election, dec_hook=typed) == state


def typed(kind: Any, value: Any) -> Any:
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]
