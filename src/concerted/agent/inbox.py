"""The keyed inbox: which commands an agent has begun, which it has answered and how, and the highest epochs seen.

    unknown --start--> started --finish--> finished (the cached reply)
    started --the process dies--> interrupted --start--> started   (only if the function may run again)

`MemoryInbox` dies with its process.  `FileInbox` is a SQLite file of the agent's own, synced before each
command is begun and again before its answer leaves, so that a command that was begun is known to have
been begun whoever is killed when.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import Protocol

import msgspec

from concerted.errors import Conflict, StoreDamaged, Unreachable
from concerted.messages import Reply

__all__ = ["FILE_REPLIES", "INBOX_EPOCHS", "MEMORY_REPLIES", "FileInbox", "Inbox", "MemoryInbox"]

MEMORY_REPLIES = 1_000  # replies kept in memory by one agent; the oldest goes first
FILE_REPLIES = 100_000  # replies kept in an agent's file; the oldest goes first
INBOX_EPOCHS = 10_000  # coordinations whose highest epoch is remembered; the one raised longest ago goes first

log = logging.getLogger("concerted.agent")


class Inbox(Protocol):
    """What an agent remembers of commands.  epochs: coordination -> highest seen; read it, never write it."""

    epochs: dict[str, int]

    def reply_to(self, key: str) -> Reply | None:
        """Return the reply to a finished command."""

    def was_interrupted(self, key: str) -> bool:
        """Say whether an earlier process began this command and died before it was finished."""

    def start(self, key: str) -> None:
        """Remember that the command is about to be run."""

    def finish(self, key: str, reply: Reply) -> None:
        """Remember the answer, before it leaves."""

    def forget(self, key: str) -> None:
        """Remember nothing of a command: it has had no effect, or nobody can know."""

    def raise_epoch(self, name: str, epoch: int) -> None:
        """Remember a higher epoch."""

    def close(self) -> None:
        """Let go of the file.  Idempotent."""


class MemoryInbox:
    """Replies in memory, the newest `limit` of them."""

    def __init__(self, limit: int = MEMORY_REPLIES) -> None:
        self.epochs: dict[str, int] = {}
        self._limit = limit
        self._replies: dict[str, Reply] = {}

    def reply_to(self, key: str) -> Reply | None:
        """Return the reply to a finished command."""
        return self._replies.get(key)

    def was_interrupted(self, key: str) -> bool:  # noqa: ARG002
        """Say no: there was no earlier process."""
        return False

    def start(self, key: str) -> None:
        """Need nothing: what is under way dies with this memory."""

    def finish(self, key: str, reply: Reply) -> None:
        """Remember the answer; forget the oldest one beyond the limit."""
        replies = self._replies
        replies[key] = reply
        if len(replies) > self._limit:
            del replies[next(iter(replies))]

    def forget(self, key: str) -> None:
        """Remember nothing of this command."""
        self._replies.pop(key, None)

    def raise_epoch(self, name: str, epoch: int) -> None:
        """Remember a higher epoch."""
        _raise(self.epochs, name, epoch)

    def close(self) -> None:
        """Need nothing."""


class FileInbox:
    """Replies in the agent's own SQLite file, locked to one process at a time.

    Every change is synced to disk before the call returns: two syncs a command.

    Raises:
        Conflict: another process has this inbox open.
        StoreDamaged: the file is something else.
        Unreachable: it cannot be opened or written (permissions, disk full).
    """

    def __init__(self, path: str | os.PathLike[str], limit: int = FILE_REPLIES) -> None:
        self.path = Path(path)
        self._limit = limit
        self._unwritten: dict[str, Reply] = {}  # while the disk is full
        try:
            self._db = _open(self.path)
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        self.epochs: dict[str, int] = dict(self._db.execute("SELECT name, epoch FROM epoch ORDER BY rowid"))
        self._interrupted = {key for (key,) in self._db.execute("SELECT key FROM command WHERE reply IS NULL")}
        self._count = int(self._db.execute("SELECT count(*) FROM command").fetchone()[0])

    def reply_to(self, key: str) -> Reply | None:
        """Return the reply to a finished command."""
        if key in self._unwritten:
            return self._unwritten[key]
        try:
            row = self._db.execute("SELECT reply FROM command WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        return None if row is None or row[0] is None else msgspec.json.decode(row[0], type=Reply)

    def was_interrupted(self, key: str) -> bool:
        """Say whether an earlier process began this command and died before it was finished."""
        return key in self._interrupted

    def start(self, key: str) -> None:
        """Write that the command is about to be run; forget the oldest finished one beyond the limit."""
        self._interrupted.discard(key)
        self._count += self._write("INSERT INTO command (key) VALUES (?) ON CONFLICT DO NOTHING", (key,))
        if self._count > self._limit:
            self._count -= self._write(
                "DELETE FROM command WHERE rowid = "
                "(SELECT rowid FROM command WHERE reply IS NOT NULL ORDER BY rowid LIMIT 1)"
            )

    def finish(self, key: str, reply: Reply) -> None:
        """Write the answer, before it leaves."""
        self._interrupted.discard(key)
        text = msgspec.json.encode(reply)
        try:
            if not self._write("UPDATE command SET reply = ? WHERE key = ?", (text, key)):
                self._count += self._write("INSERT INTO command (key, reply) VALUES (?, ?)", (key, text))
        except Unreachable:
            log.exception("an answer could not be written; it is kept in memory, and that it was begun is on disk")
            self._unwritten[key] = reply

    def forget(self, key: str) -> None:
        """Write that nothing is known of this command."""
        self._interrupted.discard(key)
        try:
            self._count -= self._write("DELETE FROM command WHERE key = ?", (key,))
        except Unreachable:
            log.exception("a command could not be forgotten; it still counts as begun")

    def raise_epoch(self, name: str, epoch: int) -> None:
        """Write a higher epoch."""
        forgotten = _raise(self.epochs, name, epoch)
        self._write("DELETE FROM epoch WHERE name IN (?, ?)", (name, forgotten))
        self._write("INSERT INTO epoch (name, epoch) VALUES (?, ?)", (name, epoch))

    def close(self) -> None:
        """Close the file and release it to the next process."""
        self._db.close()

    def _write(self, statement: str, values: tuple[object, ...] = ()) -> int:
        try:
            return self._db.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error


_APPLICATION = 0x434F4E49  # "CONI", in the header of every inbox file
_TABLES = f"""
PRAGMA application_id = {_APPLICATION};
CREATE TABLE IF NOT EXISTS command (rowid INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, reply BLOB);
CREATE TABLE IF NOT EXISTS epoch (rowid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL);
"""


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        # The exclusive lock is taken with the first write and kept: one process at a time, freed when it dies.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA synchronous = FULL")
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != _APPLICATION and tables:
            raise StoreDamaged(f"{path} is a database of something else; name another file for the agent's inbox")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
        db.executescript(_TABLES)
    except BaseException:
        db.close()
        raise
    return db


def _explained(error: sqlite3.Error, path: Path) -> Exception:
    text = str(error)
    if "locked" in text or "busy" in text:
        return Conflict(f"{path} is in use: this agent already runs in another process; stop that one first")
    if "not a database" in text or "malformed" in text:
        return StoreDamaged(f"{path} is no inbox file ({text}); name another file")
    return Unreachable(f"{path}: the agent's inbox cannot be used: {text}")


def _raise(epochs: dict[str, int], name: str, epoch: int) -> str | None:
    """Put the epoch in its place, newest last; return the name that was forgotten for it, if any."""
    epochs.pop(name, None)
    epochs[name] = epoch
    if len(epochs) <= INBOX_EPOCHS:
        return None
    oldest = next(iter(epochs))
    del epochs[oldest]
    return oldest
