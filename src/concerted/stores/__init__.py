"""Where everything is remembered: the log and its tables, in one SQLite file or in memory."""

from concerted.stores.memory import MemoryState, MemoryStore
from concerted.stores.sqlite.reader import SqliteReader
from concerted.stores.sqlite.store import SqliteStore

__all__ = ["MemoryState", "MemoryStore", "SqliteReader", "SqliteStore"]
