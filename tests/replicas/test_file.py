"""A replica's file on a real disk."""

import errno
import os
import resource
from pathlib import Path

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.storage import STORAGE, Stored, Write
from concerted.errors import Conflict, StoreDamaged, Unreachable
from concerted.replicas.file import ReplicaFile

CONFIGURATION = Configuration.of((1, 2, 3))
FIRST = Stored(snapshot=Snapshot(configuration=CONFIGURATION))
ONE = Write(1, 1, 1, entries=(Entry(1, 1), Entry(2, 1, b"a")))
TWO = Write(2, 2, None, entries=(Entry(2, 2, b"b"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raft-1.log"


def written(path: Path, *writes: Write) -> None:
    file = ReplicaFile.open(path, STORAGE, 1, FIRST)
    for write in writes:
        file.write([write])
    file.close()


def read(path: Path) -> Stored:
    file = ReplicaFile.open(path, STORAGE, 1, FIRST)
    file.close()
    return file.stored


def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    assert read(path) == FIRST
    written(path, ONE, TWO)
    assert read(path) == Stored(2, None, FIRST.snapshot, (Entry(1, 1), Entry(2, 2, b"b")))


def test_several_writes_go_out_with_one_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, syncs = ReplicaFile.open(path, STORAGE, 1, FIRST), []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (syncs.append(fd), sync(fd)))
    file.write([ONE, TWO])
    file.close()
    assert len(syncs) == 1
    assert read(path).term == 2


def test_a_snapshot_makes_a_shorter_file(path: Path) -> None:
    written(path, Write(1, 1, 1, entries=tuple(Entry(index, 1, b"x" * 100) for index in range(1, 50))))
    long = path.stat().st_size
    snapshot = Snapshot(48, 1, CONFIGURATION, b"state")
    written(path, Write(2, 1, 1, snapshot), Write(3, 1, 1, entries=(Entry(50, 1),)))
    assert path.stat().st_size < long / 4
    assert read(path) == Stored(1, 1, snapshot, (Entry(49, 1, b"x" * 100), Entry(50, 1)))


def test_a_torn_tail_is_cut_off_before_anything_is_added(path: Path) -> None:
    written(path, ONE)
    whole = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(b"\x20\x00\x00\x00half a frame")
    written(path, TWO)
    assert read(path).term == 2
    assert path.read_bytes()[whole:].count(b"half") == 0


def test_damage_to_what_was_durable_stops_the_server(path: Path) -> None:
    written(path, ONE, TWO)
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamaged, match="damaged at byte"):
        ReplicaFile.open(path, STORAGE, 1, FIRST)
    data[-60] ^= 1
    path.write_bytes(data)
    assert read(path).term == 2, "whoever was refused has let go of it"


def test_two_processes_cannot_have_it_at_once(path: Path) -> None:
    file = ReplicaFile.open(path, STORAGE, 1, FIRST)
    with pytest.raises(Conflict, match="in use by another process"):
        ReplicaFile.open(path, STORAGE, 1, FIRST)
    file.close()
    file.close()
    assert read(path) == FIRST


def test_a_full_disk_ends_it_and_nothing_is_guessed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ReplicaFile.open(path, STORAGE, 1, FIRST)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(Unreachable, match="No space left"):
            file.write([ONE])
    with pytest.raises(Unreachable, match="is closed"):
        file.write([TWO])
    written(path, ONE)
    assert read(path).entries == ONE.entries


def test_what_a_failed_or_killed_replacement_leaves_behind_is_cleared_away(path: Path) -> None:
    new = path.with_name("raft-1.log.new")
    file = ReplicaFile.open(path, STORAGE, 1, FIRST)
    file.write([ONE])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(Unreachable, match="File too large"):
            file.write([Write(2, 1, 1, Snapshot(2, 1, CONFIGURATION, b"x" * 5000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not new.exists()
    new.write_bytes(b"half")
    assert read(path).entries == ONE.entries, "the old file stands"
    assert not new.exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be opened"):
        ReplicaFile.open(tmp_path / "nowhere" / "raft.log", STORAGE, 1, FIRST)
