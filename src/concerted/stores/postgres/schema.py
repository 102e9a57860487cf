"""The PostgreSQL schema of a store: numbered migrations, and the test that it is one of ours."""

from __future__ import annotations

from collections.abc import Sequence

from concerted.errors import StoreDamaged
from concerted.stores.postgres.connection import Address, Connection
from concerted.stores.postgres.flush import AMEND, FLUSH, LOCK_CLASS

__all__ = ["MIGRATIONS", "migrate"]

# Texts are compared byte by byte, which is the order of Python and SQLite too.
TEXT = 'text collate "C"'

# JSON stands in bytea, not in jsonb: what is read must be what was written, byte for byte, and jsonb sorts
# keys, drops doubles, rewrites numbers and refuses the character U+0000.  Nobody asks the database what is in it.
JSON = "bytea"

# Few tables are rewritten all the time; room in their pages lets a row stay where it is.
ROOMY = "with (fillfactor = 50)"

_LOG: Sequence[str] = (
    f"""create table log(
        seq bigint primary key, stream {TEXT} not null, stream_seq bigint not null, at float8 not null,
        kind {TEXT} not null, agent {TEXT}, ref {TEXT}, data bytea, hash bytea, lamport bigint not null)""",
    "create unique index log_stream on log(stream, stream_seq)",
    "create index log_hash on log(hash) where hash is not null",
    "create table blobs(hash bytea primary key, data bytea not null)",
    # The newest number of all: its one row is changed by every transaction that appends, under the lock of `flush`.
    f"create table counter(seq bigint not null) {ROOMY}",
    "insert into counter values (0)",
    f"create table heads(stream {TEXT} primary key, length bigint not null) {ROOMY}",
    "create table snapshots(seq bigint primary key, records bigint not null, data bytea not null)",
    "alter table snapshots alter data set storage external",
    f"create table attic(path {TEXT} primary key, content bytea not null)",
    "alter table attic alter content set storage external",
)

# What is no part of the log and follows from none.  Renewals are unlogged: they cost no write to disk, and a
# crash of the server empties the table, which is what the port says of the last owner's end.
_LEASES: Sequence[str] = (
    f"create table nodes(id {TEXT} primary key, until timestamptz not null) {ROOMY}",
    f"create table births(run {TEXT} primary key, node {TEXT} not null)",
    f"""create unlogged table renewals(
        stream {TEXT}, key {TEXT}, until float8 not null, primary key (stream, key)) {ROOMY}""",
)

# Who waits at which node.  Unlogged for the same reasons: no node outlives a crash of the server with its waits.
_WAITS: Sequence[str] = (
    f"""create unlogged table waits(
        node {TEXT} not null, number bigint not null, agent {TEXT} not null, command bytea not null,
        place bigint generated always as identity, asked bigint not null default 0,
        confirmed bigint not null default 0, primary key (node, number)) {ROOMY}""",
    "create index waits_agent on waits(agent)",
)

