"""Which runs a new owner takes over, and the rows that say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from concerted.kinds import run_stream
from concerted.ports.store import Row, RunRecord, Write
from concerted.values import Instant, RunId, encode

__all__ = ["UNFINISHED", "parents_first", "takeovers"]

UNFINISHED = ("queued", "initializing", "active")  # a parked run waits for a person, not for an owner


def takeovers(runs: Iterable[RunRecord], node: str, at: Instant, *, queued: bool = False) -> list[Write]:
    """Return the writes by which `node` takes these runs over, each under the epoch it still has.

    Who was queued and never started needs none where a store has one owner: nobody has acted for it yet.
    queued: it has several, and it must be written who has those too.
    """
    writes = []
    for run in runs:
        if run.status == "queued" and run.started_at is None and not queued:
            continue
        reason = f"{run.node} owns the store no more" if run.node else "it has no owner"
        data = {"node": node, "epoch": run.epoch + 1, "attempts": run.attempts, "reason": reason}
        row = Row(stream=run_stream(run.id), at=at, kind="run.resumed", data=encode(data))
        writes.append(Write(rows=(row,), run=run.id, epoch=run.epoch))
    return writes


def parents_first(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Order runs so that a parent comes before its children; among equals, the older first."""
    by_id = {run.id: run for run in runs}
    depths: dict[RunId, int] = {}
    for run in runs:
        line: list[RunId] = []
        one: RunRecord | None = run
        while one is not None and one.id not in depths and one.id not in line:
            line.append(one.id)
            one = by_id.get(one.parent) if one.parent is not None else None
        depth = depths.get(one.id, -1) if one is not None else -1
        for place, name in enumerate(reversed(line), 1):
            depths[name] = depth + place
    return sorted(runs, key=lambda run: (depths[run.id], run.created_at, run.id))
