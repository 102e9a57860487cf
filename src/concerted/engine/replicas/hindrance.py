"""Why what a group of replicas keeps does not come to its end: the group is over, or too few replicas are left."""

from __future__ import annotations

from collections.abc import Sequence

from concerted.consensus.keeper import Keeper
from concerted.consensus.replica_group import ReplicaGroup
from concerted.engine.replicas.ending import KEEPER
from concerted.engine.replicas.groups import KIND
from concerted.kinds import primitive_stream
from concerted.ports.commands import Waiting
from concerted.ports.store import PrimitiveRecord, ReadStore
from concerted.primitives.fold import read_state
from concerted.primitives.table import machine_of
from concerted.story.primitives import OPEN
from concerted.story.replica_groups import never_to_end, too_few

__all__ = ["hindrance", "opening_waits", "stalled_groups"]

KEPT = ("agreement", "decision", "decision_log")
GROUPS = 100  # that one look goes through


async def hindrance(store: ReadStore, record: PrimitiveRecord) -> Waiting | None:
    """Say why a group, or what it keeps and is not over, cannot go on; None: nothing hinders it."""
    if record.kind == KIND:
        return too_few(record.stream, await _state(store, record.id))
    if record.kind not in KEPT or (record.kind != "decision_log" and record.status not in OPEN):
        return None
    group = await _keeper_of(store, record.stream)
    if group is None or not group.has(record.stream):
        return None
    return never_to_end(record, group) if group.is_over else too_few(record.stream, group)


async def opening_waits(store: ReadStore, stream: str) -> Waiting | None:
    """Say why what is entrusted to a group was not opened there yet; None: nothing hinders it, or no group keeps it."""
    return too_few(stream, await _keeper_of(store, stream))


async def stalled_groups(store: ReadStore) -> Sequence[PrimitiveRecord]:
    """Return the groups that are over, or cannot decide: what they keep does not come to its end."""
    over = await store.find(PrimitiveRecord, {"kind": KIND, "status": ("ending", "ended")}, limit=1)
    ready = await store.find(PrimitiveRecord, {"kind": KIND, "status": "ready"}, limit=GROUPS)
    return [*over, *[record for record in ready if await hindrance(store, record) is not None]]


async def _keeper_of(store: ReadStore, stream: str) -> ReplicaGroup | None:
    keeper: Keeper | None = (await read_state(store, machine_of(KEEPER), primitive_stream(KEEPER, stream)))[0]
    return None if keeper is None else await _state(store, keeper.group)


async def _state(store: ReadStore, group: str) -> ReplicaGroup | None:
    state: ReplicaGroup | None = (await read_state(store, machine_of(KIND), primitive_stream(KIND, group)))[0]
    return state
