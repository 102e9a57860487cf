"""The runs' own timers on the host's clock: each run is woken when its earliest one is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from concerted.engine.active import Active
from concerted.ports.clock import Clock
from concerted.runs.instance import Input
from concerted.values import Instant, encode

__all__ = ["GRACE_S", "Alarms", "next_look"]

GRACE_S = 5.0  # how long after its deadline a strategy may take to come to its partial outcome


class Alarms:
    """Wakes runs.  touch: sees to it that a round comes for a run that has new inputs."""

    def __init__(self, clock: Clock, touch: Callable[[Active], None]) -> None:
        self._clock = clock
        self._touch = touch
        self._loop = asyncio.get_running_loop()

    def arm(self, active: Active) -> None:
        """Wake the run when its earliest timer is due."""
        due = next_look(active)
        if active.timer is not None:
            if due == active.timer_due:
                return
            active.timer.cancel()
            active.timer = None
        if due is not None and active.instance.ending is None:
            active.timer_due = due
            active.timer = self._loop.call_later(max(0.0, due - self._clock.now()), self._due, active)

    def disarm(self, active: Active) -> None:
        """Do not wake the run any more."""
        if active.timer is not None:
            active.timer.cancel()
            active.timer = None

    def _due(self, active: Active) -> None:
        active.timer = None
        now = self._clock.now()
        timers = active.instance.loop.due_by(now)
        for due, number in timers:
            data = b'{"due":%s}' % repr(due).encode()
            active.inbox.append(Input("timer.fired", now, ref=str(number), data=data))
        stop_at = _stop_at(active)
        if stop_at is not None and stop_at <= now:
            data = encode({"deadline_at": active.instance.deadline_at})
            active.inbox.append(Input("deadline.passed", now, data=data))
        if active.inbox:
            self._touch(active)
        else:  # the wall clock has gone back a little
            self.arm(active)


def next_look(active: Active) -> Instant | None:
    """Return when the run must be looked at if nothing comes."""
    first, stop_at = active.instance.loop.next_due(), _stop_at(active)
    due = [at for at in (first[0] if first is not None else None, stop_at) if at is not None]
    return min(due, default=None)


def _stop_at(active: Active) -> Instant | None:
    """Return when a run that has not ended by itself at its deadline is stopped."""
    instance = active.instance
    if instance.deadline_at is None or instance.stopping == "timed_out" or instance.ending is not None:
        return None
    return instance.deadline_at + GRACE_S
