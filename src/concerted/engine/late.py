"""Answers that come when nobody waits any more: kept as evidence, never applied."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from concerted.engine.active import Active
from concerted.engine.performer import parse_key
from concerted.errors import ConcertedError
from concerted.messages import Reply
from concerted.ports.store import Write
from concerted.values import RunId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Latecomers"]

ENDED_KEPT = 10_000  # finished runs of which the epoch is kept


class Latecomers:
    """Takes answers to commands that are not open."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._ended: OrderedDict[RunId, int] = OrderedDict()
        self.unknown = 0

    def run_ended(self, active: Active) -> None:
        """Remember under which epoch a run ended."""
        self._ended[active.id] = active.epoch
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def take(self, reply: Reply) -> None:
        """Write an answer down where its run is known; count it where not."""
        named = parse_key(reply.key)
        if named is None:
            self.unknown += 1
            return
        run, number = named
        active = self._of.rounds.live.get(run)
        if active is not None:
            self._of.performer.late(active, number, reply)
        elif run in self._ended:
            row = self._of.performer.late_row(run, number, reply)
            self._of.errand(self._write(Write(rows=[row], run=run, epoch=self._ended[run])))
        else:
            self.unknown += 1

    async def _write(self, write: Write) -> None:
        try:
            await self._of.store.append([write])
        except ConcertedError as error:
            self._of.give_up(error)
