"""The PostgreSQL store beyond the exam: one call for many, a database that goes away, schemas it must refuse."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest

from concerted.errors import Invalid, NotAllowed, NotFound, StoreDamaged, Unreachable, WrongPhase
from concerted.ports.store import (
    ArchiveRecord,
    Fenced,
    MessageRecord,
    PrimitiveRecord,
    Renewal,
    Row,
    RunRecord,
    Stale,
    Write,
)
from concerted.stores import MemoryStore
from concerted.stores.postgres.connection import Address
from concerted.stores.postgres.reader import PostgresReader
from concerted.stores.postgres.schema import MIGRATIONS
from concerted.stores.postgres.store import PostgresStore
from concerted.stores.snapshots import SNAPSHOTS_KEPT
from concerted.values import RunId

CREATED = Write(
    rows=[Row(stream="run:a", at=1.0, kind="run.created", data=b'{"strategy":"s"}')], creates=RunId("a")
)  # fmt: skip
FAILED = Write(rows=[Row(stream="run:a", at=1.0, kind="run.failed", data=b'{"error":"e"}')])
WITHIN_S = 20.0  # for what must come; it comes within milliseconds

Url = Callable[[], str]


def note(number: int, data: bytes = b"null") -> Write:
    return Write(rows=[Row(stream="run:a", at=1.0, kind="x", ref=str(number), data=data)], run=RunId("a"), epoch=1)


def run(scene: Awaitable[None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(3 * WITHIN_S):
            await scene

    asyncio.run(within())


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, **({"durability": "off"} | options))
    try:
        await store.open()
        yield store
    finally:
        await store.close()


def sql(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement in the store's schema, from outside."""
    address = Address.parse(url)
    with psycopg.connect(address.conninfo, autocommit=True) as connection:
        connection.execute(f"set search_path = {address.schema}")
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


async def shut_out(url: str, role: str) -> int:
    """End the database's sessions of this role; return how many there were."""
    ended = sql(
        url, "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and application_name = %s", f"concerted {role}"
    )  # fmt: skip
    return len(ended)


# One call for many


def test_all_that_is_appended_in_one_turn_shares_a_commit(postgres: Url) -> None:
    async def scene() -> None:
        async with opened(postgres()) as store:
            await store.append([CREATED])
            assert (store.commits, store.rows) == (1, 1)
            await asyncio.gather(*(store.append([note(number)]) for number in range(100)))
            assert (store.commits, store.rows) == (2, 101)

    run(scene())


