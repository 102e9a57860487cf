"""One commit in the making: rows are checked, fences tested, numbers given; the same for every store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from concerted.errors import Invalid
from concerted.ports.store import Entry, Fenced, Renewal, Row, RunRecord, Stale, Write
from concerted.stores.changes import NUMBERED
from concerted.stores.projections import PROJECTED, Change, project
from concerted.stores.renewals import Renewals

__all__ = [
    "LARGE_BYTES",
    "Answer",
    "Durability",
    "LogRow",
    "Numbering",
    "Prepared",
    "check_renewals",
    "entry_of",
    "merge",
    "prepare",
]

LARGE_BYTES = 64 * 1024  # data above this is kept once, by its hash
DATA_BYTES = 1 << 28  # the largest data of one row: 256 MiB
FAR_S = 1e15  # instants lie between minus and plus this
BIG = 1 << 53  # numbers in rows stay below, so that every reader of JSON reads them as they are
NAME_CHARACTERS = 600  # of a stream, and of a record's key: what every store's index can hold
REMEMBERED = 100_000  # epochs and stream lengths kept in memory before they are read anew
NOT_LONGER = f"at most {NAME_CHARACTERS} characters"

# seq, stream, stream_seq, at, kind, agent, ref, data, lamport
LogRow = tuple[int, str, int, float, str, str | None, str | None, bytes, int]
Answer = int | Fenced | Stale
Durability = Literal["full", "normal", "off"]

_is_json = msgspec.json.Decoder().decode


class Prepared(NamedTuple):
    """A write that has been checked, with what it will change.

    epochs: which runs it leaves under which epoch, and whether it creates them; else it leaves only those
    that there are.  numbered: whether changes hold the place of their row in this write, where its number belongs.
    """

    write: Write
    changes: list[Change]
    epochs: list[tuple[str, int, bool]]
    numbered: bool = False

    def changes_after(self, base: int) -> list[Change]:
        """Return what it changes if its rows come after the number `base`."""
        return [_after(change, base) for change in self.changes] if self.numbered else self.changes


def prepare(write: Write) -> Prepared:
    """Check a write and derive what it changes, before anybody waits for it.

    Raises:
        Invalid: some row is not one that can be kept and read back; nothing was done.
    """
    changes: list[Change] = []
    epochs: list[tuple[str, int, bool]] = []
    created: set[str] = set()  # a write under a run's fence may create that run's children besides
    numbered = False
    for place, row in enumerate(write.rows, 1):
        _check(row)
        if row.kind not in PROJECTED:
            continue
        for change in project(row):
            changes.append(change)
            if change.whole and change.table in NUMBERED:
                change.columns[NUMBERED[change.table]] = place
                numbered = True
            if len("".join(change.key)) > NAME_CHARACTERS:
                raise Invalid(f"a row of kind {row.kind} in {row.stream[:40]!r} names something too long: {NOT_LONGER}")
            if change.table is RunRecord and "epoch" in change.columns:
                epochs.append((change.key[0], change.columns["epoch"], change.whole))
        if row.kind == "run.created":
            if write.creates is None and write.run is None:
                raise Invalid(f"a row creates {row.stream!r}; the write names neither that run nor its parent")
            created.add(row.stream[4:])
    check_renewals(write.holds)
    check_renewals(write.drops)
    if write.creates is not None and write.creates not in created:
        raise Invalid(f"the write says it creates run {write.creates!r}, but none of its rows is its run.created")
    return Prepared(write, changes, epochs, numbered)


def _after(change: Change, base: int) -> Change:
    column = NUMBERED.get(change.table) if change.whole else None
    return (
        change if column is None else change._replace(columns={**change.columns, column: base + change.columns[column]})
    )


class Numbering:
    """Gives numbers to rows in commit order; knows every run's epoch and every stream's length.

    It is the only one who writes, so what it has once read stays true.  epoch_of: run -> its epoch, 0 if
    there is none.  length_of: stream -> the `stream_seq` of its newest row.  renewals: what is held; holds
    and drops count from when their write is placed, and if it then fails nothing more is written anyway.
    """

    def __init__(
        self, seq: int, epoch_of: Callable[[str], int], length_of: Callable[[str], int], renewals: Renewals
    ) -> None:  # fmt: skip
        self.seq = seq
        self._epoch_of = epoch_of
        self._length_of = length_of
        self._renewals = renewals
        self._epochs: dict[str, int] = {}
        self._lengths: dict[str, int] = {}
        self._rows: list[LogRow] = []
        self._changes: list[Change] = []

    def place(self, prepared: Prepared) -> Answer:
        """Take a write into this commit, or say who has its run, or which stream has grown."""
        write, _, epochs, _ = prepared
        if write.run is not None and (epoch := self.epoch(write.run)) != write.epoch:
            return Fenced(write.run, epoch)
        if write.creates is not None and (epoch := self.epoch(write.creates)):
            return Fenced(write.creates, epoch)
        for stream, expected in write.after.items():
            if (now := self.length(stream)) != expected:
                return Stale(stream, now)
        if write.holds or write.drops:
            renewed = self._renewals.change(write.holds, write.drops)
            if renewed is not None:
                return Stale(renewed, self.length(renewed))
        lengths, rows = self._lengths, self._rows
        seq = self.seq
        for row in write.rows:
            seq += 1
            stream = row.stream
            length = lengths.get(stream)
            if length is None:
                length = self._length_of(stream)
            lengths[stream] = length = length + 1
            rows.append(
                (seq, stream, length, float(row.at), row.kind, row.agent, row.ref, row.data, row.lamport or seq)
            )
        self._changes += prepared.changes_after(self.seq)
        self.seq = seq
        for run, epoch, is_new in epochs:
            if is_new or self.epoch(run):
                self._epochs[run] = epoch
        return seq

    def epoch(self, run: str) -> int:
        """Return the run's epoch as of this commit, 0 if there is no such run."""
        known = self._epochs.get(run)
        if known is None:
            known = self._epochs[run] = self._epoch_of(run)
        return known

    def length(self, stream: str) -> int:
        """Return the `stream_seq` of the stream's newest row as of this commit, 0 if it has none."""
        known = self._lengths.get(stream)
        if known is None:
            known = self._lengths[stream] = self._length_of(stream)
        return known

    def take(self) -> tuple[list[LogRow], list[Change]]:
        """Hand over the rows and changes of this commit and begin the next."""
        rows, changes = self._rows, self._changes
        self._rows, self._changes = [], []
        if len(self._epochs) > REMEMBERED:
            self._epochs.clear()
        if len(self._lengths) > REMEMBERED:
            self._lengths.clear()
        return rows, changes

    def forget(self) -> None:
        """Read epochs anew: the tables were written by other means."""
        self._epochs.clear()


