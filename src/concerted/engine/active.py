"""A run that a coordinator has in memory, with what is on its way to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from concerted.ports.store import Row
from concerted.runs.instance import Input, Instance
from concerted.values import Instant, RunId

__all__ = ["Active"]


@dataclass(slots=True, eq=False)
class Active:
    """A run that this coordinator has in memory, and what is on its way to it."""

    instance: Instance
    epoch: int
    inbox: list[Input] = field(default_factory=list)
    late: list[Row] = field(default_factory=list)
    late_count: int = 0
    acks: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)  # told when so many inputs are written
    in_flight: bool = False
    is_new: bool = False
    holds_slot: bool = False
    timer: asyncio.TimerHandle | None = None
    timer_due: Instant = 0.0
    touched_at: Instant = 0.0

    @property
    def called_off(self) -> bool:
        """Whether it has been called off, or will hear so in the next round."""
        return self.instance.stopping is not None or any(given.kind == "cancel.requested" for given in self.inbox)

    @property
    def id(self) -> RunId:
        """The run's id."""
        return self.instance.id
