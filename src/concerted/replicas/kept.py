"""What a group keeps: decisions, agreements and logs, each a machine of its own, behind the sessions of clients.

    entry of the log = Proposed(at, by, command of a session = Given(agent, command), term)

It is the state machine of all replicas: everything here follows from the entries, in their order, and from nothing
else.  Time is an entry too: each says when its proposer has proposed it, and the group's time is the latest that was
said, so a deadline passes at one and the same entry everywhere.  Where replicas may lie, it is what f + 1 of them have
said, at least one of whom is honest.  So is the term (of Paxos the round of ballots, of PBFT the view), which is in the
data of each event.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from concerted.consensus.agreement import Propose
from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.keeping import BOUNDS, Bounds, Replicated
from concerted.consensus.quorum import NodeId
from concerted.consensus.sessions import Answer, Sessions
from concerted.errors import ConcertedError, Invalid, NotAllowed, NotFound
from concerted.machine import UNWRITABLE, Event, Look, Machine, Result, Send, Wake
from concerted.ports.primitive import Ask, Caller
from concerted.replicas.given import MACHINES, Given, read_given, stream_of
from concerted.replicas.past import Past
from concerted.replicas.protocols.entering import Entering, Proposed
from concerted.values import AgentId, Instant

__all__ = ["AGREEMENT", "Kept", "KeptEvent", "Outcome"]

AGREEMENT = "agreement"
LEADERLESS = "paxos agrees on a value without a leader and without a log: propose one; there is nothing to open"
GROWING = (".created", ".appended")  # ends the kinds of events that begin something, or make a log longer


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it.  index: of the entry that did it.  ok: the result; error: as `ConcertedError.to_wire`."""

    index: int
    term: int
    ok: msgspec.Raw = msgspec.Raw()
    error: dict[str, Any] | None = None


class KeptEvent(msgspec.Struct, frozen=True, array_like=True):
    """One event of one object.  index: of the entry by which it happened.  sends: the messages that it has caused."""

    index: int
    at: Instant
    kind: str
    agent: str | None
    ref: str | None
    data: dict[str, Any]
    sends: tuple[Send, ...] = ()


