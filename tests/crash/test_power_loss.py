"""The power fails: with `synchronous = FULL` nothing that was answered is lost, with NORMAL something is.

What writes here is the store's own `Ledger`, with its pragmas, migrations and statements, over apsw in the place
of the standard library's sqlite3, because apsw lets a test be the disk.  The disk records each write, sync,
truncation and deletion of each file, and each answer of the ledger among them.  A power cut at any place
leaves of each file what was synced by then, and of every 512-byte sector that was written since: all of it,
none of it, its first bytes alone, or rubbish.  A file that was deleted may be back, unless its directory was synced
since.  What is left is opened by an ordinary store.

This proves that our settings and the way we use transactions ask for enough: every commit is synced before it
is answered, and what is not synced can be dropped and torn at will without harm to what is.  It proves
nothing of a drive that lies about having synced (one of the tests shows what then happens), nor of the SQLite
that the standard library was built with, which is another one than apsw's; and that a new file's name is on
disk once the file has been synced is taken for granted.

A checkpoint is made every CHECKPOINT_PAGES pages instead of the store's thousands, so that short runs have some.
"""

import asyncio
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import apsw
import pytest

from concerted.errors import ConcertedError
from concerted.ports.store import Row, Write
from concerted.stores.commit import Durability, prepare
from concerted.stores.renewals import Renewals
from concerted.stores.sqlite import schema as sqlite_schema
from concerted.stores.sqlite.ledger import Ledger
from concerted.stores.sqlite.store import SqliteStore
from concerted.values import RunId

SEEDS = range(200 if os.environ.get("CONCERTED_HAMMER") == "full" else 40)
SECTOR = 512
COMMITS = 30
CHECKPOINT_PAGES = 40
LARGE = 70_000  # bytes of a row that is kept aside

_names = count()


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_what_was_answered_survives_a_power_cut_with_full_and_only_with_full(
    durability: Durability, tmp_path: Path
) -> None:
    lost = [answered_and_lost(seed, durability, tmp_path / str(seed)) for seed in SEEDS]
    cuts = f"{sum(one > 0 for one in lost)} of {len(lost)} cuts lost {sum(lost)} answered rows with {durability}"
    print(cuts)
    if durability == "full":
        assert not any(lost), cuts
    else:
        assert sum(one > 0 for one in lost) > len(lost) / 4, f"there is nothing to see in this experiment: {cuts}"


def test_a_disk_that_lies_about_syncs_loses_what_was_answered(tmp_path: Path) -> None:
    lost = [answered_and_lost(seed, "full", tmp_path / str(seed), honest=False) for seed in SEEDS[:10]]
    assert any(lost), "the disk never kept anything from us: its syncs do not matter to this experiment"


def answered_and_lost(seed: int, durability: Durability, folder: Path, *, honest: bool = True) -> int:
    """Write, cut the power somewhere, open what is left; return how many rows were answered and are not there."""
    dice = random.Random(f"{seed}/{durability}/{honest}")
    folder.mkdir()
    disk, written = recorded(dice, durability, folder / "x.db")
    cut = dice.randrange(len(disk.events) + 1)
    answered = sum(event.size for event in disk.events[:cut] if event.what == "answer")
    after = folder / "after"
    after.mkdir()
    Remains(dice, disk.events[:cut], honest).write(after)
    if not honest:
        with suppress(ConcertedError, sqlite3.Error, AssertionError):  # however it shows
            return max(0, answered - len(looked_at(after / "x.db")))
        return answered
    found = looked_at(after / "x.db")
    lengths = [0]
    for rows in written:
        lengths.append(lengths[-1] + len(rows))
    rows = [row for commit in written for row in commit]
    assert len(found) in lengths, f"seed {seed}: half a commit is there"
    assert found == rows[: len(found)], f"seed {seed}: something else is there than was written"
    return max(0, answered - len(found))


def looked_at(path: Path) -> list[tuple[str, bytes]]:
    """Open the file as an ordinary store, see that it is sound, and return its log."""

    async def scene() -> list[tuple[str, bytes]]:
        store = SqliteStore(path, durability="off")
        await store.open()
        entries = await store.log(limit=10_000)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert await store.rebuild() == 0, "the tables differ from the log"
        await store.close()
        return [(entry.stream, entry.data) for entry in entries]

    found = asyncio.run(scene())
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()
    return found


# Writing


def recorded(dice: random.Random, durability: Durability, path: Path) -> tuple["Disk", list[list[tuple[str, bytes]]]]:
    """Let the ledger write on a disk that records; return the disk, and the rows of each commit."""
    disk = Disk()
    written: list[list[tuple[str, bytes]]] = []
    with pytest.MonkeyPatch.context() as patch, mounted(disk) as vfs:
        patch.setattr(sqlite3, "connect", lambda name, **_: Powered(str(name), vfs))
        patch.setattr(sqlite_schema, "CHECKPOINT_PAGES", CHECKPOINT_PAGES)
        ledger = Ledger(path, durability, 40, Renewals())
        for number in range(COMMITS):
            writes = [some_rows(dice, number == 0)] + [some_rows(dice, False) for _ in range(dice.randrange(4))]
            answers = ledger.commit([prepare(write) for write in writes])
            assert all(isinstance(answer, int) for answer in answers)
            written.append([(row.stream, row.data) for write in writes for row in write.rows])
            disk.events.append(Event("answer", size=len(written[-1])))
            ledger.snapshot(idle=True)
        ledger.close()
    return disk, written


