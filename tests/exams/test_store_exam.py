"""The exam of the store port, sat by every store, and stores that must fail it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from concerted.ports.store import Fenced, Renewal, Stale, Store, Write
from concerted.stores import MemoryStore, SqliteStore
from concerted.stores.postgres.store import PostgresStore
from concerted.testing import SHARED_QUESTIONS, STORE_QUESTIONS, SharedStoreFactory, StoreFactory, check_store
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


class PostgresStores:
    """Schemas in one database; commits are not waited for, since no power is cut here."""

    def __init__(self, fresh_url: Callable[[], str]) -> None:
        self._fresh_url = fresh_url
        self._opened: list[tuple[PostgresStore, str]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for store, _ in self._opened:
            await store.close()

    async def fresh(self) -> Store:
        return await self._open(self._fresh_url())

    async def reopen(self, store: Store) -> Store:
        await store.close()
        return await self.open_second(store)

    async def open_second(self, store: Store) -> Store:
        [url] = [url for one, url in self._opened if one is store]
        return await self._open(url)

    async def _open(self, url: str) -> Store:
        store = PostgresStore(url, durability="off", snapshot_every=5)
        await store.open()
        self._opened.append((store, url))
        return store


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


@pytest.mark.parametrize("question", [*STORE_QUESTIONS, *SHARED_QUESTIONS], ids=sentence)
def test_a_postgres_store_keeps_its_promises(
    question: Callable[[SharedStoreFactory], Awaitable[None]], postgres: Callable[[], str]
) -> None:
    async def ask() -> None:
        async with PostgresStores(postgres) as stores:
            await question(stores)

    asyncio.run(ask())


def test_the_exam_as_a_whole_says_what_holds() -> None:
    held = asyncio.run(check_store(MemoryStores()))
    assert held == [sentence(question) for question in STORE_QUESTIONS]
    assert "a run is created once" in held


def test_a_store_that_two_have_open_is_asked_more() -> None:
    """Two handles on one memory store are none of two processes: they hear nothing of each other."""

    class Twice(MemoryStores):
        async def open_second(self, store: Store) -> Store:
            return store

    with pytest.raises(ExceptionGroup, match=f"of {len(STORE_QUESTIONS) + len(SHARED_QUESTIONS)} promises") as caught:
        asyncio.run(check_store(Twice()))
    assert len(caught.value.exceptions) == len(SHARED_QUESTIONS)


class Unfenced(MemoryStore):
    """A store that asks nobody for an epoch."""

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced | Stale]:
        return await super().append([Write(rows=write.rows, creates=write.creates) for write in writes])


class Baseless(MemoryStore):
    """A store that does not look on what a write is based."""

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced | Stale]:
        return await super().append([msgspec.structs.replace(write, after={}) for write in writes])


class Clinging(MemoryStore):
    """A store that drops what was renewed meanwhile."""

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced | Stale]:
        at_once = [[Renewal(drop.stream, drop.key, 1e15) for drop in write.drops] for write in writes]
        return await super().append(
            [msgspec.structs.replace(write, drops=drops) for write, drops in zip(writes, at_once, strict=True)]
        )


class Forgetful(MemoryStore):
    """A store that loses its newest entry by being closed."""

    def export(self) -> Any:
        kept = super().export()
        return type(kept)(kept.entries[:-1], kept.archived, kept.tables)


class Unwilling(MemoryStore):
    """A store whose writes fail with an error that no port knows."""

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced | Stale]:
        raise KeyError("no")


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Unfenced, "a wrong epoch is refused and nothing of it is written"),
        (Baseless, "a write after a row that is not the newest is refused"),
        (Clinging, "what is dropped is held no longer"),
        (Forgetful, "everything is there after reopening"),
        (Unwilling, "numbers have no gaps and follow the order of appending"),
    ],
)
def test_the_exam_finds_a_store_that_breaks_a_promise(kind: type[MemoryStore], complaint: str) -> None:
    with pytest.raises(ExceptionGroup, match="promises of a store are not kept") as caught:
        asyncio.run(check_store(MemoryStores(kind)))
    notes = [note for failure in caught.value.exceptions for note in failure.__notes__]
    assert f"This must be true of every store: {complaint}." in notes