@dataclass(slots=True, eq=False)
class Thing:
    """One object.  events: all there were; its state follows from them.  size_bytes: what they take.

    packed: all of it for a snapshot, once it is over and changes no more.
    """

    machine: Machine[Any]
    state: Any = None
    wake_at: Instant | None = None
    events: list[KeptEvent] = field(default_factory=list)
    size_bytes: int = 0
    packed: msgspec.Raw | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen to it any more."""
        return bool(getattr(self.state, "is_over", False))

    def take(self, state: Any, events: list[KeptEvent]) -> int:
        """Take over what has happened, and what it has come to; return how many bytes it takes."""
        size = sum(len(_pack.encode(each)) for each in events)
        self.state = state
        self.events += events
        self.size_bytes += size
        return size


class Kept:
    """All of it.

    algorithm: how the log is kept.  honest: how many replicas must have said a time; 1 where none lies.  bounds: of
    what is kept; where they are reached nothing new is taken, and what is there goes on.

    index: the last entry that was applied.  now: the group's time; term: the newest that was said.
    touched: the objects that the last entry changed; settled: those of them for which somebody's wait may be over.
    """

    def __init__(
        self, algorithm: Replicated = "raft", honest: int = 1, entering: Entering = Entering(0),  # noqa: B008 -- frozen
        bounds: Bounds = BOUNDS,
    ) -> None:  # fmt: skip
        self.algorithm: Replicated = algorithm
        self.honest = honest
        self._entering = entering
        self._only_for: AgentId | None = None  # the agent for whom the entry at hand may speak
        self.index = 0
        self.term = 0
        self.now: Instant = 0.0
        self.touched: list[str] = []
        self.settled: list[str] = []
        self.size_bytes = 0
        self.sessions = Sessions()
        self._bounds = bounds
        self._past = Past(bounds)
        self._said: dict[NodeId, tuple[Instant, int]] = {}  # by each proposer: the latest time and term
        self._things: dict[str, Thing] = {}
        self._wakes: dict[str, Instant] = {}  # object -> when the time should be said to it
        self._agreed: dict[str, Thing] = {}  # agreements that were reached outside the log, as the synod tells

    # Entries

    def apply(self, entry: Entry) -> Answer | None:
        """Apply the next entry; return what its client is told."""
        assert entry.index == self.index + 1, f"entry {entry.index} is applied after {self.index}"
        self.index = entry.index
        self.touched, self.settled = [], []
        if entry.command is None:
            return None
        entered = self._entering.unwrap(entry.command)
        proposed, self._only_for = entered.proposed, entered.only_for
        if entered.says_time:
            self._hear(proposed)
        for stream in self._past.due(self.now):
            self._let_go(stream)
        if not proposed.command:
            self._wake_due()
            return None
        return self.sessions.apply(Entry(entry.index, entry.term, proposed.command), self._carry_out, self._only_for)

    def next_wake(self) -> Instant | None:
        """Return when the time should be said, if anything waits for it."""
        return min(self._wakes.values(), default=None)

    def _hear(self, proposed: Proposed) -> None:
        """Take over a time and a term, once so many have said them that one of these is honest."""
        if self.honest == 1:
            self.now, self.term = max(self.now, proposed.at), max(self.term, proposed.term)
            return
        said = self._said
        at, term = said.get(proposed.by, (0.0, 0))
        said[proposed.by] = (max(proposed.at, at), max(proposed.term, term))
        if len(said) >= self.honest:
            self.now = sorted((at for at, _ in said.values()), reverse=True)[self.honest - 1]
            self.term = sorted((term for _, term in said.values()), reverse=True)[self.honest - 1]

    def _wake_due(self) -> None:
        for stream in sorted(stream for stream, at in self._wakes.items() if at <= self.now):
            self._decide(stream, self._things[stream], Wake())

    def _carry_out(self, body: bytes) -> bytes:
        """Do what a client wants; the same on every replica, refusals included."""
        try:
            given, command = read_given(body)
            if self._only_for is not None:
                given = _speaking(given, self._only_for)
            if self.algorithm == "paxos" and command.kind == AGREEMENT:
                raise Invalid(LEADERLESS)
            stream = stream_of(command)
            self._past.require_here(stream)
            thing = self._things.get(stream) or Thing(machine_of(command.kind))
            if given.copied:
                self._release(stream, given)
            request = command.request(self._caller(given))
            if command.attaches and thing.state is not None:
                request = Look()
            self._decide(stream, thing, request, is_bounded=True)
            result = thing.machine.answer(thing.state, request, self.now)
            return _encode(Outcome(self.index, self.term, ok=msgspec.Raw(_encode(result))))
        except ConcertedError as error:
            return _encode(Outcome(self.index, self.term, error=error.to_wire()))
        except UNWRITABLE as error:
            wrong = Invalid(f"what was given has no JSON form and cannot be kept: {error}")
            return _encode(Outcome(self.index, self.term, error=wrong.to_wire()))

    def _decide(self, stream: str, thing: Thing, request: Any, *, is_bounded: bool = False) -> None:
        """Let a machine decide, and take over what it decides; a refusal changes nothing.

        Raises:
            ConcertedError: the machine refuses, or there is no room for what is new.
        """
        step = thing.machine.decide(thing.state, request, self.now)
        if is_bounded and any(event.kind.endswith(GROWING) for event in step.events):
            self._past.require_room(len(self._things), self.size_bytes, opens=thing.state is None)
        if not step.events:
            if thing.state is not None:
                _set_wake(self._wakes, stream, thing, step.wake_at)
            return
        state = thing.state
        kept = [_kept(_said_in(event, self.term), self.index, self.now) for event in step.events]
        events = [_event(each) for each in kept]  # as a snapshot has them: who restores one is to be in the same state
        for event in events:
            state = thing.machine.evolve(state, event, self.now)
        if step.sends:
            kept[-1] = msgspec.structs.replace(kept[-1], sends=step.sends)
        self.size_bytes += thing.take(state, kept)
        self._things[stream] = thing
        self.touched.append(stream)
        if any(True for event in events for _ in thing.machine.wakes(event)):
            self.settled.append(stream)
        _set_wake(self._wakes, stream, thing, step.wake_at)

    def _release(self, stream: str, given: Given) -> None:
        """Take note of how far the coordinator has copied something; what is over, and copied in whole, leaves in time.

        Raises:
            NotAllowed: somebody else says so.
        """
        if not given.is_admin:
            raise NotAllowed(f"{given.agent} may not let go of {stream}; the coordinator does, when it has all of it")
        thing = self._things.get(stream)
        if thing is not None and thing.is_over and given.copied >= len(thing.events):
            self._past.release(stream, self.now)

    def _let_go(self, stream: str) -> None:
        thing = self._things.pop(stream)
        self.size_bytes -= thing.size_bytes
        self._past.leave(stream, thing.state.status, [_pack.encode(each) for each in thing.events], self.now)
        self.touched.append(stream)
        self.settled.append(stream)

    def _caller(self, given: Given) -> Caller:
        return Caller(AgentId(given.agent), given.is_admin, self.now, kept_by=self.algorithm)

    # Looking

    def look(self, body: bytes) -> tuple[Result, str]:
        """Answer a command that changes nothing; return the answer and which object it is about.

        Raises:
            ConcertedError: there is no such thing any more, or never was, or the command is none.
        """
        given, command = read_given(body)
        stream = stream_of(command)
        self._past.require_here(stream)
        thing = self._things.get(stream) or self._agreed.get(stream)
        if thing is None:
            raise NotFound(f"this group keeps no {command.kind} {command.id}", id=command.id)
        return thing.machine.answer(thing.state, command.request(self._caller(given)), self.now), stream

    def events(self, stream: str, after: int) -> list[KeptEvent]:
        """Return an object's events from number `after` + 1 on; the first is number 1."""
        thing = self._things.get(stream) or self._agreed.get(stream)
        return [] if thing is None else thing.events[after:]

    def streams(self) -> Iterator[str]:
        """Yield what there is."""
        return iter(self._things)

    # Agreements outside the log

    def agreed(self, stream: str, value: bytes, rounds: int = 1) -> None:
        """Take note of what was chosen for an agreement: the proposal itself, and when it was made.

        rounds: of ballots that were tried for it, as far as this replica knows.
        """
        self.touched, self.settled = [], []
        if stream not in self._agreed:
            self._agreed[stream] = self._proposed_alone(stream, value, rounds)
            self.touched, self.settled = [stream], [stream]

    def may_be_agreed(self, stream: str, value: bytes) -> bool:
        """Say whether a value may be chosen for an agreement; the same at every replica, at all times."""
        try:
            self._proposed_alone(stream, value)
        except (ConcertedError, msgspec.MsgspecError):
            return False
        return True

    def answer_agreed(self, body: bytes) -> bytes:
        """Return what a proposer is told, once there is a value; before that, what is wrong with the proposal."""
        try:
            given, command = read_given(body)
            request = command.request(self._caller(given))
            thing = self._agreed.get(stream_of(command))
            if thing is None:
                _require_leaderless(command, request)
                machine_of(AGREEMENT).decide(None, request, self.now)
                raise Invalid(f"the proposal for {command.id} was refused; propose another value, or later")
            thing.machine.decide(thing.state, request, self.now)
            result = thing.machine.answer(thing.state, request, self.now)
            return _encode(Outcome(self.index, self.term, ok=msgspec.Raw(_encode(result))))
        except ConcertedError as error:
            return _encode(Outcome(self.index, self.term, error=error.to_wire()))

    def _proposed_alone(self, stream: str, value: bytes, rounds: int = 1) -> Thing:
        """Return the agreement that one proposal comes to.

        Raises:
            ConcertedError: it is none.  msgspec.MsgspecError: nor anything else.
        """
        proposed = self._entering.unwrap(value).proposed
        given, command = read_given(proposed.command)
        request = command.request(self._caller(given))
        _require_leaderless(command, request)
        if stream_of(command) != stream:
            raise Invalid(f"a proposal for {command.id} under the name of {stream}")
        thing = Thing(machine_of(AGREEMENT))
        created, chosen = thing.machine.decide(None, request, proposed.at).events
        for event in (_said_in(created, 1), _said_in(chosen, rounds)):
            thing.state = thing.machine.evolve(thing.state, event, proposed.at)
            thing.events.append(_kept(event, self.index, proposed.at))
        return thing

    # Snapshots

    def dump(self) -> bytes:
        """Return everything, for a snapshot."""
        things = [_packed(stream, thing) for stream, thing in self._things.items()]
        past = self._past.dump()
        return _pack.encode((self.index, self.term, self.now, self._said, self.sessions.dump(), past, things))

    def restore(self, snapshot: Snapshot) -> None:
        """Become what another replica was at a snapshot."""
        index, term, now, said, sessions, past, things = _dumped.decode(snapshot.data)
        assert index == snapshot.index, f"a snapshot of entry {index} under the name {snapshot.index}"
        self.index, self.term, self.now, self._said = index, term, now, said
        self.sessions = Sessions.load(sessions)
        self._past.load(past)
        self._things, self._wakes = {}, {}
        self.size_bytes = 0
        for stream, wake_at, size_bytes, events in things:
            thing = self._things[stream] = _thing(stream, size_bytes, events)
            self.size_bytes += size_bytes
            _set_wake(self._wakes, stream, thing, wake_at)
        self.touched = self.settled = list(self._things)


