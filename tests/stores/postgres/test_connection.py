"""The way to a PostgreSQL server: its URL, which servers are refused, what errors say."""

import asyncio
import subprocess
import sys

import psycopg
import pytest

from concerted.errors import ConcertedError, Invalid, NotAllowed, StoreDamaged, Unreachable
from concerted.stores.postgres.connection import Address, Server, check_server, connect, server_of, translated

ADDRESS = Address.parse("postgresql://ann@db.example/work")
GOOD = Server(version=150_004, fsync="on", is_standby=False, encoding="UTF8")


def test_a_url_is_libpq_s_but_for_the_schema() -> None:
    address = Address.parse("postgresql://ann@db.example:5433/work?sslmode=require&schema=team_a")
    assert address.conninfo == "postgresql://ann@db.example:5433/work?sslmode=require"
    assert (address.schema, ADDRESS.schema) == ("team_a", "concerted")


def test_a_url_without_a_host_is_the_socket_of_this_machine() -> None:
    address = Address.parse("postgresql:///work?host=/run/postgresql&schema=a")
    assert address.conninfo == "postgresql:///work?host=%2Frun%2Fpostgresql"
    assert address.shown == "postgresql:///work?schema=a"


@pytest.mark.parametrize("url", ["postgresql://ann:s3cret@db/work", "postgres://ann@db/work?password=s3cret"])
def test_a_password_is_never_shown(url: str) -> None:
    address = Address.parse(url)
    assert "s3cret" in address.conninfo
    assert address.shown.endswith("://ann@db/work?schema=concerted")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://db/work", "mysql:// is no PostgreSQL"),
        ("postgresql://db/work?schema=Team", "'Team' names no schema of postgresql://db/work"),
        ("postgresql://db/work?schema=a;drop", "names no schema"),
        ("postgresql://db/work?schema=" + "a" * 41, "names no schema"),
        ("postgresql://db/work?nonsense=1", "is no URL of a PostgreSQL database"),
    ],
)
def test_what_is_no_url_of_a_store_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        Address.parse(url)


def test_a_good_server_is_accepted() -> None:
    check_server(GOOD, ADDRESS, "full")
    check_server(GOOD._replace(fsync="off"), ADDRESS, "off")


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        (GOOD._replace(version=140_011), "is PostgreSQL 14; a store needs 15 or newer: upgrade the server"),
        (GOOD._replace(is_standby=True), "is a standby, .* name the primary in the URL"),
        (GOOD._replace(fsync="off"), "runs with fsync=off: .* set fsync=on"),
        (GOOD._replace(encoding="LATIN1"), "keeps texts as LATIN1, .* encoding 'UTF8'"),
    ],
)
def test_a_server_that_could_lose_what_it_answered_is_refused(server: Server, complaint: str) -> None:
    with pytest.raises(NotAllowed, match=complaint) as caught:
        check_server(server, ADDRESS, "full")
    assert ADDRESS.shown in caught.value.message


@pytest.mark.parametrize(
    ("error", "kind", "complaint"),
    [
        (psycopg.errors.InsufficientPrivilege("permission denied"), NotAllowed, "permission denied; grant it"),
        (psycopg.errors.UndefinedTable("no such table"), StoreDamaged, "is not a store, or not any more"),
        (
            psycopg.OperationalError("connection refused\nsecond line"),
            Unreachable,
            "now: connection refused; start the",
        ),
        (ConnectionResetError("reset"), Unreachable, "check the URL; work goes on by itself when it is back"),
        (TimeoutError(), Unreachable, "now: TimeoutError; start the database"),
    ],
)
def test_errors_say_what_to_do(error: Exception, kind: type[ConcertedError], complaint: str) -> None:
    with pytest.raises(kind, match=complaint) as caught, translated(ADDRESS):
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.facts["url"] == ADDRESS.shown


def test_a_missing_driver_is_named_with_the_line_that_installs_it() -> None:
    code = "import sys; sys.modules['psycopg'] = None; import concerted.stores.postgres.store"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs psycopg; install it: pip install 'concerted[postgres]'" in done.stderr


def test_a_session_is_what_a_store_needs_whatever_the_database_says(postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as settings:
        name = settings.info.dbname
        for setting in ("default_transaction_isolation = 'serializable'", "synchronous_commit = 'off'", "jit = 'on'"):
            settings.execute(f"alter database {name} set {setting}")
    try:
        asyncio.run(_look(postgres_database))
    finally:
        with psycopg.connect(postgres_database, autocommit=True) as settings:
            settings.execute(f"alter database {name} reset all")


async def _look(url: str) -> None:
    address = Address.parse(f"{url}?schema=user")
    for durability, commit in (("full", "on"), ("normal", "off"), (None, "off")):
        connection = await connect(address, "test", durability)  # type: ignore[arg-type]
        found = {}
        for name in ("default_transaction_isolation", "synchronous_commit", "jit", "search_path"):
            [found[name]] = await (await connection.execute(f"show {name}")).fetchone() or ("",)
        assert found == {
            "default_transaction_isolation": "read committed",
            "synchronous_commit": commit,
            "jit": "off",
            "search_path": '"user"',
        }
        assert (await server_of(connection)).version >= 150_000
        await connection.close()


def test_a_database_that_is_away_is_unreachable() -> None:
    address = Address.parse("postgresql://127.0.0.1:1/none")
    with pytest.raises(Unreachable, match=r"cannot be reached now: .* start the database"), translated(address):
        asyncio.run(connect(address, "test"))