_TABLES: Sequence[str] = (
    f"""create table runs(
        id {TEXT} primary key, strategy {TEXT} not null, status {TEXT} not null, parent {TEXT}, root {TEXT} not null,
        plan {TEXT}, created_at float8 not null, started_at float8, ended_at float8, deadline_at float8, node {TEXT},
        epoch bigint not null, attempts bigint not null, progress {JSON}, result {JSON}, error {TEXT},
        archived boolean not null) {ROOMY}""",
    "create index runs_status on runs(status, id)",
    "create index runs_parent on runs(parent, id) where parent is not null",
    f"""create table tasks(
        run {TEXT} not null, id {TEXT} not null, status {TEXT} not null, agent {TEXT}, attempts bigint not null,
        epoch bigint not null, description {TEXT} not null, after {JSON} not null, result {JSON}, error {TEXT},
        since float8 not null, primary key (run, id)) {ROOMY}""",
    f"""create table agents(
        id {TEXT} primary key, profile {JSON} not null, link {TEXT} not null, spec {JSON} not null,
        state {TEXT} not null, since float8 not null, reason {TEXT} not null) {ROOMY}""",
    f"""create table archives(
        stream {TEXT} primary key, path {TEXT} not null, entries bigint not null, size_bytes bigint not null,
        at float8 not null)""",
    f"""create table primitives(
        stream {TEXT} primary key, kind {TEXT} not null, id {TEXT} not null, name {TEXT} not null,
        status {TEXT} not null, creator {TEXT}, created_at float8 not null, ended_at float8, deadline_at float8,
        wake_at float8, arrived bigint not null, total bigint not null, folded bigint not null) {ROOMY}""",
    "create index primitives_status on primitives(status, stream)",
    "create index primitives_wake_at on primitives(wake_at) where wake_at is not null",
    f"create table participants(agent {TEXT} not null, stream {TEXT} not null, primary key (agent, stream))",
    f"""create table messages(
        agent {TEXT} not null, id {TEXT} not null, sender {TEXT} not null, type {TEXT} not null,
        priority {TEXT} not null, status {TEXT} not null, content {JSON} not null,
        requires_acknowledgment boolean not null, stored_at float8 not null, fetched_at float8,
        acknowledged_at float8, due_at float8, attempts bigint not null, escalate_to {TEXT},
        escalated boolean not null, expires_at float8, fetched_in text not null,
        primary key (agent, id)) {ROOMY}""",
    "create index messages_status on messages(agent, status, id)",
    "create index messages_due_at on messages(due_at) where due_at is not null",
    f"""create table principals(
        name {TEXT} primary key, role {TEXT} not null, token {TEXT} not null, created_at float8 not null,
        revoked_at float8)""",
)

# Messages have the number of the row that stored them, which is known when it is written: `amend` gets it.
_NUMBERS: Sequence[str] = (
    "alter table messages add column number bigint not null default 0",
    "update messages set number = log.seq from log where log.kind = 'message.stored' and log.ref = messages.id",
    "drop function if exists amend(text[], text[], int[])",
    AMEND,
    FLUSH,
)

# Each migration is run once, in one transaction, and never edited afterwards.
MIGRATIONS: tuple[tuple[str, ...], ...] = ((*_LOG, *_LEASES, *_TABLES, AMEND, FLUSH), (*_WAITS,), (*_NUMBERS,))


async def migrate(connection: Connection, address: Address) -> None:
    """Make the schema if it is new and bring it up to date, one process at a time.

    Raises:
        StoreDamaged: it is not a store of ours, or one that newer code wrote; it was not touched.
    """
    async with connection.transaction():
        # Of this transaction, not of the session: whoever dies here lets go of it.
        await connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK_CLASS + 1, address.schema))
        version = await _version(connection, address)
        if version == 0:
            await connection.execute(f'create schema if not exists "{address.schema}"')
            await connection.execute("create table concerted_schema(version bigint not null)")
            await connection.execute("insert into concerted_schema values (0)")
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                await connection.execute(statement)
        if version < len(MIGRATIONS):
            await connection.execute("update concerted_schema set version = %s", (len(MIGRATIONS),))


async def _version(connection: Connection, address: Address) -> int:
    """Return the schema's number, 0 if it is new, after making sure that it is ours to use."""
    tables = await connection.execute(
        """select count(*), count(*) filter (where relname = 'concerted_schema') from pg_class
            where relnamespace = to_regnamespace(%s)""",
        (f'"{address.schema}"',),
    )
    objects, ours = await tables.fetchone() or (0, 0)
    if not objects:
        return 0
    if not ours:
        raise StoreDamaged(
            f"the schema of {address.shown} is used by another program; it was not touched: "
            "name another one with ?schema=", url=address.shown
        )  # fmt: skip
    rows = await connection.execute("select version from concerted_schema")
    [version] = await rows.fetchone() or (0,)
    if version > len(MIGRATIONS):
        raise StoreDamaged(
            f"{address.shown} was written by a newer version of Concerted (schema {version}, this one knows "
            f"{len(MIGRATIONS)}); it was not touched: upgrade Concerted to open it", url=address.shown, version=version
        )  # fmt: skip
    return int(version)
