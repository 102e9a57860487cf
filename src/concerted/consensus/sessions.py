"""Sessions, by which a command that is proposed twice is carried out once (thesis 6.3; paper, section 8).

    (asked) --OPEN is applied--> open --too many others were used since, or all together keep too much--> expired

A client whose answer is lost proposes its command again, perhaps to another leader, and both entries may be committed.
So each command has the client's session and a number, and the state machine keeps the results: a repeat is answered
from there.  The table is part of the state machine: it follows from the log alone and goes into snapshots.  Where
clients sign, a session serves nobody but its owner, who has opened it.

No result is dropped that its client may still ask for: a session that has too many is not served until it says which
of them have arrived, and what is too much for all goes with the session that was used longest ago.

Source: Ongaro's thesis 2014, section 6.3; Ongaro & Ousterhout 2014, section 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from concerted.consensus.entries import Entry

__all__ = ["Answer", "Command", "Sessions"]

SESSIONS = 10_000  # kept; beyond that, the one that was used longest ago expires
RESULTS = 1_000  # of one session that it has not called answered; beyond that, nothing more is carried out for it
RESULTS_BYTES = 64 << 20  # of all sessions together; beyond that, the one that was used longest ago expires
OPEN = 0  # the session of a command that asks for one


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What clients propose.

    session: the client's, or OPEN to get one.  number: tells its commands apart.  answered: all numbers up to this
    one have been answered, so that their results can be forgotten.
    """

    session: int
    number: int
    body: bytes = b""
    answered: int = 0

    def encode(self) -> bytes:
        """Return the bytes of an entry's command."""
        return _encoder.encode(self)


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of a command.

    opened: `session` is the new session.  done: `result` is what it came to, now or the first time.  expired: there
    is no such session any more, and nobody can tell whether it was carried out before.  forgotten: the client
    has said that it has the answer.  overloaded: it was not carried out, as the session has too many results that its
    client has not called answered.

    owner: whose command it was, where clients sign, but for those who may speak for anybody.
    """

    status: str
    session: int
    number: int
    result: bytes = b""
    owner: str = ""


class Sessions:
    """The results of the newest commands of each client.

    limit: how many sessions there may be.  results_count: how many results of one may wait to be called answered.
    results_bytes: how much all results together may be, but for the newest.
    """

    def __init__(
        self, limit: int = SESSIONS, results_count: int = RESULTS, results_bytes: int = RESULTS_BYTES
    ) -> None:  # fmt: skip
        self._limit = limit
        self._results_count = results_count
        self._results_bytes = results_bytes
        self._results: dict[int, dict[int, bytes]] = {}  # session -> number -> result; used longest ago first
        self._answered: dict[int, int] = {}
        self._owners: dict[int, str] = {}  # of the sessions that have one
        self._size_bytes = 0  # of all results

    def apply(self, entry: Entry, carry_out: Callable[[bytes], bytes], only_for: str | None = None) -> Answer | None:
        """Carry out the command of a committed entry, unless that was done before; None if it has none.

        only_for: who has signed it, where clients sign, unless he may speak for all.  Somebody else's session is none
        for him.
        """
        if entry.command is None:
            return None
        owner = only_for or ""
        command = _decoder.decode(entry.command)
        if command.session == OPEN:
            return self._open(entry.index, command.number, owner)
        is_own = self._owners.get(command.session, "") == owner
        results = self._results.pop(command.session, None) if is_own else None
        if results is None:
            return Answer("expired", command.session, command.number, owner=owner)
        self._results[command.session] = results  # now the last, as the one used most recently
        self._forget(command, results)
        if command.number <= self._answered[command.session]:
            return Answer("forgotten", command.session, command.number, owner=owner)
        if command.number not in results:
            if not self._has_room(results):
                return Answer("overloaded", command.session, command.number, owner=owner)
            result = results[command.number] = carry_out(command.body)
            self._size_bytes += len(result)
        return Answer("done", command.session, command.number, results[command.number], owner)

    def dump(self) -> bytes:
        """Return all there is, for a snapshot."""
        bounds = (self._limit, self._results_count, self._results_bytes)
        return _encoder.encode(_Table(bounds, list(self._results.items()), self._answered, self._owners))

    @classmethod
    def load(cls, data: bytes) -> Sessions:
        """Read what `dump` has written."""
        table = _tables.decode(data)
        sessions = cls(*table.bounds)
        sessions._answered, sessions._owners = table.answered, table.owners
        sessions._results = dict(table.results)
        sessions._size_bytes = sum(len(result) for of in sessions._results.values() for result in of.values())
        return sessions

    def _open(self, index: int, number: int, owner: str) -> Answer:
        """Open a session; its id is the index of the entry, so no two are alike."""
        self._results[index] = {}
        self._answered[index] = 0
        if owner:
            self._owners[index] = owner
        if len(self._results) > self._limit:
            self._expire_oldest()
        return Answer("opened", index, number, owner=owner)

    def _has_room(self, results: dict[int, bytes]) -> bool:
        """Say whether the session that is being used, whose results these are, may have one more."""
        while self._size_bytes >= self._results_bytes and len(self._results) > 1:
            self._expire_oldest()
        return len(results) < self._results_count and self._size_bytes < self._results_bytes

    def _expire_oldest(self) -> None:
        oldest = next(iter(self._results))
        self._size_bytes -= sum(len(result) for result in self._results.pop(oldest).values())
        del self._answered[oldest]
        self._owners.pop(oldest, None)

    def _forget(self, command: Command, results: dict[int, bytes]) -> None:
        before = self._answered[command.session]
        if command.answered > before:
            self._answered[command.session] = command.answered
            numbers: Iterable[int] = range(before + 1, command.answered + 1)
            if command.answered - before > len(results):  # a number that is far off costs no more than what is kept
                numbers = [number for number in results if number <= command.answered]
            for number in numbers:
                self._size_bytes -= len(results.pop(number, b""))


class _Table(msgspec.Struct, frozen=True, array_like=True):
    """All sessions, in a snapshot."""

    bounds: tuple[int, int, int]
    results: list[tuple[int, dict[int, bytes]]]
    answered: dict[int, int]
    owners: dict[int, str] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Command)
_tables = msgspec.msgpack.Decoder(_Table)
