"""Sessions, by which a command that is proposed twice is carried out once (thesis 6.3; paper, section 8).

    (asked) --OPEN is applied--> open --too many others were used since--> expired

A client whose answer is lost proposes its command again, perhaps to another leader, and both entries may be committed.
So each command has the client's session and a number, and the state machine keeps the results: a repeat is answered
from there.  The table is part of the state machine: it follows from the log alone and goes into snapshots.

Source: Ongaro's thesis 2014, section 6.3; Ongaro & Ousterhout 2014, section 8.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from concerted.consensus.entries import Entry

__all__ = ["Answer", "Command", "Sessions"]

SESSIONS = 10_000  # kept; beyond that, the one that was used longest ago expires
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
    has said that it has the answer.
    """

    status: str
    session: int
    number: int
    result: bytes = b""


class Sessions:
    """The results of the newest commands of each client.  limit: how many sessions there may be."""

    def __init__(self, limit: int = SESSIONS) -> None:
        self._limit = limit
        self._results: dict[int, dict[int, bytes]] = {}  # session -> number -> result; used longest ago first
        self._answered: dict[int, int] = {}

    def apply(self, entry: Entry, carry_out: Callable[[bytes], bytes]) -> Answer | None:
        """Carry out the command of a committed entry, unless that was done before; None if it has none."""
        if entry.command is None:
            return None
        command = _decoder.decode(entry.command)
        if command.session == OPEN:
            return self._open(entry.index, command.number)
        results = self._results.pop(command.session, None)
        if results is None:
            return Answer("expired", command.session, command.number)
        self._results[command.session] = results  # now the last, as the one used most recently
        self._forget(command, results)
        if command.number <= self._answered[command.session]:
            return Answer("forgotten", command.session, command.number)
        if command.number not in results:
            results[command.number] = carry_out(command.body)
        return Answer("done", command.session, command.number, results[command.number])

    def dump(self) -> bytes:
        """Return all there is, for a snapshot."""
        return _encoder.encode((self._limit, list(self._results.items()), self._answered))

    @classmethod
    def load(cls, data: bytes) -> Sessions:
        """Read what `dump` has written."""
        sessions = cls()
        sessions._limit, results, sessions._answered = _table.decode(data)
        sessions._results = dict(results)
        return sessions

    def _open(self, index: int, number: int) -> Answer:
        """Open a session; its id is the index of the entry, so no two are alike."""
        self._results[index] = {}
        self._answered[index] = 0
        if len(self._results) > self._limit:
            oldest = next(iter(self._results))
            del self._results[oldest], self._answered[oldest]
        return Answer("opened", index, number)

    def _forget(self, command: Command, results: dict[int, bytes]) -> None:
        before = self._answered[command.session]
        if command.answered > before:
            self._answered[command.session] = command.answered
            if command.answered - before > len(results):  # a number that is far off costs no more than what is kept
                for number in [number for number in results if number <= command.answered]:
                    del results[number]
            else:
                for number in range(before + 1, command.answered + 1):
                    results.pop(number, None)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Command)
_table = msgspec.msgpack.Decoder(tuple[int, list[tuple[int, dict[int, bytes]]], dict[int, int]])
