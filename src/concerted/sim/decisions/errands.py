"""Who wants what of decisions, and when: openers, voters of all kinds, and what they do about lost answers.

Voters vote once, or twice the same, or two different ways; in time or late; one is no voter at all.  A voter may be
there twice, as two processes with sessions of their own.  Two may want to open the same decision at the same time.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import msgspec

from concerted.consensus.decisions.rule import ACCEPT, Rule, check
from concerted.consensus.quorum import NodeId
from concerted.consensus.sessions import OPEN, Command
from concerted.ports.decisions import CancelDecision, CastBallot, CreateDecision, OfDecision
from concerted.replicas.given import Given
from concerted.values import AgentId

__all__ = ["Asker", "draw_askers"]

VOTERS = ("ann", "bob", "cy", "dee", "eve")
OPENERS = ("olga", "otto")
STRANGER = "sam"
SHARES = ("0", "1/3", "1/2", "0.6", "2/3", "3/4", "1")
OPENS_S = 60.0  # until then decisions are opened
VOTES_S = 50.0  # how long after that ballots come
DEADLINES_S = (5.0, 70.0)


@dataclass(slots=True)
class Asker:
    """One process of an agent: it does one errand after the other, each until it is answered.

    errands: (instant before which it is not begun, what is wanted).  session: 0 until it has one.  command: what it
    asks for now.  believed: who is said to lead.
    """

    id: int
    agent: AgentId
    errands: deque[tuple[float, OfDecision]] = field(default_factory=deque)
    session: int = 0
    number: int = 0
    command: bytes = b""
    turn: int = 0
    believed: NodeId | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be asked."""
        return not self.errands and not self.command

    def next_command(self) -> bytes:
        """Return what it asks for: a session first, then one errand after the other; the same until it is answered."""
        if self.command:
            return self.command
        if not self.session:
            self.command = Command(OPEN, self.id).encode()
            return self.command
        _, wanted = self.errands.popleft()
        self.number += 1
        body = msgspec.msgpack.encode(Given(msgspec.json.encode(wanted), self.agent))
        self.command = Command(self.session, self.number, body, self.number - 1).encode()
        return self.command


def draw_askers(rng: random.Random, began_at: float) -> list[Asker]:
    """Draw who does what.  began_at: what a clock that is right says when the world begins."""
    askers: list[Asker] = []

    def somebody(agent: str, *errands: tuple[float, OfDecision]) -> None:
        askers.append(Asker(len(askers) + 1, AgentId(agent), deque(errands)))

    for number in range(rng.choice((1, 2, 3))):
        opened_at = rng.uniform(0.0, OPENS_S)
        made = _draw_decision(rng, f"d{number}", began_at + opened_at)
        somebody(OPENERS[0], (opened_at, made), *_second_thoughts(rng, made, opened_at))
        if rng.random() < 0.2:  # two open it at once; the other one wants something else of it, or the same
            other = msgspec.structs.replace(made, question=rng.choice((made.question, "Not now?")))
            somebody(rng.choice(OPENERS), (opened_at, other))
        for voter in made.electorate:
            for ballots in _draw_ballots(rng, made, opened_at):
                somebody(voter, *ballots)
        if rng.random() < 0.2:
            somebody(STRANGER, (opened_at + rng.uniform(0.0, VOTES_S), CastBallot(id=made.id, choice="reject")))
    return askers


def _draw_decision(rng: random.Random, name: str, now: float) -> CreateDecision:
    voters = rng.sample(VOTERS, rng.choice((1, 2, 3, 3, 4, 4, 5)))
    electorate = {AgentId(voter): rng.choice((1, 1, 1, 2, 3)) for voter in voters}
    options = rng.choice(((ACCEPT,), (ACCEPT,), (ACCEPT,), ("red", "blue")))
    while True:
        rule = Rule(
            threshold=rng.choice(SHARES),
            comparison=rng.choice((">", ">=")),
            base=rng.choice(("electorate", "cast")),
            quorum=rng.choice(("0", "0", *SHARES)),
            vetoes=tuple(sorted(voter for voter in electorate if rng.random() < 0.2)),
            silence=rng.choice(("nothing", "nothing", "abstain", "reject", "accept")),
        )
        if not check(rule, electorate, options):
            break
    deadline_at = None if rng.random() < 0.25 else now + rng.uniform(*DEADLINES_S)
    return CreateDecision(
        id=name, question="Ship it?", electorate=electorate, options=options, rule=rule, deadline_at=deadline_at
    )


def _second_thoughts(rng: random.Random, made: CreateDecision, opened_at: float) -> list[tuple[float, OfDecision]]:
    """Let an opener withdraw, or open once more what is open."""
    late = opened_at + rng.uniform(0.0, VOTES_S)
    draw = rng.random()
    if draw < 0.1:
        return [(late, CancelDecision(id=made.id))]
    return [(late, made)] if draw < 0.2 else []


def _draw_ballots(
    rng: random.Random, made: CreateDecision, opened_at: float
) -> list[list[tuple[float, OfDecision]]]:  # fmt: skip
    """Draw what one voter does, for each of its processes: nothing, a ballot, the same again, or another one."""
    if rng.random() < 0.15:
        return []
    choices = (*made.options, *made.options, "reject", "abstain", "perhaps")
    weights = [2.0] * (2 * len(made.options)) + [1.0, 0.7, 0.1]
    first = CastBallot(id=made.id, choice=rng.choices(choices, weights)[0])
    other = msgspec.structs.replace(first, choice=rng.choices(choices, weights)[0], reason=rng.choice(("", "no")))
    at = opened_at + rng.choice((2.0, VOTES_S)) * rng.random()
    again = at + rng.choice((1.0, VOTES_S)) * rng.random()
    draw = rng.random()
    if draw < 0.2:
        return [[(at, first), (again, rng.choice((first, other)))]]
    return [[(at, first)], [(again, rng.choice((first, other)))]] if draw < 0.4 else [[(at, first)]]