def merge(changes: list[Change]) -> list[Change]:
    """Put the changes of one commit together, so that each record is written once; order is kept where it matters."""
    merged: list[Change] = []
    places: dict[tuple[Any, ...], int] = {}
    for change in changes:
        name = (change.table, change.key)
        place = places.get(name)
        if change.unless_null:
            merged.append(change)
            places.pop(name, None)
        elif place is None:
            places[name] = len(merged)
            merged.append(change._replace(columns=dict(change.columns)))
        elif change.whole or change.gone:
            merged[place] = change._replace(columns=dict(change.columns))
        elif not merged[place].gone:
            merged[place].columns.update(change.columns)
    return merged


def entry_of(row: LogRow) -> Entry:
    """Make an entry of its columns."""
    seq, stream, stream_seq, at, kind, agent, ref, data, lamport = row
    return Entry(
        seq=seq, stream=stream, stream_seq=stream_seq, at=at, kind=kind, agent=agent, ref=ref, data=data,
        lamport=lamport,
    )  # fmt: skip


def check_renewals(renewals: Sequence[Renewal]) -> None:
    """Refuse what no store can hold.

    Raises:
        Invalid: a stream or a key is no name, or `until` is no instant.
    """
    for one in renewals:
        if not (one.stream.isprintable() and one.key.isprintable() and 0 < len(one.stream) <= NAME_CHARACTERS):
            raise Invalid(f"{one.stream[:40]!r}, {one.key[:40]!r} cannot be held: use printable names")
        if len(one.stream) + len(one.key) > NAME_CHARACTERS or not -FAR_S <= one.until <= FAR_S:
            raise Invalid(f"{one.key[:40]!r} cannot be held until {one.until}: {NOT_LONGER}, and an instant")


def _check(row: Row) -> None:
    at, data = row.at, row.data
    try:
        _is_json(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the data of a row of kind {row.kind} in {row.stream!r} is not a JSON value: {error}") from error
    for text in (row.stream, row.kind, row.agent or "-", row.ref or "-"):
        if not text.isprintable() or not text:
            raise Invalid(
                f"{text!r} in a row of kind {row.kind!r} in {row.stream!r}: use printable characters, at least 1"
            )
    if len(row.stream) > NAME_CHARACTERS:
        raise Invalid(
            f"the stream {row.stream[:40]!r}... has a name of over {NAME_CHARACTERS:,} characters: shorten it"
        )
    if not (-FAR_S < at < FAR_S and 0 <= row.lamport < BIG):
        raise Invalid(f"at {at}, lamport {row.lamport} in {row.stream!r}: a row needs an instant and a count")
    if len(data) > DATA_BYTES:
        raise Invalid(f"{len(data):,} bytes in one row of {row.stream!r}; at most {DATA_BYTES:,}: pass a reference")
