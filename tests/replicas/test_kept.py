"""What a group keeps follows from its entries alone: time, refusals and snapshots included."""

import msgspec
import pytest

from concerted.consensus.decisions.answers import DecisionResult
from concerted.consensus.decisions.rule import rule_of
from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.errors import Invalid, NotFound
from concerted.ports.agreements import AppendToDecisionLog, ProposeValue
from concerted.ports.commands import GetRun, all_commands
from concerted.ports.decisions import AwaitDecision, CastBallot, CreateDecision, GetDecision
from concerted.ports.primitive import Ask
from concerted.replicas.given import COMMANDS, MACHINES, Given, read_given
from concerted.replicas.kept import Kept, Outcome, Proposed
from concerted.values import RunId


def given(command, agent: str = "ann") -> bytes:
    return msgspec.msgpack.encode(Given(msgspec.json.encode(command), agent))


class Log:
    """Appends entries and applies them, each a second after the other."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.entries: list[Entry] = []
        opened = self.put(Command(OPEN, 7).encode())
        self.session = opened.session
        self.number = 0

    def put(self, command: bytes, *, at: float | None = None, by: int = 1, term: int = 1) -> Answer | None:
        index = self.kept.index + 1
        proposed = Proposed(float(index) if at is None else at, by, command, term)
        self.entries.append(Entry(index, 1, msgspec.msgpack.encode(proposed)))
        return self.kept.apply(self.entries[-1])

    def do(self, command, agent: str = "ann", **when) -> Outcome:
        self.number += 1
        answer = self.put(Command(self.session, self.number, given(command, agent)).encode(), **when)
        return msgspec.json.decode(answer.result, type=Outcome)

    def open(self, id: str = "d", *, term: int = 1, **fields) -> Outcome:
        electorate = {"ann": 1, "bob": 1, "cy": 1}
        return self.do(CreateDecision(id=id, question="ship?", electorate=electorate, **fields), term=term)

    def vote(self, voter: str, choice: str = "accept", id: str = "d", *, term: int = 1) -> Outcome:
        return self.do(CastBallot(id=id, choice=choice), voter, term=term)

    def look(self, id: str = "d") -> DecisionResult:
        return self.kept.look(given(GetDecision(id=id)))[0]

    def status(self, id: str = "d") -> str:
        return self.look(id).status


@pytest.fixture
def log() -> Log:
    return Log(Kept())


def test_ballots_decide(log: Log) -> None:
    log.open()
    log.vote("ann")
    assert log.status() == "voting"
    log.vote("bob")
    assert log.status() == "accepted"


def test_a_command_that_is_in_the_log_twice_is_done_once(log: Log) -> None:
    log.open()
    again = log.entries[-1]
    before = log.kept.events("decision:d", 0)
    answer = log.put(msgspec.msgpack.decode(again.command, type=Proposed).command)
    assert answer.status == "done"
    assert log.kept.events("decision:d", 0) == before


def test_a_refusal_is_an_answer_and_changes_nothing(log: Log) -> None:
    log.open()
    before = log.kept.events("decision:d", 0)
    refused = log.vote("zoe")
    assert refused.error["code"] == "not_allowed"
    assert log.kept.events("decision:d", 0) == before
    assert log.kept.touched == []


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_a_number_that_no_snapshot_could_hold_is_refused_and_hurts_nobody(log: Log, number: int) -> None:
    """It ended every replica that applied it, and again at each restart: the group was lost to one value."""
    value = {"a": [1, {"deep": number}]}
    for command in (
        ProposeValue(id="a", value=value, request_id="one"),
        AppendToDecisionLog(id="l", value=value, request_id="one"),
        CreateDecision(id="p", question="ship?", electorate={"ann": 1}, proposal=value),
    ):
        told = log.do(command)
        assert told.error["code"] == "invalid"
        assert "64 bits" in told.error["message"]
    assert log.do(ProposeValue(id="a", value=2**64 - 1, request_id="two")).error is None
    assert log.do(ProposeValue(id="b", value=str(number), request_id="three")).error is None, "as a text it is one"
    Kept().restore(Snapshot(log.kept.index, 1, data=log.kept.dump()))


def test_a_number_that_no_snapshot_could_hold_is_agreed_on_by_nobody() -> None:
    kept = Kept(algorithm="paxos")
    body = given(ProposeValue(id="a", value=10**40, request_id="one", algorithm="paxos"))
    assert "64 bits" in msgspec.json.decode(kept.answer_agreed(body), type=Outcome).error["message"]


def test_a_deadline_passes_at_an_entry_and_never_before(log: Log) -> None:
    log.open(deadline_at=10.0)
    assert log.kept.next_wake() == 10.0
    log.put(b"", at=9.9)
    assert log.status() == "voting"
    log.put(b"", at=10.0)
    assert log.status() == "lapsed"
    assert log.kept.next_wake() is None


def test_time_never_goes_back(log: Log) -> None:
    log.put(b"", at=50.0)
    log.put(b"", at=20.0)
    assert log.kept.now == 50.0


def test_where_replicas_may_lie_one_of_them_cannot_bring_a_deadline_about() -> None:
    log = Log(Kept(honest=2))
    log.put(b"", at=1.0, by=2)
    log.open(deadline_at=100.0)
    log.put(b"", at=1000.0, by=3)
    assert log.status() == "voting"
    log.put(b"", at=100.5, by=4)
    assert (log.status(), log.kept.now) == ("lapsed", 100.5)


def test_the_rounds_of_a_decision_are_the_terms_from_its_opening_to_its_end(log: Log) -> None:
    log.open(term=4)
    log.vote("ann", term=4)
    assert log.look().rounds == 1
    log.vote("bob", term=7)
    log.put(b"", term=9)
    assert (log.look().rounds, log.status()) == (4, "accepted")


def test_where_replicas_may_lie_one_of_them_cannot_make_up_a_view() -> None:
    log = Log(Kept(honest=2))
    log.put(b"", by=1, term=2)
    log.put(b"", by=2, term=2)
    log.open()
    log.put(b"", by=3, term=1000)
    log.vote("ann")
    assert (log.look().rounds, log.kept.term) == (1, 2)
    log.put(b"", by=4, term=5)
    log.vote("bob")
    assert (log.look().rounds, log.kept.term) == (4, 5)


def test_the_rounds_are_in_a_snapshot(log: Log) -> None:
    log.open(term=4)
    log.vote("ann", term=6)
    other = Kept()
    other.restore(Snapshot(log.kept.index, 1, data=log.kept.dump()))
    assert other.look(given(GetDecision(id="d")))[0].rounds == 3


def test_who_has_restored_a_snapshot_writes_the_same_bytes_as_who_has_not(log: Log) -> None:
    """A group that signs its checkpoints would else never agree on one again."""
    log.do(CreateDecision(id="d", question="ship?", electorate={"cy": 1, "ann": 1, "bob": 1}))
    other = Kept()
    other.restore(Snapshot(log.kept.index, 1, data=log.kept.dump()))
    for voter in ("ann", "bob"):
        log.vote(voter)
        other.apply(log.entries[-1])
    assert log.status() == "accepted"
    assert other.dump() == log.kept.dump()


def test_who_names_another_algorithm_is_told_by_which_it_is_kept(log: Log) -> None:
    refused = log.open(algorithm="pbft")
    assert refused.error["message"].startswith("algorithm pbft: this is kept by a group of replicas, by raft; say that")


def test_who_opens_what_is_there_already_may_take_it_as_it_is(log: Log) -> None:
    log.open()
    assert log.open(rule=rule_of("unanimous")).error["code"] == "conflict"
    assert log.open(rule=rule_of("unanimous"), attach=True).error is None


def test_a_replica_that_begins_with_a_snapshot_goes_on_as_all_others(log: Log) -> None:
    log.open()
    log.vote("ann")
    other = Kept()
    other.restore(Snapshot(log.kept.index, 1, data=log.kept.dump()))
    log.vote("bob", "reject")
    log.vote("cy")
    for entry in log.entries[other.index :]:
        other.apply(entry)
    assert other.dump() == log.kept.dump()
    assert other.look(given(GetDecision(id="d"))) == log.kept.look(given(GetDecision(id="d")))


def test_who_looks_for_what_is_not_there_is_told(log: Log) -> None:
    with pytest.raises(NotFound, match="keeps no decision nothing"):
        log.kept.look(given(AwaitDecision(id="nothing")))


@pytest.mark.parametrize("body", [b"\xc1", given(GetRun(id=RunId("r")))], ids=["bytes", "another command"])
def test_what_groups_do_not_keep_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        read_given(body)


def test_the_events_of_one_object_can_be_read_from_any_number_on(log: Log) -> None:
    log.open()
    log.vote("ann")
    log.vote("bob")
    assert [each.kind for each in log.kept.events("decision:d", 1)] == [
        "decision.ballot_cast", "decision.ballot_cast", "decision.closed",
    ]  # fmt: skip
    assert log.kept.events("decision:nothing", 0) == []


def test_whatever_can_be_asked_of_what_groups_keep_is_read_in_one_go():
    asked = {kind for kind in all_commands().values() if issubclass(kind, Ask) and kind.kind in MACHINES}
    assert asked == set(COMMANDS)


def test_what_is_no_command_of_a_group_is_told_what_is_wrong_with_it():
    with pytest.raises(Invalid, match="no command 'dance'"):
        read_given(msgspec.msgpack.encode(Given(b'{"command": "dance", "id": "d"}', "ann")))
    with pytest.raises(Invalid, match="missing required field `choice`"):
        read_given(msgspec.msgpack.encode(Given(b'{"command": "cast_ballot", "id": "d"}', "ann")))