def some_rows(dice: random.Random, is_first: bool) -> Write:
    """Return one write of a run's rows, of which one may be large."""
    if is_first:
        created = Row(stream="run:r", at=1.0, kind="run.created", data=b'{"strategy":"s"}')
        return Write(rows=[created], creates=RunId("r"))
    sizes = [dice.choice((2, 50, 900, 6_000)) for _ in range(dice.randint(1, 4))]
    if dice.random() < 0.05:
        sizes.append(LARGE)
    rows = [
        Row(stream="run:r", at=2.0, kind="run.progressed", data=b'"%s"' % dice.randbytes(size // 2).hex().encode())
        for size in sizes
    ]
    return Write(rows=rows, run=RunId("r"), epoch=1)


class Powered:
    """A connection of apsw that can be used as one of sqlite3."""

    def __init__(self, name: str, vfs: str) -> None:
        self._of = apsw.Connection(name, vfs=vfs)
        self._of.set_busy_timeout(1_000)

    @property
    def in_transaction(self) -> bool:
        return self._of.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self._of.execute(sql, tuple(values))

    def executemany(self, sql: str, values: Sequence[Sequence[Any]]) -> Any:
        return self._of.executemany(sql, [tuple(one) for one in values])

    def close(self) -> None:
        self._of.close()


# The disk


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was asked of the disk, or an answer that was given on the strength of it."""

    what: Literal["write", "truncate", "sync", "delete", "answer"]
    file: str = ""
    offset: int = 0
    data: bytes = b""
    size: int = 0


@dataclass(slots=True)
class Disk:
    """All that was asked of it, in order."""

    events: list[Event] = field(default_factory=list)


@contextmanager
def mounted(disk: Disk) -> Iterator[str]:
    """Make a file system of SQLite's that records on this disk; give its name."""
    name = f"power{next(_names)}"
    vfs = PowerVFS(name, disk)
    try:
        yield name
    finally:
        vfs.unregister()


class PowerVFS(apsw.VFS):
    """Passes everything on to the ordinary one, and records what changes a file."""

    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: Any) -> "PowerFile":  # noqa: N802
        return PowerFile(self._disk, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.events.append(Event("delete", Path(name).name))
        super().xDelete(name, syncdir)


class PowerFile(apsw.VFSFile):
    """A file whose changes are recorded; nothing of it is really synced, since nobody asks the real disk."""

    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        self._disk = disk
        self._name = Path(name.filename() if hasattr(name, "filename") else str(name)).name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.events.append(Event("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.events.append(Event("truncate", self._name, size=size))
        super().xTruncate(size)

    def xSync(self, _flags: int) -> None:  # noqa: N802
        self._disk.events.append(Event("sync", self._name))


class Remains:
    """What is left of the files after a power cut.

    Of what was not synced each sector meets a fate of its own; how likely each is, the dice say once for all.
    """

    def __init__(self, dice: random.Random, events: Sequence[Event], honest: bool) -> None:
        self._dice = dice
        self._kept = dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        self._torn = dice.choice((0.0, 0.3))
        synced: dict[str, bytearray] = {}
        since: dict[str, list[Event]] = {}
        deleted: dict[str, bytearray] = {}  # since the directory was synced; they may be back after the cut
        for event in events:
            if event.what == "sync" and honest:
                if event.file not in synced:  # SQLite syncs the directory, too, when a journal is new
                    deleted.clear()
                image = synced.setdefault(event.file, bytearray())
                for one in since.pop(event.file, ()):
                    _apply(image, one)
            elif event.what == "delete":
                since.pop(event.file, None)
                if event.file in synced:
                    deleted[event.file] = synced.pop(event.file)
            elif event.what in ("write", "truncate"):
                since.setdefault(event.file, []).append(event)
        synced |= {file: image for file, image in deleted.items() if dice.random() < 0.5}
        for file, pending in since.items():
            image = synced.setdefault(file, bytearray())
            for one in pending:
                for part in self._parts(one, image):
                    _apply(image, part)
        self.files = synced

    def write(self, folder: Path) -> None:
        """Put the files into a folder."""
        for name, image in self.files.items():
            (folder / name).write_bytes(image)

    def _parts(self, event: Event, image: bytearray) -> Iterator[Event]:
        """Give what of a change reached the disk."""
        if event.what == "truncate":
            if self._dice.random() < self._kept:
                yield event
            return
        begin, end = event.offset, event.offset + len(event.data)
        while begin < end:
            stop = min(end, begin - begin % SECTOR + SECTOR)
            data = event.data[begin - event.offset : stop - event.offset]
            if self._dice.random() < self._torn:
                whole = self._dice.randrange(len(data) + 1)
                rubbish = self._dice.randbytes(len(data) - whole) if self._dice.random() < 0.5 else b""
                yield Event("write", event.file, begin, data[:whole] + rubbish)
            elif self._dice.random() < self._kept:
                yield Event("write", event.file, begin, data)
            begin = stop


def _apply(image: bytearray, event: Event) -> None:
    if event.what == "truncate":
        del image[event.size :]
        return
    if len(image) < event.offset:
        image.extend(bytes(event.offset - len(image)))
    image[event.offset : event.offset + len(event.data)] = event.data
