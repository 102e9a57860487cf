"""One flush in the making, on our side: what each of its writes comes to if the server is as they assume.

A write says on what it is based: an epoch, the length of a stream, until when something is held.  Instead of
asking for these first, under a lock, it is assumed that they hold.  The writes are gone through in order, each
on what those before it come to; what cannot follow from that is assumed of the server, and tested by it.  If it
is otherwise there, nothing is written, the server says what is the case, and the draft is made anew with that:
each time at least one write is found to be refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from concerted.ports.store import Fenced, Renewal, Row, RunRecord, Stale
from concerted.stores.commit import LARGE_BYTES, Answer, Prepared, merge
from concerted.stores.postgres.changes import Amendment, amendment
from concerted.stores.postgres.text import numbers, texts
from concerted.stores.projections import Change
from concerted.values import encode

__all__ = ["Draft", "Facts"]

TOLD_STREAMS = 8  # named in a notice; if it is about more, who hears it looks for itself
TOLD_CHARACTERS = 1_000
UNKNOWN = -1  # assumed of an epoch or a length that must be known: the server will say that it is another

Key = tuple[str, str]  # a stream, and what is held of it


class Facts:
    """What the server has said: it may be more by now, but never less."""

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self.lengths: dict[str, int] = {}
        self.untils: dict[Key, float] = {}

    def learn(self, wrong: Sequence[tuple[str, str, str, float]]) -> None:
        """Take in what was assumed wrongly: which sort of thing, its name, its key, its value."""
        for sort, name, key, value in wrong:
            if sort == "epoch":
                self.epochs[name] = int(value)
            elif sort == "length":
                self.lengths[name] = int(value)
            else:
                self.untils[name, key] = value


class Draft:
    """The writes of one flush.  rows: how many they have.  is_open: whether the server has to say anything to it."""

    def __init__(self, facts: Facts) -> None:
        self.rows = 0
        self.is_open = False
        self._facts = facts
        self._seen_epochs: dict[str, int] = {}
        self._seen_lengths: dict[str, int] = {}
        self._seen_untils: dict[Key, float] = {}
        self._epochs: dict[str, int] = {}  # as the writes leave them
        self._untils: dict[Key, float | None] = {}
        self._grown: dict[str, list[int]] = {}  # stream -> its place among these, how many rows
        self._rows: list[tuple[Any, ...]] = []
        self._blobs: dict[str, str] = {}
        self._changes: list[Change] = []
        self._born: list[str] = []

    def place(self, prepared: Prepared) -> Answer:
        """Take a write in and return how many rows there are now, or say why it is refused."""
        write, changes, epochs, _ = prepared
        if write.run is not None and (epoch := self._epoch(write.run, write.epoch)) != write.epoch:
            return Fenced(write.run, epoch)
        if write.creates is not None and (epoch := self._epoch(write.creates, 0)):
            return Fenced(write.creates, epoch)
        for stream, expected in write.after.items():
            if (length := self._length(stream, expected)) != expected:
                return Stale(stream, length)
        if write.holds or write.drops:
            for drop in write.drops:
                if not self._may_drop(drop):
                    return Stale(drop.stream, self._length(drop.stream, None))
            self._untils.update({(drop.stream, drop.key): None for drop in write.drops})
            self._untils.update({(hold.stream, hold.key): hold.until for hold in write.holds})
        self._changes += prepared.changes_after(self.rows)  # the server adds the number before the first row
        for row in write.rows:
            self._add(row)
        for run, epoch, is_new in epochs:
            if is_new or self._epoch(run, None):
                self._epochs[run] = epoch
        self._born += [change.key[0] for change in changes if change.whole and change.table is RunRecord]
        self.is_open = True
        return self.rows

    def arguments(self, node: str | None) -> list[str | None]:
        """Return what `flush` is called with."""
        amended: Amendment = amendment(merge(self._changes))
        dropped = [key for key, until in self._untils.items() if until is None]
        held = {key: until for key, until in self._untils.items() if until is not None}
        columns = zip(*self._rows, strict=True) if self._rows else [()] * 10
        streams, places, numbers_, ats, kinds, agents, refs, data, hashes, lamports = columns
        return [
            texts([*self._seen_epochs]), numbers([*self._seen_epochs.values()]),
            texts([*self._seen_lengths]), numbers([*self._seen_lengths.values()]),
            *_keys(self._seen_untils), numbers([*self._seen_untils.values()]),
            *_keys(dropped),
            *_keys(held), numbers([*held.values()]),
            texts([*self._grown]), numbers([count for _, count in self._grown.values()]),
            texts(streams), numbers(places), numbers(numbers_), numbers(ats), texts(kinds), texts(agents),
            texts(refs), texts(data), texts(hashes), numbers(lamports),
            texts([*self._blobs]), texts([*self._blobs.values()]),
            texts(amended.statements), texts(amended.values), numbers(amended.offsets),
            texts(self._born), node, self._told(),
        ]  # fmt: skip

    def _epoch(self, run: str, expected: int | None) -> int:
        """Return the run's epoch after the writes so far; expected: what it should be, None to ask."""
        known = self._epochs.get(run)
        if known is None:
            known = self._seen_epochs.get(run)
        if known is None:
            known = self._facts.epochs.get(run)
            if known is None:
                known = self._seen_epochs[run] = UNKNOWN if expected is None else expected
                self.is_open = True
            elif known == expected:
                self._seen_epochs[run] = known
        return known

    def _length(self, stream: str, expected: int | None) -> int:
        """Return how long the stream is after the writes so far; expected: what it should be, None to ask."""
        grown = self._grown[stream][1] if stream in self._grown else 0
        base = self._seen_lengths.get(stream)
        if base is None:
            base = self._facts.lengths.get(stream)
            if base is None:
                base = UNKNOWN if expected is None else expected - grown
                self._seen_lengths[stream] = base
                self.is_open = True
            elif base + grown == expected:
                self._seen_lengths[stream] = base
        return base + grown

    def _may_drop(self, drop: Renewal) -> bool:
        key = drop.stream, drop.key
        if key in self._untils:
            until = self._untils[key]
            return until is None or until <= drop.until
        if self._facts.untils.get(key, drop.until) > drop.until:
            return False
        self._seen_untils[key] = min(drop.until, self._seen_untils.get(key, drop.until))
        return True

    def _add(self, row: Row) -> None:
        grown = self._grown.get(row.stream)
        if grown is None:
            grown = self._grown[row.stream] = [len(self._grown) + 1, 0]
        grown[1] += 1
        self.rows += 1
        data: str | None
        name: str | None
        if len(row.data) <= LARGE_BYTES:
            data, name = row.data.decode(), None
        else:
            data, name = None, hashlib.blake2b(row.data, digest_size=32).hexdigest()
            self._blobs[name] = row.data.decode()
        self._rows.append(
            (row.stream, *grown, float(row.at), row.kind, row.agent, row.ref, data, name, row.lamport)
        )  # fmt: skip

    def _told(self) -> str:
        """Say which streams have grown, if they are few."""
        if len(self._grown) > TOLD_STREAMS:
            return ""
        told = f" {encode([*self._grown]).decode()}"
        return told if len(told) <= TOLD_CHARACTERS else ""


def _keys(keys: Sequence[Key] | dict[Key, float]) -> tuple[str, str]:
    return texts([stream for stream, _ in keys]), texts([key for _, key in keys])
