"""The owner: a coordinator over a store, with the door through which other processes reach it.

A SQLite file has one owner at a time, and the others are its clients.  On a PostgreSQL database every
process is a node with a coordinator of its own; they share the log, and each has a door for agents.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from concerted.agent.addresses import is_shared, replicas_folder, shown_url, socket_path, store_path
from concerted.config.settings import Coordination, StoreSettings
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.primitives.actions import Action
from concerted.errors import ConcertedError, Invalid
from concerted.launch.clock import DatabaseClock, SystemClock
from concerted.launch.door import Door
from concerted.launch.node_socket import leave_folder, listen, node_socket
from concerted.links.open import link_from_spec
from concerted.ports.clock import Clock
from concerted.ports.store import Store
from concerted.runs.instance import Coordinate
from concerted.stores.sqlite.store import SqliteStore
from concerted.strategies import choose

if TYPE_CHECKING:
    from concerted.stores.postgres.store import PostgresStore

__all__ = ["Owner", "Setup", "database_path", "strategy_loader"]

NODE_LEASE_BEATS = 3  # heartbeats of which a node may miss all before others take its runs over


def database_path(url: str) -> Path:
    """Return the file that a store's URL names.

    Raises:
        Invalid: the URL names no store that this version knows.
    """
    if not url.startswith("sqlite:///"):
        raise Invalid(
            f"{url!r} names no store in a file; use sqlite:///PATH, as in sqlite:///work.db (or, where several "
            "processes coordinate at once, postgresql://USER@HOST/DATABASE)"
        )
    return store_path(url)


def strategy_loader(own: Mapping[str, Coordinate]) -> Callable[[str], Coordinate]:
    """Return what finds a strategy by name: the program's own first, then built-in and installed ones."""

    def load(name: str) -> Coordinate:
        return own[name] if name in own else choose.load(name)

    return load


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What an owner is made of, whatever the store.

    strategies: name -> `coordinate`, besides the built-in and installed ones.  actions: what it does for
    barriers.  node: names this process among those that have coordinated, or do.
    """

    coordination: Coordination
    store: StoreSettings
    strategies: Mapping[str, Coordinate]
    actions: Mapping[str, Action]
    node: str

    def world(self, url: str, store: Store, clock: Clock, black_box: Path | None) -> World:
        """Return what a coordinator is given."""
        return World(
            store=store,
            clock=clock,
            strategies=strategy_loader(self.strategies),
            open_link=link_from_spec,
            config=self.coordination,
            node=self.node,
            actions=self.actions,
            archive_after_s=self.store.archive_after,
            black_box=black_box,
            replicas=replicas_folder(url),
        )


class Owner:
    """What the owning process, or a node, has open.  clock: a node's, to be adjusted."""

    def __init__(self, coordinator: Coordinator, door: Door, clock: DatabaseClock | None = None) -> None:
        self.coordinator = coordinator
        self._door = door
        self._adjusting = None if clock is None else asyncio.get_running_loop().create_task(self._adjust(clock))

    @classmethod
    async def open(cls, url: str, setup: Setup) -> Owner:
        """Take the store over, replay what is unfinished, and open the door.

        Raises:
            Conflict: another process owns it.  NotAllowed, Invalid: agents could not come in, as `node_socket` says.
            Others as the store's `open` says.
        """
        return await (cls._open_node(url, setup) if is_shared(url) else cls._open_file(url, setup))

    @classmethod
    async def _open_file(cls, url: str, setup: Setup) -> Owner:
        path = database_path(url)
        settings = setup.store
        store = SqliteStore(path, durability=settings.durability, snapshot_every=settings.snapshot_every)
        await store.open()
        coordinator = Coordinator(setup.world(url, store, SystemClock(), path.with_name(path.name + ".run")))
        try:
            await coordinator.start()
            door = Door(coordinator, socket_path(path))
            await door.open()
        except BaseException:
            await coordinator.close("it could not start")
            raise
        return cls(coordinator, door)

    @classmethod
    async def _open_node(cls, url: str, setup: Setup) -> Owner:
        path = node_socket(url, setup.node)  # first: no run is taken over by whom its agents could not reach
        try:
            coordinator, clock = await _node(url, setup)
            try:
                await coordinator.start()
                door = Door(coordinator, path)
                await door.open(listen(url, path))
            except BaseException:
                await coordinator.close("it could not start")
                raise
        except BaseException:
            leave_folder(path)
            raise
        return cls(coordinator, door, clock)

    async def close(self) -> None:
        """Close the door, then the coordinator; the lock, or the node's lease, is free when this returns."""
        if self._adjusting is not None:
            self._adjusting.cancel()
        await self._door.close()
        if self.coordinator.store.shared:
            leave_folder(self._door.path)
        await self.coordinator.close()

    async def _adjust(self, clock: DatabaseClock) -> None:
        while True:
            await asyncio.sleep(float(self.coordinator.config.manager.heartbeat_interval))
            with contextlib.suppress(ConcertedError):  # the database is away; our steady clock carries on
                await clock.adjust()


async def _node(url: str, setup: Setup) -> tuple[Coordinator, DatabaseClock]:
    """Make one more coordinator on a shared database, and the clock by which it goes.

    Raises:
        Unreachable: the database does not answer.  Others as the store's `open` says.
    """
    store = _postgres(url, setup)
    await store.open()
    clock = DatabaseClock(store.time)
    try:
        await clock.adjust()
        return Coordinator(setup.world(url, store, clock, None)), clock
    except BaseException:
        await store.close()
        raise


def _postgres(url: str, setup: Setup) -> PostgresStore:
    """Make the store on a PostgreSQL database.

    Raises:
        Invalid: the package for it is not installed.
    """
    try:
        from concerted.stores.postgres.store import PostgresStore
    except ImportError as error:
        raise Invalid(
            f"{shown_url(url)} takes the package psycopg ({error}): pip install 'concerted[postgres]'"
        ) from error
    lease_s = NODE_LEASE_BEATS * float(setup.coordination.manager.heartbeat_interval)
    settings = setup.store
    return PostgresStore(
        url, durability=settings.durability, snapshot_every=settings.snapshot_every, lease_s=lease_s
    )  # fmt: skip
