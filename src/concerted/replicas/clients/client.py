"""A client of a group: it finds who leads, and asks until it is answered or its time is over.

    group = GroupClient(description)
    result = await group.do(command, agent="ann", timeout_s=30)

Each command has a number in the client's session.  Asked again, of whichever replica, it counts once; so a command
whose answer was lost is simply asked again.

Source: Ongaro's thesis 2014, chapter 6.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from concerted.consensus.keeping import tolerates
from concerted.consensus.quorum import NodeId
from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.errors import TimedOut, Unreachable, from_wire
from concerted.ports.primitive import Ask
from concerted.replicas.clients.lines import Lines
from concerted.replicas.given import Given
from concerted.replicas.kept import AGREEMENT, KeptEvent, Outcome
from concerted.replicas.spec import Group
from concerted.replicas.status import Status
from concerted.replicas.wire import Change, Told, Verb

__all__ = ["GroupClient"]

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.2


class GroupClient:
    """A group's client, until `close`.  It may ask many things at once."""

    def __init__(self, group: Group, name: str = "client") -> None:
        self.group = group
        self.name = name
        self._lines = Lines(group)
        self._order = sorted(group.replicas)
        self._leader: NodeId = self._order[0]
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._closed = False

    async def do(
        self, command: Ask, *, agent: str | None = None, is_admin: bool = False, copied: int = 0, timeout_s: float
    ) -> Any:  # fmt: skip
        """Have a command put into the group's log and carried out, once; return its result.

        copied: the coordinator, which asks, has so many events of the object in its own log.

        Raises:
            ConcertedError: it is refused.  Unreachable: the client was closed.  TimedOut: no answer in time; whether it
                was done is learned by asking again.
        """
        body = self._given(command, agent, is_admin, copied)
        try:
            async with asyncio.timeout(timeout_s):
                if self.group.algorithm == "paxos" and command.kind == AGREEMENT:  # no leader is needed
                    return self._result(command, _outcome.decode((await self._ask_anybody("agree", body)).body))
                return self._result(command, await self._put(body))
        except TimeoutError:
            raise self._too_late(timeout_s) from None

    async def read(self, command: Ask, *, agent: str | None = None, timeout_s: float) -> Any:
        """Look at what the group keeps, as everybody who was answered before has left it.

        Raises:
            ConcertedError: there is no such thing.  TimedOut: no answer in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                told = await self._ask_leader("read", self._given(command, agent, False))
        except TimeoutError:
            raise self._too_late(timeout_s) from None
        return self._result(command, _outcome.decode(told.body))

    async def wait(self, command: Ask, *, agent: str | None = None, timeout_s: float) -> Any:
        """Wait until what a command asks about is not pending any more; return how it is then.

        Raises:
            ConcertedError: there is no such thing.  TimedOut: it is pending still.
        """
        body = self._given(command, agent, False)
        try:
            async with asyncio.timeout(timeout_s):
                told = await self._ask_leader("read", body)
                result = self._result(command, _outcome.decode(told.body))
                if result.pending:
                    told = await self._ask_anybody("wait", body)
                    result = self._result(command, _outcome.decode(told.body))
                return result
        except TimeoutError:
            raise self._too_late(timeout_s) from None

    async def history(self, stream: str, after: int, *, timeout_s: float) -> list[KeptEvent]:
        """Return the events of an object after number `after`, as whoever leads knows them now.

        Raises:
            TimedOut: no answer in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                if self.group.algorithm == "paxos" and stream.startswith(f"{AGREEMENT}:"):
                    return await self._agreed_events(stream, after)
                told = await self._ask_leader("history", stream.encode(), after)
        except TimeoutError:
            raise self._too_late(timeout_s) from None
        return _events.decode(told.body)

    async def _agreed_events(self, stream: str, after: int) -> list[KeptEvent]:
        """Return what any replica knows of an agreement that was reached outside the log; all that know it agree."""
        for node in [self._leader, *(each for each in self._order if each != self._leader)]:
            told = await self._ask(node, "history", stream.encode(), after)
            found = _events.decode(told.body) if told is not None and told.status == "ok" else []
            if found:
                return found
        return []

    async def events(self, stream: str, after: int, *, timeout_s: float) -> list[KeptEvent]:
        """Return the events of an object, named `KIND:ID`, after number `after`, as soon as there are any.

        Raises:
            TimedOut: there are none yet.
        """
        try:
            async with asyncio.timeout(timeout_s):
                told = await self._ask_anybody("events", stream.encode(), after)
        except TimeoutError:
            raise self._too_late(timeout_s) from None
        return _events.decode(told.body)

    async def status(self, node: NodeId, *, timeout_s: float) -> Status:
        """Return how one replica stands.

        Raises:
            TimedOut: it does not answer.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    told = await self._ask(node, "status", b"")
                    if told is not None:
                        return _status.decode(told.body)
                    await asyncio.sleep(LONGEST_PAUSE_S)
        except TimeoutError:
            raise self._too_late(timeout_s) from None

    async def change_members(self, voters: Sequence[NodeId], learners: Sequence[NodeId], *, timeout_s: float) -> None:
        """Have whoever leads begin to make these the members; `status` tells when that is done.

        Raises:
            Invalid: this cannot be.  TimedOut: no answer in time; or a learner that is to vote lacks too much still.
        """
        try:
            async with asyncio.timeout(timeout_s):
                told = await self._ask_leader("change", _pack(Change(tuple(voters), tuple(learners))))
        except TimeoutError:
            raise self._too_late(timeout_s) from None
        outcome = _outcome.decode(told.body)
        if outcome.error is not None:
            raise from_wire(outcome.error)

    def learn(self, group: Group) -> None:
        """Take a newer description of the same group: its members have changed."""
        assert group.id == self.group.id, f"a description of {group.id} for a client of {self.group.id}"
        self.group = group
        self._order = sorted(group.replicas)
        if self._leader not in group.replicas:
            self._leader = self._order[0]
        self._lines.learn(group)

    async def close(self) -> None:
        """Hang up; who still waits is told so, and whether that was done is not known."""
        self._closed = True
        opening = self._opening
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        await self._lines.close()

    # One command

    async def _put(self, body: bytes) -> Outcome:
        while True:
            session = self._session or await self._open_session()
            number = session.begin()
            try:
                command = Command(session.id, number, body, session.answered)
                answer = _answer.decode((await self._ask_leader("propose", command.encode())).body)
            finally:
                session.end(number)
            if answer.status == "done":
                return _outcome.decode(answer.result)
            if answer.status == "overloaded":  # others of ours wait for so long that their results stand there still
                await asyncio.sleep(LONGEST_PAUSE_S)
            elif session is self._session:  # expired: what groups keep is asked for again without harm
                self._session = None

    async def _open_session(self) -> Session:
        """Return the session that all who wait for one will have."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Session:
        try:
            command = Command(OPEN, secrets.randbits(62) + 1).encode()
            told = await self._ask_leader("propose", command)
            self._session = Session(_answer.decode(told.body).session)
            return self._session
        finally:
            self._opening = None

    def _given(self, command: Ask, agent: str | None, is_admin: bool, copied: int = 0) -> bytes:
        return _pack(Given(_json(command), agent or self.name, is_admin, copied))

    def _result(self, command: Ask, outcome: Outcome) -> Any:
        if outcome.error is not None:
            raise from_wire(outcome.error)
        return msgspec.json.decode(outcome.ok, type=command.result)

    def _too_late(self, timeout_s: float) -> TimedOut:
        count = self.group.members_count
        enough = count - tolerates(self.group.algorithm, count)
        return TimedOut(
            f"group {self.group.id} has not answered within {timeout_s:g} s; {enough} of its {count} replicas must "
            "be up and see each other; ask again, it counts once"
        )

    # Whom to ask

    async def _ask_leader(self, verb: Verb, body: bytes, after: int = 0) -> Told:
        """Ask whoever leads, wherever that is, until there is an answer."""
        pause_s, is_sent_on = FIRST_PAUSE_S, False
        while True:
            asked = self._leader
            told = await self._ask(asked, verb, body, after)
            if told is not None and told.status == "ok":
                return told
            if told is not None and told.leader and told.leader not in self._order:
                await self._learn_from(asked)
            if told is not None and told.status == "not_leader" and told.leader in self._order and told.leader != asked:
                self._leader = told.leader
                if not is_sent_on:  # at once; but two that name each other are not asked without a pause
                    is_sent_on = True
                    continue
            elif asked == self._leader and (told is None or told.status == "not_leader"):
                self._leader = next((node for node in self._order if node > asked), self._order[0])
            is_sent_on = False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _learn_from(self, node: NodeId) -> None:
        """Learn who the members are, from one who knows of a leader that we do not know."""
        told = await self._ask(node, "status", b"")
        if told is None or told.status != "ok":
            return
        status = _status.decode(told.body)
        members = {each: status.addresses[each] for each in status.voters if each in status.addresses}
        if status.group == self.group.id and members:
            self.learn(msgspec.structs.replace(self.group, replicas=members, joining=()))

    async def _ask_anybody(self, verb: Verb, body: bytes, after: int = 0) -> Told:
        """Ask one replica after the other until there is an answer; one that is cut off may never have one."""
        for node in itertools.cycle([self._leader, *(each for each in self._order if each != self._leader)]):
            told = await self._ask(node, verb, body, after)
            if told is not None and told.status == "ok":
                return told
            await asyncio.sleep(FIRST_PAUSE_S)
        raise AssertionError("a cycle has no end")

    async def _ask(self, node: NodeId, verb: Verb, body: bytes, after: int = 0) -> Told | None:
        """Ask one replica; None: it is not there, or has gone, or takes too long."""
        if self._closed:
            raise Unreachable(f"this client of group {self.group.id} is closed; make another one")
        line = await self._lines.to(node)
        return None if line is None else await line.ask(verb, body, self.name, after)


class Session:
    """A client's session: which numbers are in use, and up to which one all is answered, or given up."""

    def __init__(self, id: int) -> None:
        self.id = id
        self._last = 0
        self._open: dict[int, None] = {}  # ascending

    def begin(self) -> int:
        """Return the number of the next command."""
        self._last += 1
        self._open[self._last] = None
        return self._last

    def end(self, number: int) -> None:
        """Take note that nobody waits for this one any more."""
        del self._open[number]

    @property
    def answered(self) -> int:
        """Up to this number nobody waits for anything."""
        return next(iter(self._open), self._last + 1) - 1


_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
_answer = msgspec.msgpack.Decoder(Answer)
_outcome = msgspec.json.Decoder(Outcome)
_status = msgspec.json.Decoder(Status)
_events = msgspec.msgpack.Decoder(list[KeptEvent])
