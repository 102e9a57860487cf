"""Where everything is remembered: the log and its tables, in one SQLite file or in memory."""

from concerted.stores.memory import MemoryState, MemoryStore
from concerted.stores.sqlite import SqliteStore
from concerted.stores.sqlite_reader import SqliteReader

__all__ = ["MemoryState", "MemoryStore", "SqliteReader", "SqliteStore"]
