"""What is over leaves its group in time, when the coordinator has all of it; what a group keeps is bounded."""

import msgspec
import pytest

from concerted.consensus.decisions.rule import rule_of
from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.keeping import Bounds
from concerted.consensus.sessions import OPEN, Command
from concerted.errors import Overloaded, WrongPhase
from concerted.ports.agreements import AppendToDecisionLog, GetAgreement, ProposeValue, ReadDecisionLog
from concerted.ports.decisions import CastBallot, CreateDecision, GetDecision
from concerted.replicas.given import Given
from concerted.replicas.kept import Kept, Outcome, Proposed
from concerted.replicas.past import Past

BOUNDS = Bounds(objects_count=2, size_bytes=1 << 20, past_count=3, past_after_s=100.0)


class Group:
    """One replica's state, and the entries that came to it, all at `now`."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.kept = Kept(bounds=bounds)
        self.now = 1.0
        self.number = 0
        self.session = self.put(Command(OPEN, 7).encode()).session

    def put(self, command: bytes = b""):
        index = self.kept.index + 1
        return self.kept.apply(Entry(index, 1, msgspec.msgpack.encode(Proposed(self.now, 1, command))))

    def give(self, command, agent: str = "ann", **more) -> Outcome:
        self.number += 1
        body = msgspec.msgpack.encode(Given(msgspec.json.encode(command), agent, **more))
        answer = self.put(Command(self.session, self.number, body, self.number - 1).encode())
        return msgspec.json.decode(answer.result, type=Outcome)

    def decide(self, id: str) -> None:
        assert self.give(CreateDecision(id=id, question="ship?", electorate={"ann": 1})).error is None
        assert self.give(CastBallot(id=id, choice="accept")).error is None

    def release(self, id: str, copied: int = 3) -> Outcome:
        return self.give(GetDecision(id=id), "coordinator", is_admin=True, copied=copied)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.put()

    def look(self, command):
        return self.kept.look(msgspec.msgpack.encode(Given(msgspec.json.encode(command), "ann")))[0]


@pytest.fixture
def group() -> Group:
    return Group()


def test_what_is_over_and_copied_leaves_after_a_while_and_nothing_forgets_how_it_ended(group: Group) -> None:
    group.decide("d")
    assert group.release("d").error is None
    group.pass_time(99.0)
    assert group.look(GetDecision(id="d")).status == "accepted"
    group.pass_time(1.0)
    assert (list(group.kept.streams()), group.kept.size_bytes) == ([], 0)
    with pytest.raises(WrongPhase, match="decision:d was accepted, and has left this group since; ask the coordinator"):
        group.look(GetDecision(id="d"))


def test_who_waits_for_what_leaves_is_told(group: Group) -> None:
    group.decide("d")
    group.release("d")
    group.pass_time(100.0)
    assert (group.kept.touched, group.kept.settled) == (["decision:d"], ["decision:d"])


def test_what_has_left_is_never_decided_anew_and_no_key_gets_another_value(group: Group) -> None:
    group.decide("d")
    group.release("d")
    propose = ProposeValue(id="port", value=1, request_id="r")
    assert group.give(propose).error is None
    group.give(GetAgreement(id="port"), "coordinator", is_admin=True, copied=2)
    group.pass_time(100.0)
    again = ProposeValue(id="port", value=2, request_id="s")
    for command in (CreateDecision(id="d", question="other?", electorate={"bob": 1}), again, propose):
        assert group.give(command).error["code"] == "wrong_phase"
    assert list(group.kept.streams()) == []


def test_what_is_not_over_or_not_copied_in_whole_stays(group: Group) -> None:
    group.give(CreateDecision(id="open", question="ship?", electorate={"ann": 1}))
    group.decide("d")
    group.release("open", copied=9)
    group.release("d", copied=2)
    group.pass_time(1000.0)
    assert sorted(group.kept.streams()) == ["decision:d", "decision:open"]


def test_nobody_but_the_coordinator_lets_go_of_anything(group: Group) -> None:
    group.decide("d")
    refused = group.give(GetDecision(id="d"), "ann", copied=3)
    assert refused.error["code"] == "not_allowed"
    group.pass_time(1000.0)
    assert list(group.kept.streams()) == ["decision:d"]


def test_a_log_never_leaves(group: Group) -> None:
    group.give(AppendToDecisionLog(id="moves", value=1, request_id="r"))
    group.give(ReadDecisionLog(id="moves"), "coordinator", is_admin=True, copied=2)
    group.pass_time(1000.0)
    assert group.look(ReadDecisionLog(id="moves")).last == 1


def test_one_object_too_many_is_refused_and_what_is_there_goes_on(group: Group) -> None:
    for id in ("a", "b"):
        group.give(CreateDecision(id=id, question="ship?", electorate={"ann": 1}))
    refused = group.give(CreateDecision(id="c", question="ship?", electorate={"ann": 1}))
    assert refused.error["code"] == "overloaded"
    assert "keeps 2 decisions, agreements and logs, the most that it may" in refused.error["message"]
    assert group.give(CastBallot(id="a", choice="accept")).error is None
    group.release("a")
    group.pass_time(100.0)
    assert group.give(CreateDecision(id="c", question="ship?", electorate={"ann": 1})).error is None


def test_a_group_that_is_full_of_bytes_takes_nothing_new_and_lets_what_is_open_come_to_its_end() -> None:
    group = Group(Bounds(size_bytes=70_000))
    group.give(CreateDecision(id="d", question="ship?", electorate={"ann": 1}, rule=rule_of("all")))
    for number in (1, 2):
        assert group.give(AppendToDecisionLog(id="moves", value="x" * 60_000, request_id=f"{number}")).error is None
    for command in (
        AppendToDecisionLog(id="moves", value="y", request_id="3"),
        CreateDecision(id="e", question="ship?", electorate={"ann": 1}),
    ):
        assert "logs do not: go on in another group" in group.give(command).error["message"]
    assert group.give(CastBallot(id="d", choice="accept")).error is None
    assert group.look(GetDecision(id="d")).status == "accepted"


def test_a_group_that_has_kept_too_much_in_its_time_opens_nothing_more(group: Group) -> None:
    for id in ("a", "b", "c"):
        group.decide(id)
        group.release(id)
        group.pass_time(100.0)
    refused = group.give(CreateDecision(id="d", question="ship?", electorate={"ann": 1}))
    assert "this group has kept 3 decisions and agreements in its time" in refused.error["message"]


def test_another_replica_is_the_same_by_a_snapshot(group: Group) -> None:
    for id in ("a", "b"):
        group.decide(id)
        group.release(id)
        group.pass_time(60.0)
    other = Group()
    other.kept.restore(Snapshot(group.kept.index, 1, data=group.kept.dump()))
    assert other.kept.size_bytes == group.kept.size_bytes > 0
    assert other.kept.dump() == group.kept.dump()
    for each in (group, other):
        each.now = 1000.0
        each.put()
    assert other.kept.dump() == group.kept.dump()
    with pytest.raises(WrongPhase):
        other.look(GetDecision(id="b"))


def test_what_is_over_is_written_once_for_all_snapshots(group: Group) -> None:
    """A snapshot costs what has changed since the last one, and not all that a group has kept."""
    group.decide("d")
    first = group.kept.dump()
    group.kept._things["decision:d"].events.clear()  # were it encoded again, they would be missing
    assert group.kept.dump() == first


def test_what_is_due_leaves_in_the_order_in_which_it_was_released() -> None:
    past = Past(BOUNDS)
    for at, stream in enumerate(("a", "b", "c")):
        past.release(stream, float(at))
        past.release(stream, 50.0)  # again: nothing changes
    assert past.due(101.0) == ["a", "b"]
    past.leave("a", "agreed", [b"1"], 101.0)
    assert past.due(101.0) == ["b"]


@pytest.mark.parametrize(
    ("count", "size_bytes", "opens", "words"),
    [(2, 0, True, "keeps 2"), (1, 1 << 20, False, "keeps 1048576 bytes"), (1, 1 << 20, True, "keeps 1048576 bytes")],
)
def test_a_bound_that_is_reached_says_what_to_do(count: int, size_bytes: int, opens: bool, words: str) -> None:
    with pytest.raises(Overloaded, match=words):
        Past(BOUNDS).require_room(count, size_bytes, opens=opens)


def test_below_its_bounds_there_is_room() -> None:
    Past(BOUNDS).require_room(1, (1 << 20) - 1, opens=True)
    Past(BOUNDS).require_room(2, (1 << 20) - 1, opens=False)
