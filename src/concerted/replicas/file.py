"""The file of one replica on a real disk: synced before anything is said, replaced when the log is compacted.

    file = ReplicaFile.open("raft-1.log", STORAGE, 1, first)
    raft = Raft(1, settings, file.stored, dice=random.random, now=time.monotonic())
    file.write([ready.write])            # returns when it is durable

One process at a time has it.  After a write that failed nobody knows what is on the disk: the file takes no more, and
the server must be started again from it.  What the bytes mean is in `consensus.storage`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from concerted.consensus.quorum import NodeId
from concerted.consensus.storage import Durable, Storage
from concerted.errors import Conflict, Unreachable

__all__ = ["ReplicaFile"]

S = TypeVar("S")  # what is read back
W = TypeVar("W", bound=Durable)  # what is written


class ReplicaFile(Generic[S, W]):
    """One replica's log.  stored: what was in it when it was opened."""

    def __init__(self, path: Path, storage: Storage[S, W], node: NodeId, fd: int, lock: int, stored: S) -> None:
        self.path = path
        self.stored = stored
        self._storage = storage
        self._node = node
        self._contents = storage.contents(stored)
        self._fd: int | None = fd
        self._lock = lock
        self._size = os.fstat(fd).st_size

    @classmethod
    def open(cls, path: str | os.PathLike[str], storage: Storage[S, W], node: NodeId, first: S) -> ReplicaFile[S, W]:
        """Open a replica's file; make it, with what the replica begins with, if there is none.  A torn tail is cut off.

        Raises:
            Conflict: another process has it.
            StoreDamaged: it is damaged where it was durable, or is not this replica's.
            Unreachable: the disk refuses.
        """
        file = Path(path)
        lock = _take(file)
        try:
            if not file.exists():
                _replace(file, storage.begin(node, first))
            _new(file).unlink(missing_ok=True)  # of a process that was killed while it wrote it
            data = file.read_bytes()
            found = storage.recover(node, data)
            fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.ftruncate(fd, found.size_bytes)
            os.fsync(fd)  # what a killed process has written need not be on the disk yet, and now it counts
            return cls(file, storage, node, fd, lock, found.stored)
        except OSError as error:
            os.close(lock)
            raise Unreachable(f"the log {file} cannot be opened: {error}", path=str(file)) from error
        except BaseException:
            os.close(lock)
            raise

    def write(self, writes: Sequence[W]) -> None:
        """Make these durable, in order and with one sync; a crash leaves some of the first of them, each in whole.

        Raises:
            Unreachable: the disk refuses; the file is closed, and nobody knows whether they are on it.
        """
        if self._fd is None:
            raise Unreachable(f"the log {self.path} is closed; open it again to see what is on it", path=str(self.path))
        try:
            if any(write.snapshot is not None for write in writes):
                self._begin_anew(writes)
            else:
                self._append(b"".join(self._storage.frame(write, self._size) for write in writes))
                for write in writes:
                    self._contents.take(write)
        except OSError as error:
            self.close()
            raise Unreachable(
                f"the log {self.path} could not be written: {error}; start the server again when the disk is well",
                path=str(self.path),
            ) from error

    def close(self) -> None:
        """Let go of it.  Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            os.close(self._lock)
            self._fd = None

    def _append(self, data: bytes) -> None:
        assert self._fd is not None
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]
        os.fdatasync(self._fd)
        self._size += len(data)

    def _begin_anew(self, writes: Sequence[W]) -> None:
        """Put a new file in the place of this one, with what the log comes to."""
        assert self._fd is not None
        for write in writes:
            self._contents.take(write)
        data = self._storage.begin(self._node, self._contents.stored())
        _replace(self.path, data)
        old, self._fd = self._fd, os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.close(old)
        self._size = len(data)


def _take(file: Path) -> int:
    """Lock the name, by a file beside it: the log itself is replaced now and then."""
    try:
        lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unreachable(f"the log {file} cannot be opened: {error}", path=str(file)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Conflict(f"the log {file} is in use by another process; stop that one first", path=str(file)) from None
    return lock


def _replace(file: Path, data: bytes) -> None:
    """Give a whole, synced file its name at once, and make the name durable."""
    new = _new(file)
    try:
        with new.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)  # of a disk that is full, every byte is needed
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _new(file: Path) -> Path:
    """Return where a file is written that will take the place of another."""
    return file.with_name(file.name + ".new")
