"""Who owns a store's file: one process at a time, by a lock that the system releases however it ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from concerted.errors import Conflict, NotAllowed, Unreachable

__all__ = ["Ownership", "owner_of"]

NOTE_BYTES = 4096  # how much of a lock file is read

_held: set[int] = set()


class Ownership:
    """The lock on `PATH.lock`, beside the store.

    The file stays for ever: whoever deletes it while it is held lets two owners in.
    """

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(store.name + ".lock")
        self._store = store
        self._fd = -1

    def take(self) -> None:
        """Become the owner, at once or not at all.

        Raises:
            Conflict: another process is; `facts["owner"]` is its pid, None if it has not said.
            NotAllowed: the lock file cannot be written by this user.
            Unreachable: there is no such directory, or its file system knows no locks.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _cannot_open(error, self._store) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            note = owner_of(self._store)
            whose = f"process {note['pid']}" if note else "another process"
            raise Conflict(
                f"{self._store} is owned by {whose}; ask that one, or end it",
                owner=note.get("pid"), node=note.get("node"), path=str(self._store),
            ) from None  # fmt: skip
        except OSError as error:
            os.close(fd)
            raise Unreachable(
                f"{self.path} cannot be locked ({error}); put the store on a local disk", path=str(self._store)
            ) from error
        self._fd = fd
        _held.add(fd)
        self.note(None)

    def note(self, node: str | None) -> None:
        """Write down who the owner is, for whoever finds the door closed."""
        note = {"pid": os.getpid(), "since": time.time(), "node": node}
        self._write(json.dumps(note).encode() + b"\n")

    def release(self) -> None:
        """Let go of the lock.  Idempotent."""
        if self._fd >= 0:
            self._write(b"")
            _held.discard(self._fd)
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1

    def _write(self, note: bytes) -> None:
        # On a full disk the note is lost; the lock, which is what counts, is not in the file's content.
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, note, 0)


def owner_of(store: Path) -> dict[str, object]:
    """Return what the newest owner has noted: pid, since, node; empty if it left in peace or cannot be read.

    Whether it is still there, only the lock says.
    """
    try:
        with store.with_name(store.name + ".lock").open("rb") as file:
            note = json.loads(file.read(NOTE_BYTES))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and isinstance(note.get("pid"), int) else {}


def _cannot_open(error: OSError, store: Path) -> NotAllowed | Unreachable:
    folder, facts = store.absolute().parent, {"path": str(store)}
    if not folder.is_dir():
        return Unreachable(f"there is no directory {folder} for {store.name}; create it first", **facts)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotAllowed(f"{store} cannot be owned: {folder} or its lock file is read-only for this user", **facts)
    return Unreachable(f"{store} cannot be owned: {error}", **facts)


def _forget_in_child() -> None:
    """Close the locks in a forked child: it would hold them on after its parent's death."""
    for fd in sorted(_held):
        with suppress(OSError):
            os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
