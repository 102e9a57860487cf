"""Decisions that replicas keep, in virtual time: the promises by name, over each protocol."""

from collections import deque

import pytest

from concerted.consensus.decisions.rule import Rule
from concerted.ports.decisions import CastBallot, CreateDecision, OfDecision
from concerted.sim.decisions.assembly import BEGAN_AT
from concerted.sim.decisions.errands import Asker
from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.decisions.world import DecisionsWorld, play_decisions
from concerted.sim.faults import Faults
from concerted.values import AgentId

pytestmark = pytest.mark.parametrize("protocol", sorted(KEEPINGS))

Errand = tuple[str, float, OfDecision]


def opened(at: float = 30.0, deadline_s: float | None = None, **fields) -> tuple[float, CreateDecision]:
    electorate = {AgentId(name): 1 for name in ("ann", "bob", "cy")}
    deadline_at = None if deadline_s is None else BEGAN_AT + deadline_s
    fields = {"question": "Ship it?", **fields}
    return at, CreateDecision(id="d", electorate=electorate, deadline_at=deadline_at, **fields)


def vote(at: float, choice: str = "accept") -> tuple[float, CastBallot]:
    return at, CastBallot(id="d", choice=choice)


def world(protocol: str, *errands: Errand) -> DecisionsWorld:
    """A world in which nothing breaks but what a test breaks, and these do what they want."""
    askers = [
        Asker(number, AgentId(agent), deque([(at, wanted)])) for number, (agent, at, wanted) in enumerate(errands, 1)
    ]
    return DecisionsWorld(protocol, 1, Faults(), servers=4 if protocol == "pbft" else 3, askers=askers)


class Probe:
    """Looks at the log's decision at instants of a world."""

    def __init__(self, played: DecisionsWorld, *instants: float) -> None:
        self.seen: dict[float, str] = {}
        for at in instants:
            played.timeline.at(at, played.life, self._look, played, at)

    def _look(self, played: DecisionsWorld, at: float) -> None:
        standing = played.court.standing(len(played.checks.chosen)).get("d")
        self.seen[at] = "nothing" if standing is None else standing.status


def ended(played: DecisionsWorld):
    result = played.play()
    assert result.problems == ()
    return played.court.standing(len(played.checks.chosen))["d"]


def test_if_no_majority_answers_nothing_is_decided(protocol: str) -> None:
    played = world(protocol, ("olga", *opened()), ("ann", *vote(50.0)), ("bob", *vote(50.0)))
    ways = {(a, b): 1 for a in played.hosts for b in played.hosts if a != b}
    played.timeline.at(45.0, played.life, played.mischief.cut.update, ways)
    probe = Probe(played, 44.0, 119.0)
    assert ended(played).status == "accepted", "when all is healed"
    assert probe.seen == {44.0: "voting", 119.0: "voting"}


def test_the_veto_arrives_last(protocol: str) -> None:
    rule = Rule(vetoes=(AgentId("cy"),))
    last = ("cy", *vote(70.0, "reject"))
    played = world(protocol, ("olga", *opened(rule=rule)), ("ann", *vote(40.0)), ("bob", *vote(41.0)), last)
    probe = Probe(played, 69.0)
    assert (ended(played).status, probe.seen) == ("rejected", {69.0: "voting"})


def test_a_voter_stays_silent_and_the_deadline_passes_by_an_entry(protocol: str) -> None:
    rule = Rule(threshold="1", comparison=">=")
    played = world(protocol, ("olga", *opened(deadline_s=70.0, rule=rule)), ("ann", *vote(40.0)), ("bob", *vote(41.0)))
    probe = Probe(played, 45.0)
    found = ended(played)
    assert (found.status, found.cause, found.closed_at) == ("lapsed", "deadline", BEGAN_AT + 70.0)
    assert probe.seen == {45.0: "voting"}


def test_the_leader_is_killed_between_the_opening_and_the_close(protocol: str) -> None:
    played = world(protocol, ("olga", *opened(deadline_s=80.0)), ("ann", *vote(40.0)), ("bob", *vote(60.0)))

    def kill() -> None:
        leader = played.leader()
        assert leader is not None
        played.hosts[leader.id].die()

    played.timeline.at(50.0, played.life, kill)
    probe = Probe(played, 49.0, 119.0)
    found = ended(played)
    assert (found.status, found.cause) in {("accepted", "settled"), ("lapsed", "deadline")}
    assert found.ballots[0] == ("ann", "accept"), "what was there before it died"
    assert probe.seen == {49.0: "voting", 119.0: found.status}, "those who are left have closed it"


def test_two_proposers_at_once_open_one_decision(protocol: str) -> None:
    played = world(
        protocol, ("olga", *opened(question="Now?")), ("otto", *opened(question="Later?")), ("ann", *vote(60.0)),
        ("bob", *vote(60.0)),
    )  # fmt: skip
    assert ended(played).status == "accepted"
    (certificate,) = played.court.closed.values()
    assert certificate.opening.question in {"Now?", "Later?"}
    assert {asker.is_done for asker in played.crowd.askers} == {True}, "the other one is told, too"


def test_the_same_seed_plays_the_same(protocol: str) -> None:
    faults = Faults(swarm=True)
    once, again = (play_decisions(protocol, 5, faults) for _ in range(2))
    assert once == again
    assert once.answered > 0
    assert once.judged > once.closed
