"""The way to a PostgreSQL server: its URL, connections fit for a store, and its errors in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from concerted.errors import ConcertedError, Invalid, NotAllowed, StoreDamaged, Unreachable
from concerted.stores.commit import Durability

try:
    from psycopg import AsyncConnection, Error, ProgrammingError, errors
    from psycopg.conninfo import conninfo_to_dict
except ImportError as missing:
    raise Invalid("a postgresql:// store needs psycopg; install it: pip install 'concerted[postgres]'") from missing

__all__ = ["Address", "Connection", "Server", "check_server", "connect", "server_of", "translated"]

Connection = AsyncConnection[tuple[Any, ...]]

OLDEST = 15  # major version
SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}\Z")
DEFAULT_SCHEMA = "concerted"

# What libpq is told unless the URL says otherwise: to notice within seconds that the server's machine is gone.
LIBPQ: Mapping[str, object] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

# What every session needs to be, however the server is configured.  Statements read what is committed when they
# begin, so that what is read under a lock is what its last holder left.  Nobody else's limit ends them halfway;
# but a program that stops in the middle of a transaction does not keep the others waiting for ever.
SESSION: Mapping[str, str] = {
    "client_encoding": "UTF8",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "jit": "off",
}

# The writer looks rows up by their keys, a few to some thousands at a time.  Its plans are made when tables
# may still be empty and are kept, so the ones that read whole tables are ruled out.
WRITING: Mapping[str, str] = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


class Address(NamedTuple):
    """Where a store is.  conninfo: for libpq.  shown: the URL without its password."""

    conninfo: str
    schema: str
    shown: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `postgresql://user@host/db?schema=NAME`; everything but `schema` is libpq's.

        Raises:
            Invalid: it is no such URL.
        """
        place, _, query = url.partition("?")
        scheme, _, place = place.partition("://")
        if scheme not in ("postgresql", "postgres"):
            raise Invalid(f"{scheme}:// is no PostgreSQL; write postgresql://user@host/database?schema=name")
        options = dict(parse_qsl(query))
        schema = options.pop("schema", DEFAULT_SCHEMA)
        user, at, host = place.rpartition("@")
        shown = f"{scheme}://{user.partition(':')[0]}{at}{host}"
        if not SCHEMA.match(schema):
            raise Invalid(f"{schema!r} names no schema of {shown}: use 1 to 40 of a-z, 0-9 and _, no digit first")
        conninfo = f"{scheme}://{place}{'?' if options else ''}{urlencode(options)}"
        try:
            conninfo_to_dict(conninfo)
        except ProgrammingError as error:
            raise Invalid(f"{shown} is no URL of a PostgreSQL database: {_first_line(error)}") from error
        return cls(conninfo, schema, f"{shown}?schema={schema}")


class Server(NamedTuple):
    """What decides whether a server may keep a store.  version: as in `server_version_num`."""

    version: int
    fsync: str
    is_standby: bool
    encoding: str


async def connect(address: Address, role: str, durability: Durability | None = None) -> Connection:
    """Open a connection that commits each statement by itself; with a durability, one that writes the log.

    role: what the server's administrator sees it is for.

    Raises:
        psycopg.Error, OSError: there is no way to the server.
    """
    options = {**LIBPQ, "application_name": f"concerted {role}", **conninfo_to_dict(address.conninfo)}
    connection = await AsyncConnection.connect("", autocommit=True, prepare_threshold=2, **options)  # type: ignore[arg-type]
    settings = {"search_path": f'"{address.schema}"', **SESSION, **(WRITING if durability else {})}
    try:
        if durability is not None and durability != "full":
            settings["synchronous_commit"] = "off"
        elif durability == "full":
            rows = await connection.execute("show synchronous_commit")
            if await rows.fetchone() == ("off",):
                settings["synchronous_commit"] = "on"
        calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
        await connection.execute(f"select {calls}", [word for pair in settings.items() for word in pair])
    except BaseException:
        await connection.close()
        raise
    return connection


async def server_of(connection: Connection) -> Server:
    """Ask a server what it is."""
    rows = await connection.execute(
        """select current_setting('server_version_num')::int, current_setting('fsync'), pg_is_in_recovery(),
            current_setting('server_encoding')"""
    )
    row = await rows.fetchone()
    assert row is not None, "a select of values has one row"
    return Server(*row)


def check_server(server: Server, address: Address, durability: Durability) -> None:
    """Refuse a server that could lose what it has answered, or cannot keep what it is given.

    Raises:
        NotAllowed: with the reason.
    """
    if server.version < OLDEST * 10_000:
        major = server.version // 10_000
        raise NotAllowed(f"{address.shown} is PostgreSQL {major}; a store needs {OLDEST} or newer: upgrade the server")
    if server.is_standby:
        raise NotAllowed(f"{address.shown} is a standby, which cannot be written to: name the primary in the URL")
    if server.fsync == "off" and durability != "off":
        raise NotAllowed(
            f"{address.shown} runs with fsync=off: a power cut could take what was answered, or all of the database; "
            "set fsync=on in its postgresql.conf and restart it"
        )
    if server.encoding != "UTF8":
        raise NotAllowed(
            f"{address.shown} keeps texts as {server.encoding}, which has not all characters; "
            "create a database with encoding 'UTF8' and name that one"
        )


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Turn the errors of the server, and of the way to it, into ours, which say what to do."""
    try:
        yield
    except (Error, OSError) as error:  # a TimeoutError is an OSError
        raise _ours(error, address) from error


def _ours(error: BaseException, address: Address) -> ConcertedError:
    facts = {"url": address.shown, "sqlstate": getattr(error, "sqlstate", None)}
    why = _first_line(error)
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return NotAllowed(f"{address.shown} cannot be written by this user: {why}; grant it what it lacks", **facts)
    if isinstance(error, errors.UndefinedTable | errors.UndefinedFunction | errors.UndefinedColumn):
        return StoreDamaged(f"{address.shown} is not a store, or not any more: {why}", **facts)
    return Unreachable(
        f"{address.shown} cannot be reached now: {why}; start the database or check the URL; "
        "work goes on by itself when it is back", **facts
    )  # fmt: skip


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
