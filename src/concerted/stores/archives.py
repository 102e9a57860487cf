"""Finished streams as files: one gzipped file of JSON lines each, complete on disk before its rows go."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from concerted.errors import NotFound, StoreDamaged, Unreachable, WrongPhase
from concerted.kinds import ENDINGS
from concerted.ports.store import Entry, Row, RunRecord, TaskRecord
from concerted.stores.projections import STORE_STREAM, record_to_json
from concerted.values import Instant, digest, encode

__all__ = ["archive_folder", "archive_name", "archived_row", "check_finished", "read_archive", "write_archive"]

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


def archive_folder(store: Path) -> Path:
    """Return where a store keeps its archives: `PATH.archive`, beside it."""
    return store.with_name(store.name + ".archive")


def archive_name(stream: str) -> str:
    """Name a stream's file: readable, safe in every file system, and its own."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", stream)[:NAME_CHARACTERS]
    return f"{readable}-{digest(stream.encode())}.jsonl.gz"


def write_archive(folder: Path, entries: Sequence[Entry]) -> tuple[str, int]:
    """Write a stream's entries; return the file's name and size once it is safe on disk.

    A file of that name, left by somebody who was killed before the rows were deleted, is replaced.

    Raises:
        Unreachable: it cannot be written; whatever is there is no archive yet.
    """
    path = folder / archive_name(entries[0].stream)
    content = gzip.compress(b"".join(_line(entry) for entry in entries), mtime=0)
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
    return path.name, len(content)


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
    try:
        return [_entry(_lines.decode(line)) for line in gzip.decompress(content).splitlines()]
    except (EOFError, OSError, zlib.error, msgspec.MsgspecError) as error:
        raise StoreDamaged(f"the archive {path} is damaged: {error}", path=str(path)) from error


def check_finished(stream: str, run: RunRecord | None) -> RunRecord:
    """Return the run whose stream may be archived.

    Raises:
        NotFound: there is no such run.
        WrongPhase: it has not ended, or this is no run's stream.
    """
    if not stream.startswith("run:"):
        raise WrongPhase(f"{stream!r} is no run's stream: only runs end, and only what has ended is archived")
    if run is None:
        raise NotFound(f"there is no run {stream[4:]!r}", stream=stream)
    if f"run.{run.status}" not in ENDINGS or run.status == "parked":
        raise WrongPhase(f"run {run.id} is {run.status}: only what has ended is archived", status=run.status)
    return run


def archived_row(
    entries: Sequence[Entry], path: str, size_bytes: int, records: tuple[RunRecord, Sequence[TaskRecord]], at: Instant
) -> Row:
    """Make the row that says where the stream went and how its records stood."""
    run, tasks = records
    data: dict[str, Any] = {
        "stream": entries[0].stream,
        "path": path,
        "entries": len(entries),
        "size_bytes": size_bytes,
        "first_seq": entries[0].seq,
        "last_seq": entries[-1].seq,
        "records": {"runs": [record_to_json(run)], "tasks": [record_to_json(task) for task in tasks]},
    }
    return Row(stream=STORE_STREAM, at=at, kind="stream.archived", ref=entries[0].stream, data=encode(data))


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
