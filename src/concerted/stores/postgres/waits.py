"""Who waits at which node, in PostgreSQL: a table that is no part of the log and costs no write to disk.

Waits are posted, and asked about, under a lock of their own: so places are in the order of the commits, and
nobody waits for whom waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from concerted.ports.waits import WAITS_READ, PostedWait, WaitKey
from concerted.stores.postgres.flush import LOCK_CLASS
from concerted.stores.postgres.pool import Pool
from concerted.stores.postgres.text import from_text, numbers, texts, to_text
from concerted.stores.questions import Question
from concerted.values import AgentId

__all__ = ["WAITS_CHANNEL", "PostgresWaits"]

WAITS_CHANNEL = "concerted-waits_"  # and the schema's name: where questions and answers are told

_ALONE = f"alone as materialized (select pg_advisory_xact_lock({LOCK_CLASS + 2}, hashtext(current_schema())))"
_TELL = f"pg_notify('{WAITS_CHANNEL}' || current_schema(), '')"
_COLUMNS = "waits.node, waits.number, waits.agent, waits.command, waits.place, waits.asked, waits.confirmed"

# The lock is had before the first row is, and each row draws its place after that.
_POST = f"""
with {_ALONE}
insert into waits(node, number, agent, command)
    select nodes.id, one.number, one.agent, convert_to(one.command, 'UTF8')
    from alone, nodes, unnest(?::bigint[], ?::text[], ?::text[]) with ordinality as one(number, agent, command, nth)
    where nodes.id = ? order by one.nth
    returning number, place"""

_WITHDRAW = "delete from waits where node = ? and number = any(?::bigint[]) returning number"

_OF = f"""
select {_COLUMNS} from waits join nodes on nodes.id = waits.node
    where waits.agent = any(?::text[]) and nodes.until > clock_timestamp()
    order by waits.place limit {WAITS_READ}"""

_ASK = f"""
with {_ALONE}, changed as (
    update waits set asked = waits.asked + 1 from alone, unnest(?::text[], ?::bigint[]) as one(node, number)
    where waits.node = one.node and waits.number = one.number returning waits.node, waits.number, waits.asked
)
select node, number, asked, {_TELL}::text from changed"""

_ASKED = f"select {_COLUMNS} from waits where node = ? and asked > confirmed order by place"

_CONFIRM = f"""
with {_ALONE}, changed as (
    update waits set confirmed = greatest(waits.confirmed, one.asked)
    from alone, unnest(?::text[], ?::bigint[], ?::bigint[]) as one(node, number, asked)
    where waits.node = one.node and waits.number = one.number returning waits.number
)
select number, {_TELL}::text from changed"""


class PostgresWaits:
    """`PostedWaits` in the table `waits`.  pool: gives what questions are asked on while the store is open."""

    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool
        self._told: Callable[[], None] | None = None

    async def post(self, node: str, waits: Sequence[PostedWait]) -> dict[int, int]:
        """Post waits of this node; return number -> place."""
        columns = (
            numbers([one.number for one in waits]),
            texts([to_text(one.agent) for one in waits]),
            texts([one.command.decode() for one in waits]),
            to_text(node),
        )
        return dict(await self._pool().rows(Question(_POST, columns)))

    async def withdraw(self, node: str, numbers_: Sequence[int]) -> None:
        """Take back waits of this node.  Idempotent."""
        await self._pool().rows(Question(_WITHDRAW, (to_text(node), numbers(numbers_))))

    async def of(self, agents: Sequence[AgentId]) -> list[PostedWait]:
        """Return the waits of these agents at nodes whose lease stands, by place."""
        rows = await self._pool().rows(Question(_OF, (texts([to_text(agent) for agent in agents]),)))
        return [_wait(row) for row in rows]

    async def ask(self, keys: Sequence[WaitKey]) -> Mapping[WaitKey, int]:
        """Ask their nodes whether these still stand; return the number of each question."""
        columns = texts([to_text(node) for node, _ in keys]), numbers([number for _, number in keys])
        rows = await self._pool().rows(Question(_ASK, columns))
        return {(from_text(node), number): asked for node, number, asked, _ in rows}

    async def asked(self, node: str) -> list[PostedWait]:
        """Return the waits of this node about which a question is open."""
        return [_wait(row) for row in await self._pool().rows(Question(_ASKED, (to_text(node),)))]

    async def confirm(self, waits: Sequence[PostedWait]) -> None:
        """Say that these stand, as an answer to the question in `asked`."""
        columns = (
            texts([to_text(one.node) for one in waits]),
            numbers([one.number for one in waits]),
            numbers([one.asked for one in waits]),
        )
        await self._pool().rows(Question(_CONFIRM, columns))

    def listen(self, told: Callable[[], None]) -> None:
        """Have `told()` called whenever there may be a new question or answer."""
        self._told = told

    def tell(self) -> None:
        """Tell whoever listens."""
        if self._told is not None:
            self._told()


def _wait(row: Sequence[Any]) -> PostedWait:
    node, number, agent, command, place, asked, confirmed = row
    return PostedWait(
        node=from_text(node),
        number=number,
        agent=AgentId(from_text(agent)),
        command=command,
        place=place,
        asked=asked,
        confirmed=confirmed,
    )
