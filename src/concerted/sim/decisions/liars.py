"""What liars do besides lying about the protocol: they are clients too, and they are asked by others.

Each has the key of its host, and signs with it whatever it likes; honest replicas then order that as any request.
Which kinds of lies it tells is drawn:

    clock         says times that are not so, or none at all, for itself or for others
    impostor      votes, withdraws and lets go for others, or as if its host were an administrator
    thief         uses the sessions of others, or opens one under a number that somebody else has taken
    nonsense      signs what is no command
    slander       tells clients something else than what came of their commands
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from concerted.consensus.pbft.messages import Message, Relay, Request
from concerted.consensus.quorum import NodeId
from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.ports.decisions import CancelDecision, CastBallot, OfDecision
from concerted.replicas.given import Given
from concerted.replicas.protocols.entering import Proposed
from concerted.replicas.protocols.pbft import client_of
from concerted.sim.pbft.liars import Liar
from concerted.values import AgentId

__all__ = ["KINDS", "Slanderer"]

KINDS = ("clock", "impostor", "thief", "nonsense", "slander")
FAR_S = 200.0  # how far from the truth a time is that might be true

Wanted = Sequence[tuple[AgentId, OfDecision]]


@dataclass(slots=True, kw_only=True)
class Slanderer:
    """One replica that lies, and its host.

    kinds: how it lies about decisions.  nodes: whom it can tell something.  sign: have the host of a replica sign.
    wanted: who wants what, of all that others want.  now: what a clock that is right says.
    """

    liar: Liar
    kinds: Sequence[str]
    rng: random.Random
    nodes: Sequence[NodeId]
    post: Callable[[Message], None]
    sign: Callable[[str, bytes], Request]
    wanted: Callable[[], Wanted]
    now: Callable[[], float]
    _own: list[int] = field(default_factory=list)
    _others: list[tuple[int, int]] = field(default_factory=list)  # (session, number) of what others have asked
    _numbers: int = 0

    def receive(self, message: Message) -> None:
        """Hear something."""
        self.liar.receive(message)

    def go_on(self, now: float) -> None:
        """Carry out what is due."""
        self.liar.go_on(now)

    def scheme(self) -> None:
        """Do something that nobody has asked for."""
        self.liar.scheme()
        acts = {
            "clock": self._say_time,
            "impostor": self._speak_for_others,
            "thief": self._steal,
            "nonsense": self._talk_nonsense,
        }
        mine = [act for kind, act in acts.items() if kind in self.kinds]
        if mine:
            request = self.sign(client_of(self.liar.id), self.rng.choice(mine)())
            for node in self.nodes:
                if node != self.liar.id and self.rng.random() < 0.7:
                    self.post(Message(node, self.liar.id, Relay((request,))))

    def told(self, answer: Answer) -> Answer:
        """Return what a client is told in the place of an answer."""
        if answer.owner:
            self._own += [answer.session] if answer.owner == client_of(self.liar.id) else []
        else:
            self._others.append((answer.session, answer.number))
        if "slander" not in self.kinds or self.rng.random() < 0.3:
            return answer
        if answer.status == "opened":
            return msgspec.structs.replace(answer, session=answer.session + 1)
        other = answer.result.replace(b'"accepted"', b'"rejected"').replace(b'"voting"', b'"accepted"')
        return msgspec.structs.replace(answer, result=other if other != answer.result else b"{}")

    # What its host signs

    def _say_time(self) -> bytes:
        rng = self.rng
        near = self.now() + rng.uniform(-FAR_S, FAR_S)
        at = rng.choice((math.nan, math.inf, -math.inf, 1e300, 0.0, near, near))
        by = rng.choice((self.liar.id, self.liar.id, *self.nodes))
        return _pack(Proposed(at, by, term=rng.choice((0, 3, 2**62))))

    def _speak_for_others(self) -> bytes:
        rng = self.rng
        agent, wanted = rng.choice(self.wanted())
        given = Given(_json(rng.choice((wanted, CancelDecision(id=wanted.id)))), agent)
        match rng.choice(("as it is", "admin", "copied", "ballot")):
            case "admin":
                given = msgspec.structs.replace(given, agent=client_of(self.liar.id), is_admin=True)
            case "copied":
                given = msgspec.structs.replace(given, agent=client_of(self.liar.id), is_admin=True, copied=1000)
            case "ballot":
                choice = rng.choice(("accept", "reject", "abstain"))
                given = msgspec.structs.replace(given, command=_json(CastBallot(id=wanted.id, choice=choice)))
        if not self._own:
            return self._in_session(OPEN, rng.randrange(1, 100))
        self._numbers += 1
        return self._in_session(rng.choice(self._own), self._numbers, _pack(given))

    def _steal(self) -> bytes:
        rng = self.rng
        if not self._others or rng.random() < 0.3:
            return self._in_session(OPEN, rng.randrange(1, 20))
        session, number = rng.choice(self._others)
        number += rng.choice((0, 1, 1, 2, 3))
        return self._in_session(session, number, b"", rng.choice((0, number, 2**40)))

    def _talk_nonsense(self) -> bytes:
        rng = self.rng
        garbage = rng.choice((b"", b"garbage", b"\xc1", b"\x91"))
        inner = self._in_session(rng.choice(self._own or [OPEN]), 2**31 + rng.randrange(100), garbage)
        return rng.choice((garbage, _pack(Proposed(self.now(), 0, garbage or b"!")), inner))

    def _in_session(self, session: int, number: int, body: bytes = b"", answered: int = 0) -> bytes:
        return _pack(Proposed(self.now(), self.liar.id, Command(session, number, body, answered).encode()))


_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
