"""Answers that come when nobody waits any more: kept as evidence, never applied.

Only the first answer to a command that was closed without one is evidence; a repeated answer is none.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concerted.engine.active import Active
from concerted.engine.performer import parse_key
from concerted.errors import NotFound, WrongPhase
from concerted.kinds import run_stream
from concerted.messages import Reply
from concerted.ports.store import Row, Write
from concerted.values import RunId, TaskId, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Latecomers"]

ENDED_KEPT = 10_000  # finished runs of which it is known what was open
OPEN_KEPT = 100  # commands of one finished run


@dataclass(slots=True)
class _Ended:
    """A finished run.  closed: its commands that were closed without an answer."""

    epoch: int
    closed: dict[int, tuple[TaskId | None, int]]
    epochs: dict[TaskId, int]


class Latecomers:
    """Takes answers to commands that are not open.  repeated, unknown: how many were not kept, and why."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._ended: OrderedDict[RunId, _Ended] = OrderedDict()
        self.repeated = 0
        self.unknown = 0

    def run_ended(self, active: Active) -> None:
        """Remember what was open when a run ended, and under which epoch."""
        instance = active.instance
        closed = dict(list(instance.closed.items())[-OPEN_KEPT:])
        epochs = {task: instance.epochs.get(task, 0) for task, _ in closed.values() if task is not None}
        self._ended[active.id] = _Ended(active.epoch, closed, epochs)
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def take(self, reply: Reply) -> None:
        """Write an answer down if its command was closed without one; count it if not."""
        named = parse_key(reply.key)
        if named is not None and named[0] in self._of.sleepers.dormant:
            self._of.errand(self._take_awake(named[0], reply))
            return
        active = None if named is None else self._of.rounds.live.get(named[0])
        ended = None if named is None else self._ended.get(named[0])
        if named is None or (active is None and ended is None):
            self.unknown += 1
            return
        run, number = named
        if active is not None:
            closed, epochs = active.instance.closed, active.instance.epochs
        else:
            assert ended is not None
            closed, epochs = ended.closed, ended.epochs
        if number not in closed:
            self.repeated += 1
            return
        row = self._row(run, number, reply, closed.pop(number), epochs)
        if active is not None:
            self._of.rounds.late(active, row)
        elif ended is not None:
            self._of.errand(self._of.rounds.append(Write(rows=[row], run=run, epoch=ended.epoch)))

    def _row(
        self, run: RunId, number: int, reply: Reply, claim: tuple[TaskId | None, int], epochs: dict[TaskId, int]
    ) -> Row:
        """Build the row: a refused result if the command was a claim, else a late reply."""
        task, epoch = claim
        data: dict[str, Any] = {"status": reply.status, "value": reply.value, "error": reply.error}
        if task is not None:
            data = {"task": task, "epoch": epoch, "current_epoch": epochs.get(task, 0), **data}
        return Row(
            stream=run_stream(run),
            at=self._of.clock.now(),
            kind="reply.late" if task is None else "result.refused",
            agent=reply.agent,
            ref=str(number),
            data=encode(data),
        )

    async def _take_awake(self, run: RunId, reply: Reply) -> None:
        """Wake the run, which knows what it has closed."""
        with contextlib.suppress(NotFound, WrongPhase):
            await self._of.sleepers.reach(run)
        self.take(reply)