def _set_wake(wakes: dict[str, Instant], stream: str, thing: Thing, at: Instant | None) -> None:
    thing.wake_at = at
    if at is not None:
        wakes[stream] = at
    else:
        wakes.pop(stream, None)


def _event(kept: KeptEvent) -> Event:
    """Return what was kept as its machine knows it."""
    return Event(kept.kind, None if kept.agent is None else AgentId(kept.agent), kept.ref, kept.data)


def _said_in(event: Event, term: int) -> Event:
    """Return an event with the term in which it has happened."""
    return Event(event.kind, event.agent, event.ref, {**event.data, "term": term})


def _kept(event: Event, index: int, at: Instant) -> KeptEvent:
    data = msgspec.json.decode(_encode(event.data))
    return KeptEvent(index, at, event.kind, event.agent, event.ref, data)


def _speaking(given: Given, only_for: AgentId) -> Given:
    """Return what was given as said by whom it may be said.

    Raises:
        NotAllowed: by somebody else than it names.
    """
    if given.agent != only_for:
        raise NotAllowed(f"{only_for} may not speak for {given.agent} in this group", agent=only_for)
    return msgspec.structs.replace(given, is_admin=False)


def _thing(stream: str, size_bytes: int, events: list[KeptEvent]) -> Thing:
    """Return an object by all that has happened to it."""
    machine, state = machine_of(stream.partition(":")[0]), None
    for each in events:
        state = machine.evolve(state, _event(each), each.at)
    return Thing(machine, state, events=events, size_bytes=size_bytes)


