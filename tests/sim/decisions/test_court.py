"""The invariants of decisions over a log: each is broken on purpose, and must be seen."""

import msgspec
import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.sessions import OPEN, Command
from concerted.ports.decisions import CastBallot, CreateDecision, OfDecision
from concerted.replicas.given import Given
from concerted.replicas.kept import Kept, Outcome
from concerted.replicas.protocols.entering import Proposed
from concerted.sim.cluster.checks import Broken
from concerted.sim.decisions.court import Court
from concerted.values import AgentId


class Shown:
    """A replica as the court sees it."""

    def __init__(self, node: int) -> None:
        self.id = node
        self.kept = Kept()


class Case:
    """A log, its court, and two replicas that apply it."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.court = Court(self.log)
        self.one, self.other = Shown(1), Shown(2)
        self.session = 0

    def put(self, agent: str, wanted: OfDecision | None = None, at: float = 1.0) -> Entry:
        if wanted is None:
            command = Command(OPEN, 1).encode()
        else:
            body = msgspec.msgpack.encode(Given(msgspec.json.encode(wanted), agent))
            command = Command(self.session, len(self.log), body).encode()
        self.log.append(Entry(len(self.log) + 1, 1, msgspec.msgpack.encode(Proposed(at, 1, command))))
        self.session = self.session or len(self.log)
        return self.log[-1]

    def votes(self, *voters: str) -> None:
        for voter in voters:
            self.court.cast[("d", voter)] = {"accept"}
            self.put(voter, CastBallot(id="d", choice="accept"))

    def apply(self, shown: Shown, upto: int | None = None) -> None:
        for entry in self.log[shown.kept.index : upto]:
            shown.kept.apply(entry)
            self.court.judged(shown)


@pytest.fixture
def case() -> Case:
    case = Case()
    case.put("olga")
    electorate = {AgentId(name): 1 for name in ("ann", "bob", "cy")}
    case.put("olga", CreateDecision(id="d", question="Ship it?", electorate=electorate))
    return case


def test_replicas_that_show_what_the_log_comes_to_are_left_alone(case: Case) -> None:
    case.votes("ann", "bob", "cy")
    case.apply(case.one)
    case.apply(case.other, 3)
    case.court.judged_whole(case.one)
    assert list(case.court.closed) == ["d"]
    assert case.court.closed["d"].outcome == "accepted"


def test_an_outcome_that_does_not_follow_from_the_log_is_seen(case: Case) -> None:
    case.votes("ann")
    case.apply(case.one)
    case.votes("bob")
    body = msgspec.msgpack.encode(Given(msgspec.json.encode(CastBallot(id="d", choice="reject")), "bob"))
    another = Proposed(1.0, 1, Command(case.session, 99, body).encode())
    case.one.kept.apply(Entry(len(case.log), 1, msgspec.msgpack.encode(another)))
    with pytest.raises(Broken, match="pure function of the log"):
        case.court.judged(case.one)


def test_a_ballot_that_nobody_has_cast_is_seen(case: Case) -> None:
    case.votes("ann", "bob")
    case.court.cast[("d", "bob")] = {"reject"}
    with pytest.raises(Broken, match="nobody votes for another"):
        case.apply(case.one)


def test_a_certificate_that_changes_is_seen(case: Case) -> None:
    case.votes("ann", "bob")
    case.apply(case.one)
    first = case.court.closed["d"]
    case.court.closed["d"] = msgspec.structs.replace(first, closed_at=first.closed_at + 1.0)
    with pytest.raises(Broken, match="once closed, never changed"):
        case.apply(case.other)


def test_who_is_told_what_is_not_so_is_seen(case: Case) -> None:
    case.votes("ann")
    case.apply(case.one)
    told = Outcome(3, 1, ok=msgspec.Raw(msgspec.json.encode({"id": "d", "status": "voting"})))
    case.court.told(told)
    case.court.told(Outcome(3, 1, error={"code": "refused"}))
    with pytest.raises(Broken, match="told"):
        case.court.told(msgspec.structs.replace(told, ok=msgspec.Raw(b'{"id":"d","status":"accepted"}')))
