"""The slow oracle: what a log of decisions comes to, and that the fast code comes to the same."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.decisions.rule import Rule, check
from concerted.consensus.decisions.tally import count, final, open_tally, settled
from concerted.consensus.entries import Entry
from concerted.consensus.sessions import OPEN, Command
from concerted.ports.decisions import CancelDecision, CastBallot, CreateDecision, OfDecision
from concerted.replicas.given import Given
from concerted.replicas.kept import Proposed
from concerted.sim.decisions.oracle import Oracle, completions, judge
from concerted.values import AgentId

SHARES = ["0", "1/3", "1/2", "0.6", "2/3", "1"]


@st.composite
def judgements(draw: st.DrawFn) -> tuple[CreateDecision, dict[str, str]]:
    weights = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    electorate = {AgentId(f"v{i}"): weight for i, weight in enumerate(weights)}
    options = draw(st.sampled_from([("accept",), ("accept",), ("red", "blue")]))
    rules = st.builds(
        Rule,
        threshold=st.sampled_from(SHARES),
        comparison=st.sampled_from([">", ">="]),
        base=st.sampled_from(["electorate", "cast"]),
        quorum=st.sampled_from(SHARES),
        vetoes=st.lists(st.sampled_from(sorted(electorate)), max_size=2, unique=True).map(tuple),
        silence=st.sampled_from(["nothing", "abstain", "reject", "accept"]),
    )
    rule = draw(rules.filter(lambda rule: not check(rule, electorate, options)))
    voters = draw(st.lists(st.sampled_from(sorted(electorate)), unique=True))
    made = CreateDecision(id="d", question="ship?", electorate=electorate, options=options, rule=rule)
    return made, {voter: draw(st.sampled_from([*options, "reject", "abstain"])) for voter in voters}


@given(judgements())
def test_it_judges_as_the_tally_does(judgement: tuple[CreateDecision, dict[str, str]]) -> None:
    made, cast = judgement
    tally = open_tally(made.electorate, made.options, made.rule)
    for voter, choice in cast.items():
        tally = count(tally, made.rule, AgentId(voter), choice, made.electorate[AgentId(voter)])
    verdict = final(made.rule, tally)
    written = msgspec.json.decode(msgspec.json.encode(made))
    assert judge(written, cast) == (verdict.outcome, verdict.chosen)
    assert (len(completions(written, cast)) == 1) == (settled(made.rule, tally) is not None)


class Log:
    """Appends what agents ask, each in a session of its own, and what time it is."""

    def __init__(self) -> None:
        self.oracle = Oracle()
        self.sessions: dict[str, int] = {}
        self.numbers = 0

    def ask(self, agent: str, wanted: OfDecision, at: float = 1.0, *, number: int = 0) -> None:
        if agent not in self.sessions:
            self._put(at, Command(OPEN, 1).encode())
            self.sessions[agent] = self.oracle.index
        self.numbers += 1
        body = msgspec.msgpack.encode(Given(msgspec.json.encode(wanted), agent))
        self._put(at, Command(self.sessions[agent], number or self.numbers, body).encode())

    def time(self, at: float) -> None:
        self._put(at, b"")

    def _put(self, at: float, command: bytes) -> None:
        proposed = msgspec.msgpack.encode(Proposed(at, 1, command))
        self.oracle.read(Entry(self.oracle.index + 1, 1, proposed))

    def shown(self):
        return self.oracle.standing(self.oracle.index)["d"]


@pytest.fixture
def log() -> Log:
    log = Log()
    electorate = {AgentId(name): 1 for name in ("ann", "bob", "cy")}
    log.ask("olga", CreateDecision(id="d", question="ship?", electorate=electorate, deadline_at=100.0))
    return log


def vote(choice: str = "accept") -> CastBallot:
    return CastBallot(id="d", choice=choice)


def test_the_first_ballots_of_a_majority_settle_it(log: Log) -> None:
    log.ask("ann", vote())
    log.ask("ann", vote("reject"))
    assert log.shown().status == "voting"
    log.ask("bob", vote())
    assert (log.shown().status, log.shown().cause) == ("accepted", "settled")
    log.ask("cy", vote("reject"))
    assert log.shown().ballots == (("ann", "accept"), ("bob", "accept"))


def test_a_deadline_passes_by_an_entry_that_says_the_time(log: Log) -> None:
    log.ask("ann", vote())
    log.time(99.0)
    assert log.shown().status == "voting"
    log.time(130.0)
    found = log.shown()
    assert (found.status, found.cause, found.closed_at) == ("lapsed", "deadline", 100.0)


def test_who_comes_too_late_is_refused_and_changes_nothing(log: Log) -> None:
    log.ask("ann", vote(), at=130.0)
    assert log.shown().status == "voting"
    log.time(20.0)
    assert log.shown().status == "lapsed", "time never goes back"


def test_a_command_counts_once_and_a_stranger_never(log: Log) -> None:
    log.ask("ann", vote(), number=7)
    log.ask("sam", vote())
    log.ask("ann", vote("reject"), number=7)
    assert log.shown().ballots == (("ann", "accept"),)


def test_its_opener_may_withdraw_it_and_nobody_else(log: Log) -> None:
    log.ask("ann", CancelDecision(id="d"))
    assert log.shown().status == "voting"
    log.ask("olga", CancelDecision(id="d"), at=5.0)
    assert (log.shown().status, log.shown().cause, log.shown().closed_at) == ("lapsed", "withdrawn", 5.0)


def test_how_it_stood_before_is_remembered(log: Log) -> None:
    before = log.oracle.index
    log.ask("ann", vote())
    assert log.oracle.standing(before)["d"].ballots == ()
    assert log.oracle.standing(0) == {}


def signed(oracle: Oracle, client: str, body: bytes) -> None:
    index = oracle.index + 1
    oracle.read(Entry(index, 1, msgspec.msgpack.encode((client, index, body, b""))))


def test_where_replicas_may_lie_the_time_is_what_enough_of_them_say() -> None:
    oracle = Oracle(honest=2)
    for by, at in [(1, 90.0), (2, 50.0), (3, 999.0), (3, float("nan"))]:
        signed(oracle, f"replica-{by}", msgspec.msgpack.encode(Proposed(at, by, b"")))
    signed(oracle, "replica-3", msgspec.msgpack.encode(Proposed(998.0, 1, b"")))
    assert oracle.now == 90.0, "one liar may say 999, and for others nothing"


def test_where_replicas_may_lie_each_host_speaks_for_itself_in_its_own_sessions() -> None:
    oracle = Oracle(honest=2)

    def ask(client: str, command: Command) -> None:
        signed(oracle, client, msgspec.msgpack.encode(Proposed(1.0, 0, command.encode())))

    def by(agent: str, wanted: OfDecision) -> bytes:
        return msgspec.msgpack.encode(Given(msgspec.json.encode(wanted), agent))

    ask("coordinator", Command(OPEN, 1))
    ask("replica-4", Command(OPEN, 1))
    ask("replica-4", Command(1, 1, by("ann", vote())))
    made = CreateDecision(id="d", question="ship?", electorate={AgentId("ann"): 1})
    ask("coordinator", Command(1, 1, by("olga", made)))
    ask("replica-4", Command(2, 1, by("ann", vote())))
    for nonsense in (b"", b"garbage", msgspec.msgpack.encode(Proposed(1.0, 4, b"garbage"))):
        signed(oracle, "replica-4", nonsense)
    standing = oracle.standing(oracle.index)["d"]
    assert (standing.status, standing.ballots) == ("voting", ())
