"""The owner: a coordinator over a store's file, with the door through which other processes reach it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from concerted.agent.wire import socket_path, store_path
from concerted.config.settings import Coordination, StoreSettings
from concerted.engine.coordinator import Coordinator, World
from concerted.errors import Invalid
from concerted.launch.clock import SystemClock
from concerted.launch.door import Door
from concerted.links.open import link_from_spec
from concerted.runs.instance import Coordinate
from concerted.stores.sqlite import SqliteStore
from concerted.strategies import choose

__all__ = ["Owner", "database_path", "strategy_loader"]


def database_path(url: str) -> Path:
    """Return the file that a store's URL names.

    Raises:
        Invalid: the URL names no store that this version knows.
    """
    if not url.startswith("sqlite:///"):
        raise Invalid(f"{url!r} names no store; this version knows sqlite:///PATH, as in sqlite:///work.db")
    return store_path(url)


def strategy_loader(own: Mapping[str, Coordinate]) -> Callable[[str], Coordinate]:
    """Return what finds a strategy by name: the program's own first, then built-in and installed ones."""

    def load(name: str) -> Coordinate:
        return own[name] if name in own else choose.load(name)

    return load


class Owner:
    """What the owning process has open."""

    def __init__(self, coordinator: Coordinator, door: Door) -> None:
        self.coordinator = coordinator
        self._door = door

    @classmethod
    async def open(
        cls, url: str, coordination: Coordination, settings: StoreSettings, strategies: Mapping[str, Coordinate]
    ) -> Owner:
        """Take the store over, replay what is unfinished, and open the door.

        Raises:
            Conflict: another process owns it.  Others as the store's `open` says.
        """
        path = database_path(url)
        store = SqliteStore(path, durability=settings.durability, snapshot_every=settings.snapshot_every)
        await store.open()
        world = World(
            store=store,
            clock=SystemClock(),
            strategies=strategy_loader(strategies),
            open_link=link_from_spec,
            config=coordination,
            archive_after_s=settings.archive_after,
            black_box=path.with_name(path.name + ".run"),
        )
        coordinator = Coordinator(world)
        try:
            await coordinator.start()
            door = Door(coordinator, socket_path(path))
            await door.open()
        except BaseException:
            await coordinator.close("it could not start")
            raise
        return cls(coordinator, door)

    async def close(self) -> None:
        """Close the door, then the coordinator; the lock is free when this returns."""
        await self._door.close()
        await self.coordinator.close()