def test_what_comes_while_a_flush_is_in_flight_joins_the_next(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            await store.append([CREATED])
            async with locked(url):
                calls = []
                for number in range(50):
                    calls.append(asyncio.ensure_future(store.append([note(number)])))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
            assert sorted(seq for [seq] in await asyncio.gather(*calls)) == list(range(2, 52))  # type: ignore[type-var]
            assert store.commits <= 3

    run(scene())


@contextlib.asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Keep every writer waiting, as a long transaction of another node does."""
    address = Address.parse(url)
    async with await psycopg.AsyncConnection.connect(address.conninfo) as connection:
        await connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (0x434F4E43, address.schema))
        yield


def test_nothing_is_written_if_everything_is_refused(postgres: Url) -> None:
    async def scene() -> None:
        async with opened(postgres()) as store:
            assert await store.append([note(1), note(2)]) == [Fenced(RunId("a"), 0)] * 2
            assert (store.commits, store.rows, await store.last_seq()) == (0, 0, 0)

    run(scene())


def test_who_is_cancelled_while_waiting_does_not_disturb_the_others(postgres: Url) -> None:
    async def scene() -> None:
        async with opened(postgres()) as store:
            await store.append([CREATED])
            first, second = (asyncio.ensure_future(store.append([note(number)])) for number in (1, 2))
            await asyncio.sleep(0)
            first.cancel()
            assert await second == [3], "the cancelled row was on its way and is written"
            for _ in range(5):
                reading = asyncio.ensure_future(store.log())
                await asyncio.sleep(0.001)
                reading.cancel()
            assert await store.last_seq() == 3, "a question that nobody waits for leaves nothing behind"

    run(scene())


def test_an_owner_that_closes_finishes_what_is_queued(postgres: Url) -> None:
    async def scene() -> None:
        async with opened(postgres()) as store:
            calls = [asyncio.ensure_future(store.append([write])) for write in (CREATED, note(1), note(2))]
            await asyncio.sleep(0)
            await store.close()
            assert [call.result() for call in calls] == [[1], [2], [3]]
            await store.open()
            assert await store.last_seq() == 3

    run(scene())


def test_large_data_is_kept_once_and_leaves_with_the_last_stream_that_has_it(postgres: Url) -> None:
    large = b'"' + b"x" * 70_000 + b'"'

    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            await store.append([CREATED, *(note(number, large) for number in range(20)), FAILED])
            await store.append([Write(rows=[Row(stream="note:b", at=1.0, kind="x", data=large)])])
            assert [entry.data for entry in await store.log(kind="x", stream="run:a")] == [large] * 20
            assert sql(url, "select count(*), sum(length(data)) from blobs") == [(1, len(large))]
            await store.archive("run:a")
            assert (await store.stream("note:b"))[0].data == large, "another stream still has it"
            assert (await store.stream("run:a"))[1].data == large

    run(scene())


def test_a_write_that_is_too_large_for_one_message_is_refused(postgres: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.stores.postgres.store.WRITE_BYTES", 1_000)

    async def scene() -> None:
        async with opened(postgres()) as store:
            data = b'"' + b"x" * 1_000 + b'"'
            with pytest.raises(Invalid, match="pass references"):
                await store.append([Write(rows=[Row(stream="note:a", at=1.0, kind="x", data=data)])])
            assert await store.append([CREATED]) == [1]

    run(scene())


# The same as in memory


STREAMS = ("lease:a", "lease:b", "run:r", "run:q")
KINDS = ("run.created", "run.resumed", "run.progressed", "tasks.added", "task.ready", "x")


@pytest.mark.parametrize("seed", range(3))
def test_memory_and_postgres_answer_the_same(seed: int, postgres: Url) -> None:
    dice = random.Random(seed)

    async def scene() -> None:
        memory = MemoryStore()
        await memory.open()
        async with opened(postgres()) as store:
            for _ in range(40):
                writes = [await _random_write(dice, memory) for _ in range(dice.randint(1, 12))]
                wanted = await memory.append(writes)
                assert await store.append(writes) == wanted, f"seed {seed}: {writes}"
                for stream in STREAMS:
                    assert await store.held(stream) == await memory.held(stream), f"seed {seed}: {writes}"
            assert await store.log(limit=10_000) == await memory.log(limit=10_000)
            assert await store.find(RunRecord) == await memory.find(RunRecord)
            assert (store.commits, store.rows) == (memory.commits, memory.rows)
            assert await store.rebuild() == 0

    run(scene())


async def _random_write(dice: random.Random, known: MemoryStore) -> Write:
    """Make a write of which each part is right or nearly so."""
    stream = dice.choice(STREAMS)
    name = RunId(dice.choice("rq"))
    epoch = await _epoch(known, name)
    rows = []
    for _ in range(dice.choice((0, 1, 1, 1, 2))):
        kind = dice.choice(KINDS) if stream.startswith("run:") else "x"
        data = b'{"strategy":"s","node":"n","epoch":%d,"tasks":[{"id":"t"}]}' % dice.choice((1, epoch or 1, epoch + 1))
        rows.append(Row(stream=stream, at=1.0, kind=kind, ref="t", data=data))
    creates = next((RunId(stream[4:]) for row in rows if row.kind == "run.created"), None)
    after = {}
    for based in dice.sample(STREAMS, dice.choice((0, 0, 1, 2))):
        after[based] = len(await known.stream(based)) + dice.choice((0, 0, 0, 1, 2, -1))
    renewals = [Renewal(dice.choice(STREAMS), dice.choice("kl"), float(dice.randint(0, 3))) for _ in range(4)]
    return Write(
        rows=rows,
        run=dice.choice((None, None, name)),
        epoch=dice.choice((epoch, epoch, epoch + 1, 0)),
        creates=creates,
        after=after,
        holds=renewals[: dice.choice((0, 0, 1))],
        drops=renewals[2 : 2 + dice.choice((0, 0, 1, 2))],
    )


async def _epoch(known: MemoryStore, name: str) -> int:
    record = await known.get(RunRecord, name)
    return record.epoch if record else 0


# A database that goes away

WAITING = """
select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'concerted writer' and wait_event_type = 'Lock'"""


def test_after_a_lost_connection_nothing_is_written_until_it_is_opened_again(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            await store.append([CREATED])
            assert await shut_out(url, "writer") == 1
            for _ in range(2):
                with pytest.raises(Unreachable, match="nothing more is written until the store is opened again"):
                    await store.append([note(1)])
            for job in (store.rebuild(), store.adopt("n", 1.0)):
                with pytest.raises(Unreachable):
                    await job
            assert await store.last_seq() == 1, "it can be read"
            await store.open()
            assert await store.append([note(1)]) == [2]

    run(scene())


def test_a_session_that_ends_in_the_middle_of_a_flush_leaves_nobody_waiting(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            await store.append([CREATED])
            async with locked(url):
                calls = [asyncio.ensure_future(store.append([note(number)])) for number in range(3)]
                await _until(lambda: sql(url, WAITING) == [(1,)])
                calls.append(asyncio.ensure_future(store.append([note(3)])))
                assert await shut_out(url, "writer") == 1
                for call in calls:
                    with pytest.raises(Unreachable, match="cannot be reached now"):
                        await call
            assert await store.last_seq() == 1
            await store.close()
            await store.open()
            assert await store.append([note(1)]) == [2], "what was in the middle is not there"

    run(scene())


def test_reading_goes_on_by_itself_when_the_database_is_back(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            await store.append([CREATED])
            await asyncio.gather(*(store.last_seq() for _ in range(10)))
            assert await shut_out(url, "reader") >= 1
            assert await asyncio.gather(*(store.last_seq() for _ in range(10))) == [1] * 10
            assert not await store.beat("nobody", 1.0)

    run(scene())


def test_a_database_that_does_not_exist_is_unreachable_and_nothing_is_left_open(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        store = PostgresStore(url.replace("concerted_test", "no_such"))
        for _ in range(2):
            with pytest.raises(Unreachable, match="does not exist; start the database or check the URL"):
                await store.open()
        for ask in (
            store.last_seq,
            store.rebuild,
            store.time,
            lambda: store.append([CREATED]),
            lambda: store.held("a"),
        ):
            with pytest.raises(Unreachable):
                await ask()
        await store.close()

    run(scene())


def test_who_listens_is_told_what_came_while_the_connection_was_lost(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        told: list[int] = []
        async with opened(url) as store, opened(url) as other:
            store.listen(told.append)
            await other.append([CREATED])
            await _until(lambda: 1 in told)
            async with locked(url):
                assert await shut_out(url, "listener") == 1
                told.clear()
                written = asyncio.ensure_future(other.append([note(1)]))
            await written
            await _until(lambda: 2 in told)
            await store.append([note(2)])
            await other.append([note(3)])
            await _until(lambda: 4 in told)
            assert 3 not in told, "its own commits are no news"

    run(scene())


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


# Whose schema it is


def test_many_may_open_a_new_schema_at_once(postgres_database: str) -> None:
    url = f"{postgres_database}?schema=at_once"

    async def scene() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stores = [PostgresStore(url) for _ in range(5)]
            for store in stores:
                stack.push_async_callback(store.close)
            await asyncio.gather(*(store.open() for store in stores))
            answers = await asyncio.gather(*(store.append([CREATED]) for store in stores))
            assert sum(answer == [1] for answer in answers) == 1

    run(scene())


def test_a_schema_of_another_program_is_not_touched(postgres_database: str) -> None:
    url = f"{postgres_database}?schema=theirs"
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("create schema theirs; create table theirs.log(line text)")

    async def scene() -> None:
        store = PostgresStore(url)
        with pytest.raises(StoreDamaged, match="is used by another program; it was not touched"):
            await store.open()
        await store.close()
        with pytest.raises(StoreDamaged, match="is not a store"):
            await PostgresReader.open(url)

    run(scene())
    assert sql(url, "select tablename from pg_tables where schemaname = 'theirs'") == [("log",)]


def test_a_newer_schema_is_not_touched(postgres_database: str) -> None:
    url = f"{postgres_database}?schema=newer"

    async def scene() -> None:
        async with opened(url):
            pass
        sql(url, "update concerted_schema set version = version + 1")
        with pytest.raises(StoreDamaged, match=rf"newer version .* \(schema {len(MIGRATIONS) + 1}, .* upgrade"):
            await PostgresStore(url).open()

    run(scene())


def test_messages_that_an_older_version_stored_get_their_numbers(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{postgres_database}?schema=older"

    async def scene() -> None:
        with monkeypatch.context() as older:
            older.setattr("concerted.stores.postgres.schema.MIGRATIONS", MIGRATIONS[:2])
            async with opened(url):
                pass
        sql(url, "create function amend(a text[], b text[], c int[]) returns void language sql as ''")
        sql(
            url,
            """insert into log(seq, stream, stream_seq, at, kind, ref, lamport)
                values (7, 'mail', 1, 1, 'message.stored', 'm', 7)""",
        )
        sql(
            url,
            """insert into messages(agent, id, sender, type, priority, status, content, requires_acknowledgment,
                stored_at, attempts, escalated, fetched_in) values ('ann', 'm', 'bob', 'NOTE', 'low', 'stored',
                '1', false, 1, 0, false, '')""",
        )
        sql(url, "update counter set seq = 7")
        async with opened(url) as store:
            record = await store.get(MessageRecord, "ann", "m")
            assert record is not None
            assert record.number == 7
            await store.append([CREATED])
        assert sql(
            url, "select count(*) from pg_proc where proname = 'amend' and pronamespace = 'older'::regnamespace"
        ) == [(1,)]

    run(scene())


def test_a_user_who_may_not_write_is_told_so(postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        name = f"reader_{connection.info.dbname}"
        connection.execute(f"create role {name} login")
        try:
            own = connection.info.user
            url = postgres_database.replace(f"//{own}@", f"//{name}@") + "?schema=not_allowed"
            with pytest.raises(NotAllowed, match=r"cannot be written by this user: .*; grant it what it lacks"):
                run(PostgresStore(url).open())
        finally:
            connection.execute(f"drop role {name}")


# The past


def test_the_past_is_read_from_few_snapshots(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url, snapshot_every=3) as store:
            await store.append([CREATED])
            for number in range(150):
                row = Row(stream="run:a", at=1.0, kind="run.progressed", data=b"%d" % number)
                await store.append([Write(rows=[row])])
            [(count,)] = sql(url, "select count(*) from snapshots")
            assert 4 <= count <= SNAPSHOTS_KEPT
            for seq in (1, 2, 77, 151):
                record = await (await store.at(seq)).get(RunRecord, "a")
                assert record is not None
                assert record.progress == (None if seq == 1 else b"%d" % (seq - 2))

    run(scene())


def test_the_tables_are_right_again_after_a_rebuild(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            await store.append([CREATED])
            sql(url, "update runs set epoch = 7, status = 'failed'")
            sql(url, "insert into agents values ('nobody', '{}', 'local', 'null', 'alive', 0, '')")
            assert await store.append([note(1)]) == [Fenced(RunId("a"), 7)]
            assert await store.rebuild() == 2
            assert await store.rebuild() == 0
            assert await store.append([note(1)]) == [2], "the fence holds what the log says"

    run(scene())


def test_an_archive_stands_in_the_attic(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            await store.append([CREATED, FAILED])
            entries = await store.stream("run:a")
            archived = await store.archive("run:a")
            assert archived.path.startswith("attic/run_a-")
            assert sql(url, "select path, length(content) from attic") == [(archived.path, archived.size_bytes)]
            assert sql(url, "select count(*) from log where stream = 'run:a'") == [(0,)]
            reader = await PostgresReader.open(url)
            assert await reader.stream("run:a") == entries
            sql(url, "update attic set content = substr(content, 1, 20)")
            with pytest.raises(StoreDamaged, match=r"attic/run_a-.* is damaged"):
                await reader.stream("run:a")
            sql(url, "delete from attic")
            for ask in (lambda: reader.stream("run:a"), lambda: store.at(1)):
                with pytest.raises(NotFound, match=r"attic/run_a-.* is gone"):
                    await ask()
            assert await reader.get(ArchiveRecord, "run:a") == archived, "the connection is still of use"
            await reader.close()

    run(scene())


def test_a_stream_that_grows_while_it_is_packed_stays(postgres: Url) -> None:
    async def scene() -> None:
        async with opened(postgres()) as store:
            await store.append([CREATED, FAILED])
            late = Write(rows=[Row(stream="run:a", at=2.0, kind="reply.late")])
            seen = [asyncio.ensure_future(store.archive("run:a"))]
            while not seen[0].done():
                seen.append(asyncio.ensure_future(store.append([late])))
                await asyncio.sleep(0.001)
            with contextlib.suppress(WrongPhase):
                await seen[0]
            await asyncio.gather(*seen[1:])
            numbers = [entry.stream_seq for entry in await store.stream("run:a")]
            assert numbers == list(range(1, len(seen) + 2)), "nothing was lost or doubled on the way"
            assert await store.rebuild() == 0

    run(scene())


# Nodes


def test_the_time_is_the_server_s(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url) as store:
            [(before,)] = sql(url, "select extract(epoch from clock_timestamp())::float8")
            now = await store.time()
            [(after,)] = sql(url, "select extract(epoch from clock_timestamp())::float8")
            assert before <= now <= after

    run(scene())


def test_a_node_that_opens_anew_under_its_name_takes_back_its_runs(postgres: Url) -> None:
    async def scene() -> None:
        url = postgres()
        async with opened(url, lease_s=600.0) as store:
            await store.adopt("one", 1.0)
            await store.append([CREATED])
            async with opened(url, lease_s=600.0) as other:
                assert await other.adopt("two", 2.0) == []
                assert await store.adopt("one", 2.0) == [], "what it has, it has"
                nodes = sql(url, "delete from nodes where id = 'one' returning id, until")
                await store.close()  # it leaves as one does that is killed: its lease goes on
                sql(url, "insert into nodes values (%s, %s)", *nodes[0])
                await store.open()
                assert await other.adopt("two", 3.0) == []
                [back] = await store.adopt("one", 3.0)
                assert (back.id, back.node, back.epoch) == ("a", "one", 2)

    run(scene())


def test_a_primitive_s_row_is_written_by_whoever_is_first(postgres: Url) -> None:
    """A retry within a flush: two of its writes are refused, the others are written in the same commit."""

    async def scene() -> None:
        url = postgres()
        async with opened(url) as store, opened(url) as other:
            await other.append([CREATED, Write(rows=[Row(stream="lease:a", at=1.0, kind="x")])])
            created = Row(stream="latch:l", at=1.0, kind="latch.created", data=b'{"total":2}')
            stale = Write(rows=[Row(stream="lease:a", at=1.0, kind="y")], after={"lease:a": 0})
            answers = await store.append([Write(rows=[created], after={"latch:l": 0}), CREATED, stale, note(1)])
            assert answers == [3, Fenced(RunId("a"), 1), Stale("lease:a", 1), 4]
            assert store.commits == 1
            record = await other.get(PrimitiveRecord, "latch:l")
            assert record is not None
            assert record.total == 2

    run(scene())
