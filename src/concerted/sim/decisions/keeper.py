"""One replica that keeps decisions, in a simulation: the real core over a simulated disk, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.replicas.kept import Kept
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.replica import Replica

__all__ = ["Keeper"]

FALLS = (msgspec.MsgspecError, ArithmeticError, LookupError, TypeError, ValueError)

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


@dataclass(slots=True, kw_only=True)
class Keeper(Replica[C]):
    """One replica's process.  make: what it keeps at first.  judged: shown it after each entry, and each snapshot."""

    make: Callable[[], Kept]
    judged: Callable[[Keeper[C]], None]
    kept: Kept = field(default_factory=Kept)

    @property
    def holding(self) -> Kept:
        """What it keeps besides the log."""
        return self.kept

    def _forget(self) -> None:
        self.kept = self.make()

    def _restore(self, snapshot: Snapshot) -> None:
        self.kept.restore(snapshot)
        self.judged(self)

    def _apply(self, ready: Ready[Any, Any]) -> None:
        if ready.restore is not None:
            self._restore(ready.restore)
        for entry in ready.committed:
            answer = self._carried_out(entry)
            self.watch.applied(self, entry, answer)
            self.judged(self)
            if answer is not None:
                self.on_answer(self, answer)

    def _carried_out(self, entry: Entry) -> Answer | None:
        """Apply an entry: whatever is in it, no replica may fall over it."""
        try:
            return self.kept.apply(entry)
        except FALLS as error:
            raise Broken(f"falls over: replica {self.id} cannot apply entry {entry.index}: {error!r}") from error
