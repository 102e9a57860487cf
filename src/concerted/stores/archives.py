"""Finished streams, packed: gzipped JSON lines; in a file of its own each, complete on disk before its rows go."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from concerted.errors import NotFound, StoreDamaged, Unreachable, WrongPhase
from concerted.kinds import ENDINGS
from concerted.ports.store import Entry, PrimitiveRecord, Record, Row, RunRecord
from concerted.stores.projections import STORE_STREAM, project, record_to_json
from concerted.values import Instant, digest, encode

__all__ = [
    "Packed",
    "archive_folder",
    "archive_name",
    "archived_row",
    "check_finished",
    "pack",
    "packed",
    "read_archive",
    "unpack",
    "write_archive",
]

NAME_CHARACTERS = 80  # of a stream's name in a file's name; a hash follows


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry as it stands in the file."""

    seq: int
    stream: str
    stream_seq: int
    at: Instant
    kind: str
    agent: str | None = None
    ref: str | None = None
    data: msgspec.Raw
    lamport: int = 0


_lines = msgspec.json.Decoder(_Line)


class Packed(NamedTuple):
    """A finished stream whose archive stands, its rows still being in the log.

    length: of the stream when it was packed.  touched: the records that its rows have written, which must
    outlive them.
    """

    stream: str
    path: str
    entries: int
    length: int
    size_bytes: int
    first_seq: int
    last_seq: int
    touched: list[tuple[type[Record], tuple[str, ...]]]


def archive_folder(store: Path) -> Path:
    """Return where a store keeps its archives: `PATH.archive`, beside it."""
    return store.with_name(store.name + ".archive")


def archive_name(stream: str) -> str:
    """Name a stream's file: readable, safe in every file system, and its own."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", stream)[:NAME_CHARACTERS]
    return f"{readable}-{digest(stream.encode())}.jsonl.gz"


def write_archive(folder: Path, entries: Sequence[Entry]) -> Packed:
    """Write a stream's entries into a file; return once it is safe on disk.

    A file of that name, left by somebody who was killed before the rows were deleted, is replaced.

    Raises:
        Unreachable: it cannot be written; whatever is there is no archive yet.
    """
    path = folder / archive_name(entries[0].stream)
    content = pack(entries)
    try:
        if not folder.is_dir():
            folder.mkdir()
            _sync_folder(folder.parent)
        unfinished = path.with_name(path.name + ".part")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(folder)
    except OSError as error:
        raise Unreachable(f"the archive {path} cannot be written: {error}", path=str(path)) from error
    return packed(entries, f"{folder.name}/{path.name}", len(content))


def packed(entries: Sequence[Entry], path: str, size_bytes: int) -> Packed:
    """Describe the archive of these entries, which stands at `path`."""
    first, last = entries[0], entries[-1]
    names = {(change.table, change.key): None for entry in entries for change in project(entry)}
    touched = sorted(names, key=lambda name: (name[0].table, name[1]))
    return Packed(first.stream, path, len(entries), last.stream_seq, size_bytes, first.seq, last.seq, touched)


def read_archive(path: Path) -> list[Entry]:
    """Return the entries of an archived stream, in order.

    Raises:
        NotFound: the file is gone.
        StoreDamaged: it is not what was written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"the archive {path} is gone: put it back to read its stream", path=str(path)) from None
    return unpack(content, str(path))


def pack(entries: Sequence[Entry]) -> bytes:
    """Return the content of an archive; the same for the same entries."""
    return gzip.compress(b"".join(_line(entry) for entry in entries), mtime=0)


def unpack(content: bytes, path: str) -> list[Entry]:
    """Return the entries of an archive's content; `path` is where it stands.

    Raises:
        StoreDamaged: it is not what was written.
    """
    try:
        return [_entry(_lines.decode(line)) for line in gzip.decompress(content).splitlines()]
    except (EOFError, OSError, zlib.error, msgspec.MsgspecError) as error:
        raise StoreDamaged(f"the archive {path} is damaged: {error}", path=path) from error


def check_finished(stream: str, run: RunRecord | None, primitive: PrimitiveRecord | None) -> None:
    """Refuse a stream that may still grow.  run, primitive: the record of this stream, if it is of that sort.

    Raises:
        NotFound: there is no such run.
        WrongPhase: it has not ended, or the stream is of no sort that ends.
    """
    if primitive is not None:
        if primitive.ended_at is None:
            raise WrongPhase(f"{stream} is {primitive.status or 'in use'}: only what has ended is archived")
        return
    if not stream.startswith("run:"):
        raise WrongPhase(f"{stream!r} is no run and no primitive: only what has ended is archived, and it never ends")
    if run is None:
        raise NotFound(f"there is no run {stream[4:]!r}", stream=stream)
    if f"run.{run.status}" not in ENDINGS or run.status == "parked":
        raise WrongPhase(f"run {run.id} is {run.status}: only what has ended is archived", status=run.status)


def archived_row(archive: Packed, records: Sequence[Record], at: Instant) -> Row:
    """Make the row that says where the stream went and how its records stood."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        kept.setdefault(record.table, []).append(record_to_json(record))
    data: dict[str, Any] = {
        "stream": archive.stream,
        "path": archive.path,
        "entries": archive.entries,
        "size_bytes": archive.size_bytes,
        "first_seq": archive.first_seq,
        "last_seq": archive.last_seq,
        "records": kept,
    }
    return Row(stream=STORE_STREAM, at=at, kind="stream.archived", ref=archive.stream, data=encode(data))


def _line(entry: Entry) -> bytes:
    data = entry.data
    # White space between the parts of a value may hold line ends; inside a string they cannot stand.
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    line = _Line(
        seq=entry.seq, stream=entry.stream, stream_seq=entry.stream_seq, at=entry.at, kind=entry.kind,
        agent=entry.agent, ref=entry.ref, data=msgspec.Raw(data), lamport=entry.lamport,
    )  # fmt: skip
    return msgspec.json.encode(line) + b"\n"


def _entry(line: _Line) -> Entry:
    return Entry(
        seq=line.seq, stream=line.stream, stream_seq=line.stream_seq, at=line.at, kind=line.kind,
        agent=line.agent, ref=line.ref, data=bytes(line.data), lamport=line.lamport,
    )  # fmt: skip


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
