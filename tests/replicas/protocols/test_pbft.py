"""What a group keeps where replicas may lie: clients sign, and whatever a liar has ordered, the honest go on."""

import math

import msgspec
import pytest

from concerted.consensus.decisions.rule import Rule
from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.pbft.messages import Request
from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.ports.decisions import CastBallot, CreateDecision, OfDecision
from concerted.replicas.kept import Given, Kept
from concerted.replicas.protocols.entering import Proposed
from concerted.replicas.protocols.pbft import SignedEntering
from concerted.replicas.spec import COORDINATOR, Group
from concerted.values import AgentId

GROUP = Group(id="g", algorithm="pbft", replicas={node: f"127.0.0.1:{node}" for node in range(1, 5)})
LIAR = "replica-4"


def given(wanted: OfDecision, agent: str) -> bytes:
    return msgspec.msgpack.encode(Given(msgspec.json.encode(wanted), agent))


class Log:
    """Applies what clients have signed."""

    def __init__(self) -> None:
        self.kept = Kept("pbft", 2, SignedEntering(GROUP, 1, ""))

    def put(self, client: str, body: bytes) -> Answer | None:
        index = self.kept.index + 1
        return self.kept.apply(Entry(index, 1, Request(client, index, body).encode()))

    def ask(self, client: str, command: Command) -> Answer | None:
        return self.put(client, msgspec.msgpack.encode(Proposed(1.0, 0, command.encode())))

    def time(self, node: int, at: float, client: str = "") -> None:
        self.put(client or f"replica-{node}", msgspec.msgpack.encode(Proposed(at, node)))

    def open(self, client: str) -> int:
        return self.ask(client, Command(OPEN, 7)).session


@pytest.fixture
def log() -> Log:
    log = Log()
    log.time(1, 100.0)
    log.time(2, 101.0)
    return log


@pytest.mark.parametrize(
    "body",
    [b"garbage", b"", msgspec.msgpack.encode(Proposed(1.0, 0, b"garbage")), msgspec.msgpack.encode((1.0, 0, "text"))],
)
def test_nonsense_that_a_known_client_has_signed_is_nothing(log: Log, body: bytes) -> None:
    assert log.put(LIAR, body) is None
    assert log.put(COORDINATOR, body) is None
    assert log.open(COORDINATOR) == log.kept.index


def test_a_time_that_is_none_stops_nobodys_clock(log: Log) -> None:
    log.time(4, math.nan)
    log.time(3, 102.0)
    assert log.kept.now == 101.0
    log.time(4, math.inf)
    log.time(1, 103.0)
    log.time(2, 103.0)
    assert log.kept.now == 103.0


def test_nobody_says_the_time_for_others(log: Log) -> None:
    for node in (1, 2, 3):
        log.time(node, 999.0, client=LIAR)
    assert log.kept.now == 100.0


def test_a_host_speaks_for_itself_alone(log: Log) -> None:
    session = log.open(COORDINATOR)
    electorate = {AgentId("ann"): 1, AgentId(LIAR): 1}
    rule = Rule(threshold="1", comparison=">=")
    made = CreateDecision(id="d", question="Ship it?", electorate=electorate, rule=rule)
    assert log.ask(COORDINATOR, Command(session, 1, given(made, "olga"))).status == "done"
    own = log.open(LIAR)
    for number, voter in enumerate(("ann", LIAR), 1):
        log.ask(LIAR, Command(own, number, given(CastBallot(id="d", choice="accept"), voter)))
    shown = msgspec.json.decode(
        log.ask(COORDINATOR, Command(session, 2, given(CastBallot(id="d", choice="reject"), "ann"))).result
    )
    assert shown["ok"]["status"] == "rejected"


@pytest.mark.parametrize("stolen", [Command(0, 1, b"!"), Command(0, 9, b"", answered=9)])
@pytest.mark.parametrize("restored", [False, True])
def test_a_session_serves_nobody_but_its_owner(log: Log, stolen: Command, restored: bool) -> None:
    session = log.open(COORDINATOR)
    own = log.open("replica-3")
    if restored:
        log.kept.restore(Snapshot(log.kept.index, 1, data=log.kept.dump()))
    for of in (session, own):
        answer = log.ask(LIAR, msgspec.structs.replace(stolen, session=of))
        assert (answer.status, answer.owner) == ("expired", LIAR), "whoever waits for its owner is told nothing"
    made = CreateDecision(id="d", question="Ship it?", electorate={AgentId("ann"): 1})
    answer = log.ask(COORDINATOR, Command(session, 1, given(made, "olga")))
    assert b'"ok"' in answer.result
    assert log.ask("replica-3", Command(own, 1, given(made, "replica-3"))).status == "done"


def test_who_has_opened_a_session_is_in_the_answer(log: Log) -> None:
    answers = [log.ask(client, Command(OPEN, 7)) for client in (COORDINATOR, LIAR)]
    assert [answer.owner for answer in answers] == ["", LIAR], "of the same number, so the owner tells them apart"
