"""How the command line reaches a store: asking its owner, reading it when nobody owns it, or becoming the owner."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from concerted.agent.addresses import is_shared, shown_url, socket_path
from concerted.cli.options import url_or_default
from concerted.client.connection import Connection, Disconnected
from concerted.config.loader import load
from concerted.config.settings import Settings
from concerted.engine.views import Viewer
from concerted.errors import Invalid, NotFound, Unreachable
from concerted.launch import Session, open_coordinator
from concerted.launch.owner import database_path
from concerted.ports.commands import Agents, Command, Events, EventView, GetRun, Status, StatusView, Why
from concerted.stores.ownership import owner_of
from concerted.stores.sqlite.reader import SqliteReader

__all__ = [
    "Sight",
    "existing_store",
    "open_reader",
    "open_session",
    "open_sight",
    "owner_pid",
    "settings_here",
    "token_here",
]

LOOK_S = 0.2  # how often a file that nobody owns is looked at for news


class NodeSight:
    """Looks at a shared database, as one more of its nodes: there is no owner to ask."""

    is_owned = True

    def __init__(self, session: Session) -> None:
        self._session = session

    async def give(self, command: Command) -> Any:
        """Return what the database says."""
        return await self._session.give(command)

    async def give_owner(self, command: Command) -> Any:
        """Return the answer to any command."""
        return await self._session.give(command)


class Sight:
    """Looks at a store: through its owner while there is one, else into the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Connection | None = None
        self._reader: SqliteReader | None = None

    @property
    def is_owned(self) -> bool:
        """Whether the last answer came from an owner."""
        return self._connection is not None

    async def give(self, command: Command) -> Any:
        """Return what the owner, or else the file, says to a command that changes nothing."""
        connection = await self._connected()
        if connection is not None:
            try:
                return await connection.give(command)
            except Disconnected:
                await self._hang_up()
        return await self._read(command)

    async def give_owner(self, command: Command) -> Any:
        """Return what the owner answers to any command; None if there is no owner, or no longer."""
        connection = await self._connected()
        try:
            return None if connection is None else await connection.give(command)
        except Disconnected:
            return None

    async def close(self) -> None:
        """Let go of both."""
        await self._hang_up()
        if self._reader is not None:
            await self._reader.close()

    async def _connected(self) -> Connection | None:
        if self._connection is not None and self._connection.lost.done():
            await self._hang_up()
        if self._connection is None:
            try:
                self._connection = await Connection.open(socket_path(self._path), token_here())
            except Unreachable:
                return None
        return self._connection

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _read(self, command: Command) -> Any:
        if self._reader is None:
            self._reader = await SqliteReader.open(self._path)
        viewer = Viewer(self._reader, time.time)
        match command:
            case Status():
                return await viewer.status(everything=command.all, limit=command.limit)
            case GetRun():
                return await viewer.run(command.id, brief=command.brief)
            case Why():
                return await viewer.why(command.subject)
            case Agents():
                seen: StatusView = await viewer.status(everything=False, limit=1)
                return list(seen.agents)
            case Events():
                return await self._events(viewer, command)
        raise AssertionError(f"{type(command).__name__} is no question; it takes a session")

    async def _events(self, viewer: Viewer, command: Events) -> list[EventView]:
        """Read events; wait for news no longer than until an owner may have come."""
        found = await viewer.events(command)
        if not found and command.wait_s > 0:
            await asyncio.sleep(min(LOOK_S, command.wait_s))
        return found


def existing_store(url: str | None) -> Path:
    """Return the file of a store that is there.

    Raises:
        NotFound: it is not.  Invalid: the URL names no store.
    """
    wanted = url_or_default(url)
    path = database_path(wanted)
    if not path.exists():
        raise NotFound(
            f"there is no store at {path}; `concerted run PLAN` makes one, "
            "--store URL or CONCERTED_STORE names another",
            path=str(path),
        )
    return path


@asynccontextmanager
async def open_sight(url: str | None) -> AsyncIterator[Sight | NodeSight]:
    """Open a store to look at it; nothing is written, and this process does not become its owner.

    Raises:
        NotFound, Invalid: as `existing_store`.
    """
    if is_shared(url_or_default(url)):
        async with open_session(url) as session:
            yield NodeSight(session)
        return
    sight = Sight(existing_store(url))
    try:
        yield sight
    finally:
        await sight.close()


@asynccontextmanager
async def open_reader(url: str | None) -> AsyncIterator[SqliteReader]:
    """Open a store's file for reading, whoever owns it.

    Raises:
        NotFound, Invalid: as `existing_store`.
    """
    wanted = url_or_default(url)
    if is_shared(wanted):
        raise Invalid(
            f"{shown_url(wanted)} has no file to read; ask it through its nodes: `concerted status`, `why`, `events`"
        )
    reader = await SqliteReader.open(existing_store(url))
    try:
        yield reader
    finally:
        await reader.close()


def open_session(url: str | None) -> Session:
    """Return a session on a store that is there, as its owner if nobody is; settings come from the environment.

    Raises:
        NotFound, Invalid: as `existing_store`, or a variable that is no setting.
    """
    if not is_shared(url_or_default(url)):
        existing_store(url)
    settings = settings_here()
    return open_coordinator(
        url_or_default(url), coordination=settings.coordination, store=settings.store, token=token_here()
    )


def token_here() -> str | None:
    """Return the token by which the store's principals know whoever gives the commands, if there is one."""
    return os.environ.get("CONCERTED_TOKEN") or None


def settings_here() -> Settings:
    """Return every default, with what the environment overrides."""
    return load("", "(no file)", Settings, env=os.environ).value


def owner_pid(path: Path) -> int | None:
    """Return the process that owns a store, as far as it has said so."""
    pid = owner_of(path).get("pid")
    return pid if isinstance(pid, int) else None
