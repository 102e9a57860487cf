"""The exam of the store port, sat by every store, and stores that must fail it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from concerted.ports.store import Fenced, Store, Write
from concerted.stores import MemoryStore, SqliteStore
from concerted.testing import STORE_QUESTIONS, StoreFactory, check_store
from concerted.testing.store_exam import StoreQuestion, sentence


class SqliteStores:
    """Files in one folder; `off`, since no power is cut here; snapshots so often that the past needs them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    async def fresh(self) -> Store:
        self._count += 1
        store = SqliteStore(self._folder / f"{self._count}.db", durability="off", snapshot_every=5)
        await store.open()
        return store

    async def reopen(self, store: Store) -> Store:
        assert isinstance(store, SqliteStore)
        await store.close()
        again = SqliteStore(store.path, durability="off", snapshot_every=5)
        await again.open()
        return again


class MemoryStores:
    def __init__(self, make: Callable[..., MemoryStore] = MemoryStore) -> None:
        self._make = make

    async def fresh(self) -> Store:
        store = self._make()
        await store.open()
        return store

    async def reopen(self, store: Store) -> Store:
        assert isinstance(store, MemoryStore)
        await store.close()
        again = self._make(store.export())
        await again.open()
        return again


@pytest.mark.parametrize("question", STORE_QUESTIONS, ids=sentence)
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_store_keeps_its_promises(kind: str, question: StoreQuestion, tmp_path: Path) -> None:
    stores: StoreFactory = SqliteStores(tmp_path) if kind == "sqlite" else MemoryStores()
    asyncio.run(question(stores))


def test_the_exam_as_a_whole_says_what_holds() -> None:
    held = asyncio.run(check_store(MemoryStores()))
    assert held == [sentence(question) for question in STORE_QUESTIONS]
    assert "a run is created once" in held


class Unfenced(MemoryStore):
    """A store that asks nobody for an epoch."""

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced]:
        return await super().append([Write(rows=write.rows, creates=write.creates) for write in writes])


class Forgetful(MemoryStore):
    """A store that loses its newest entry by being closed."""

    def export(self) -> Any:
        kept = super().export()
        return type(kept)(kept.entries[:-1], kept.archived, kept.tables)


class Unwilling(MemoryStore):
    """A store whose writes fail with an error that no port knows."""

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced]:
        raise KeyError("no")


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Unfenced, "a wrong epoch is refused and nothing of it is written"),
        (Forgetful, "everything is there after reopening"),
        (Unwilling, "numbers have no gaps and follow the order of appending"),
    ],
)
def test_the_exam_finds_a_store_that_breaks_a_promise(kind: type[MemoryStore], complaint: str) -> None:
    with pytest.raises(ExceptionGroup, match="promises of a store are not kept") as caught:
        asyncio.run(check_store(MemoryStores(kind)))
    notes = [note for failure in caught.value.exceptions for note in failure.__notes__]
    assert f"This must be true of every store: {complaint}." in notes
