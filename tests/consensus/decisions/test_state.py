import pytest

from concerted.consensus.decisions.decision import Create, Decision, Request, Vote, decide, evolve
from concerted.consensus.decisions.state import certify
from concerted.kinds import primitive_stream
from concerted.machine import Event, Lost
from concerted.ports.store import Entry
from concerted.primitives.fold import FOLDED, folded_row, unfold
from concerted.primitives.table import machine_of
from concerted.values import AgentId

ANN, BOB, CY = (AgentId(name) for name in ("ann", "bob", "cy"))
OPENED = Create("d1", ANN, "ship it?", {ANN: 1, BOB: 2, CY: 1}, proposal={"build": 7}, deadline_at=60.0)
STORY: tuple[Request, ...] = (
    OPENED,
    Vote(ANN, "accept", "green"),
    Vote(ANN, "reject"),
    Lost(CY, "gone"),
    Vote(BOB, "accept"),
)


def told(*requests: Request) -> tuple[Decision, list[Event]]:
    state: Decision | None = None
    events: list[Event] = []
    for now, request in enumerate(requests, 1):
        for event in decide(state, request, float(now)).events:
            events.append(event)
            state = evolve(state, event, float(now))
    assert state is not None
    return state, events


def test_the_outcome_is_computed_from_the_ballots_whatever_the_entry_says() -> None:
    state, events = told(*STORY)
    assert state.status == "accepted"
    forged: Decision | None = None
    for event in events:
        lie = {"status": "rejected", "chosen": None} if event.kind == "decision.closed" else {}
        forged = evolve(forged, Event(event.kind, event.agent, event.ref, event.data | lie), 5.0)
    assert forged is not None
    assert forged.status == "accepted"
    assert certify(forged).outcome == "accepted"


def test_ballots_stand_where_the_log_has_them() -> None:
    state, events = told(*STORY)
    certificate = certify(state)
    kinds = [event.kind for event in events]
    assert [kinds[ballot.position - 1] for ballot in certificate.ballots] == ["decision.ballot_cast"] * 2
    assert kinds[certificate.position.closed - 1] == "decision.closed"


@pytest.mark.parametrize("length", range(1, len(STORY) + 1))
def test_a_folded_decision_is_the_same_decision(length: int) -> None:
    state, _ = told(*STORY[:length])
    stream = primitive_stream("decision", "d1")
    row = folded_row(stream, state, 9, 1.0)
    entry = Entry(seq=1, stream=stream, stream_seq=9, at=1.0, kind=FOLDED, data=row.data)
    again = unfold(machine_of("decision"), None, [entry])
    assert again == state
