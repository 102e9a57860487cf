"""One replica that keeps decisions, in a simulation: the real core over a simulated disk, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.errors import StoreDamaged
from concerted.replicas.kept import Kept
from concerted.sim.cluster.replica import Beginning, Part, Replica

__all__ = ["Keeper"]

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


@dataclass(slots=True, kw_only=True)
class Keeper(Replica[C]):
    """One replica's process.  make: what it keeps at first.  judged: shown it after each entry, and each snapshot."""

    make: Callable[[], Kept]
    judged: Callable[[Keeper[C]], None]
    kept: Kept = field(default_factory=Kept)

    def start(self) -> None:
        """Begin a life with what the disk holds, unless that is damaged: then it is lost for ever."""
        try:
            stored = self.disk.read()
        except StoreDamaged:
            if not self.disk.is_damaged:
                raise
            self.is_lost = True
            return
        self.running = self.begin(Beginning(self.id, self.settings, stored, self.dice, self.now))
        self.kept = self.make()
        if stored.snapshot.index:
            self.kept.restore(stored.snapshot)
            self.judged(self)

    def compact(self, upto: int) -> None:
        """Put a snapshot of what is kept in the place of the log, if there is anything to win."""
        index = self.kept.index
        if index > upto:
            self.give(lambda core: core.compact(index, self.kept.dump(), self.now))

    def carry_out(self, die_behind: Part | None = None) -> None:
        """Carry out the oldest Ready; or die behind a part of it.  A snapshot that it asks for is taken last."""
        index = self.waiting[0].compact_at
        Replica.carry_out(self, die_behind)
        if index is not None and self.running is not None:
            self.give(lambda core: core.compact(index, self.kept.dump(), self.now))

    def _apply(self, ready: Ready[Any, Any]) -> None:
        if ready.restore is not None:
            self.kept.restore(ready.restore)
            self.judged(self)
        for entry in ready.committed:
            answer = self.kept.apply(entry)
            self.watch.applied(self, entry, answer)
            self.judged(self)
            if answer is not None:
                self.on_answer(self, answer)
