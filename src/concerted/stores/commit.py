"""One commit in the making: rows are checked, fences tested, numbers given; the same for every store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from concerted.errors import Invalid
from concerted.ports.store import Entry, Fenced, Row, RunRecord, Write
from concerted.stores.projections import PROJECTED, Change, project

__all__ = ["LogRow", "Numbering", "Prepared", "entry_of", "merge", "prepare"]

DATA_BYTES = 1 << 28  # the largest data of one row: 256 MiB
FAR_S = 1e15  # instants lie between minus and plus this
BIG = 1 << 53  # numbers in rows stay below, so that every reader of JSON reads them as they are
REMEMBERED = 100_000  # epochs and stream lengths kept in memory before they are read anew

# seq, stream, stream_seq, at, kind, agent, ref, data, lamport
LogRow = tuple[int, str, int, float, str, str | None, str | None, bytes, int]

_is_json = msgspec.json.Decoder().decode


class Prepared(NamedTuple):
    """A write that has been checked, with what it will change.  epochs: run -> the epoch it leaves."""

    write: Write
    changes: list[Change]
    epochs: list[tuple[str, int]]


def prepare(write: Write) -> Prepared:
    """Check a write and derive what it changes, before anybody waits for it.

    Raises:
        Invalid: some row is not one that can be kept and read back; nothing was done.
    """
    changes: list[Change] = []
    epochs: list[tuple[str, int]] = []
    created: set[str] = set()  # a write under a run's fence may create that run's children besides
    for row in write.rows:
        _check(row)
        if row.kind not in PROJECTED:
            continue
        for change in project(row):
            changes.append(change)
            if change.table is RunRecord and "epoch" in change.columns:
                epochs.append((change.key[0], change.columns["epoch"]))
        if row.kind == "run.created":
            if write.creates is None and write.run is None:
                raise Invalid(f"a row creates {row.stream!r}; the write names neither that run nor its parent")
            created.add(row.stream[4:])
    if write.creates is not None and write.creates not in created:
        raise Invalid(f"the write says it creates run {write.creates!r}, but none of its rows is its run.created")
    return Prepared(write, changes, epochs)


class Numbering:
    """Gives numbers to rows in commit order; knows every run's epoch and every stream's length.

    It is the only one who writes, so what it has once read stays true.  epoch_of: run -> its epoch, 0 if
    there is none.  length_of: stream -> the `stream_seq` of its newest row.
    """

    def __init__(self, seq: int, epoch_of: Callable[[str], int], length_of: Callable[[str], int]) -> None:
        self.seq = seq
        self._epoch_of = epoch_of
        self._length_of = length_of
        self._epochs: dict[str, int] = {}
        self._lengths: dict[str, int] = {}
        self._rows: list[LogRow] = []
        self._changes: list[Change] = []

    def place(self, prepared: Prepared) -> int | Fenced:
        """Take a write into this commit, or say who has its run."""
        write, changes, epochs = prepared
        if write.run is not None and (epoch := self.epoch(write.run)) != write.epoch:
            return Fenced(write.run, epoch)
        if write.creates is not None and (epoch := self.epoch(write.creates)):
            return Fenced(write.creates, epoch)
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
        self.seq = seq
        self._changes += changes
        for run, epoch in epochs:
            self._epochs[run] = epoch
        return seq

    def epoch(self, run: str) -> int:
        """Return the run's epoch as of this commit, 0 if there is no such run."""
        known = self._epochs.get(run)
        if known is None:
            known = self._epochs[run] = self._epoch_of(run)
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
        elif change.whole:
            merged[place] = change._replace(columns=dict(change.columns))
        else:
            merged[place].columns.update(change.columns)
    return merged


def entry_of(row: LogRow) -> Entry:
    """Make an entry of its columns."""
    seq, stream, stream_seq, at, kind, agent, ref, data, lamport = row
    return Entry(
        seq=seq, stream=stream, stream_seq=stream_seq, at=at, kind=kind, agent=agent, ref=ref, data=data,
        lamport=lamport,
    )  # fmt: skip


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
    if not (-FAR_S < at < FAR_S and 0 <= row.lamport < BIG):
        raise Invalid(f"at {at}, lamport {row.lamport} in {row.stream!r}: a row needs an instant and a count")
    if len(data) > DATA_BYTES:
        raise Invalid(f"{len(data):,} bytes in one row of {row.stream!r}; at most {DATA_BYTES:,}: pass a reference")
