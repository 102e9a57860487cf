"""The nodes on one database: each has a lease on the database's clock, and whose lease ends loses its runs."""

from __future__ import annotations

from concerted.ports.store import RunRecord
from concerted.stores.adoption import UNFINISHED
from concerted.stores.postgres.changes import record_of
from concerted.stores.postgres.flush import CHANNEL
from concerted.stores.postgres.pool import Pool, ask
from concerted.stores.projections import columns_of
from concerted.stores.questions import Question

__all__ = ["Nodes"]

# Renewals are forgotten when the last node has died without closing: leases that could not be renewed since must
# not look as if nobody had wanted them any more.
_FORGET = """
delete from renewals where not exists (select from nodes where until > clock_timestamp())
    and exists (select from nodes)"""

# A node whose row is gone has lost its lease, even if it has not noticed: its next beat is refused.
_BURY = "delete from nodes where until <= clock_timestamp() and id <> ? returning id"

# What a node has posted goes with it; what this one has, the first time, is of an earlier life.
_WITHDRAW = """
delete from waits where case when node = ? then ? else not exists (select from nodes where nodes.id = waits.node) end"""

# Who has a run: the node that started it or took it over; before that, the one that wrote its creation.
_ADOPTABLE = f"""
select {", ".join(f"runs.{name}" for name in columns_of(RunRecord).names)}
    from runs left join births on births.run = runs.id and runs.node is null
    where runs.status in ({", ".join(f"'{status}'" for status in UNFINISHED)})
    and case when coalesce(runs.node, births.node) = ? then ?
        else not exists (select from nodes where nodes.id = coalesce(runs.node, births.node)) end
    order by runs.id"""

_OUTGROWN = f"""
delete from births where not exists (
    select from runs where runs.id = births.run and runs.node is null
    and runs.status in ({", ".join(f"'{status}'" for status in UNFINISHED)}))"""

_REGISTER = """
insert into nodes(id, until) values (?, clock_timestamp() + make_interval(secs => ?))
    on conflict (id) do update set until = excluded.until"""

_BEAT = "update nodes set until = clock_timestamp() + make_interval(secs => ?) where id = ? returning id"

_END = f"""
with ended as (delete from nodes where id = any(?) returning id),
    withdrawn as (delete from waits using ended where waits.node = ended.id)
select pg_notify('{CHANNEL}' || current_schema(), counter.seq::text) from counter where exists (select from ended)"""


class Nodes:
    """The nodes of one store object; mostly one."""

    def __init__(self, pool: Pool, ttl_s: float) -> None:
        self._pool = pool
        self._ttl_s = ttl_s
        self._ours: list[str] = []

    async def open(self) -> None:
        """Forget what was held, if nobody is there who could renew it."""
        await self._pool.rows(Question(f"{_FORGET} returning key", ()))

    async def register(self, node: str) -> list[RunRecord]:
        """Give a node its lease and return the unfinished runs that nobody has.

        The first time, what it had in an earlier life is among them: it is in nobody's memory any more.
        """
        is_first = node not in self._ours
        async with self._pool.lent() as connection:
            await ask(connection, Question(_BURY, (node,)))
            rows = await ask(connection, Question(_ADOPTABLE, (node, is_first)))
            await connection.execute(_OUTGROWN)
            await connection.execute(_WITHDRAW.replace("?", "%s"), (node, is_first))
            await connection.execute(_REGISTER.replace("?", "%s"), (node, self._ttl_s))
        if is_first:
            self._ours.append(node)
        return [record_of(RunRecord, row) for row in rows]

    async def beat(self, node: str, ttl_s: float) -> bool:
        """Renew a node's lease; False if somebody has found that it was over."""
        self._ttl_s = ttl_s
        return await self._pool.row(_BEAT, (ttl_s, node)) is not None

    async def end(self) -> None:
        """End the leases of this store's nodes and wake the others, who may adopt what they had."""
        if self._ours:
            await self._pool.rows(Question(_END, (self._ours,)))