def _packed(stream: str, thing: Thing) -> Any:
    """Return an object for a snapshot; of what is over the bytes are kept, so that the next one costs nothing."""
    if thing.packed is not None:
        return thing.packed
    whole = (stream, thing.wake_at, thing.size_bytes, thing.events)
    if thing.is_over:
        thing.packed = msgspec.Raw(_pack.encode(whole))
        return thing.packed
    return whole


def _require_leaderless(command: Ask, request: Any) -> None:
    """See whether something can be agreed on without a log.

    Raises:
        Invalid: it cannot.
    """
    if not isinstance(request, Propose):
        raise Invalid(LEADERLESS)
    if request.deadline_at is not None:
        raise Invalid(f"agreement {command.id}: without a log no deadline can pass for all; leave it out, or take raft")


def machine_of(kind: str) -> Machine[Any]:
    """Return the machine of a kind of object that groups keep."""
    return cast("Machine[Any]", importlib.import_module(MACHINES[kind]))


_pack = msgspec.msgpack.Encoder()
_encode = msgspec.json.Encoder(order="deterministic").encode
_dumped = msgspec.msgpack.Decoder(
    tuple[
        int,
        int,
        float,
        dict[int, tuple[float, int]],
        bytes,
        bytes,
        list[tuple[str, float | None, int, list[KeptEvent]]],
    ]
)
