"""What is held until when, in PostgreSQL: a table that is no part of the log and costs no write to disk."""

from __future__ import annotations

from collections.abc import Sequence

from concerted.ports.store import Renewal
from concerted.stores.postgres.pool import Pool
from concerted.stores.postgres.text import numbers, texts
from concerted.stores.questions import Question
from concerted.values import Instant

__all__ = ["held", "renew"]

# Rows are locked in the order of their keys, here as in `flush`: so nobody waits for whom waits for them.
_RENEW = """
with wanted as (
    select stream, key, max(until) as until
    from unnest(?::text[], ?::text[], ?::float8[]) as each(stream, key, until) group by stream, key
), locked as (
    select renewals.stream, renewals.key, wanted.until from renewals join wanted using (stream, key)
    order by renewals.stream, renewals.key for update of renewals
)
update renewals set until = greatest(renewals.until, locked.until) from locked
    where renewals.stream = locked.stream and renewals.key = locked.key returning renewals.stream, renewals.key"""

_HELD = "select key, until from renewals where stream = ? order by key"


async def renew(pool: Pool, renewals: Sequence[Renewal]) -> list[bool]:
    """Hold these longer, never shorter; False for what is not held."""
    if not renewals:
        return []
    columns = (
        texts([one.stream for one in renewals]),
        texts([one.key for one in renewals]),
        numbers([one.until for one in renewals]),
    )
    renewed = set(await pool.rows(Question(_RENEW, columns)))
    return [(one.stream, one.key) in renewed for one in renewals]


async def held(pool: Pool, stream: str) -> dict[str, Instant]:
    """Return what is held of a stream, key -> until when."""
    return dict(await pool.rows(Question(_HELD, (stream,))))
