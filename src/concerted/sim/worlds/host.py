"""The machine of one simulated server: its clock, its disk's pace, what it does late, and its process now."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.replica import Replica
from concerted.sim.network import STEP_S, Pipe
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["Clock", "Host"]

WRITE_S = (0.0005, 0.004)  # how long a disk takes
SLOW_S = (0.02, 0.5)  # how long a slow server takes, for a message or a write

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


@dataclass(slots=True)
class Clock:
    """A server's own.  rate: 1.0 is true.  ahead_s: what it says when the world begins, and by how much it jumps."""

    rate: float
    ahead_s: float

    def read(self, now: float) -> float:
        """Return what it says at an instant of the world."""
        return self.ahead_s + self.rate * now

    def instant(self, reading: float) -> float:
        """Return the instant of the world at which it says that, or will."""
        return (reading - self.ahead_s) / self.rate


class Host(Generic[C]):
    """One machine.  decode: what comes from the network.

    paused_until: until then it does nothing.  slow_until: until then everything takes long.  dies_behind: the part of
    the next thing that it carries out behind which its server dies.
    """

    def __init__(
        self, replica: Replica[C], timeline: Timeline, rng: random.Random, clock: Clock, decode: Callable[[bytes], Any]
    ) -> None:
        self.replica = replica
        self.clock = clock
        self.life = Life()
        self.life.over = True
        self.paused_until = self.slow_until = 0.0
        self.dies_behind: str | None = None
        self._timeline = timeline
        self._rng = rng
        self._decode = decode
        self._free_at = 0.0  # when a slow server is done with what it has
        self._armed = 0.0
        self._is_busy = False

    @property
    def is_alive(self) -> bool:
        """Whether its server lives."""
        return not self.life.over

    def start(self) -> None:
        """Begin a life, if the disk still allows one."""
        self._set_clock()
        self.replica.start()
        if self.replica.running is None:
            return
        self.life = Life()
        self._is_busy, self.dies_behind, self._armed, self._free_at = False, None, float("inf"), 0.0
        self._go_on()

    def die(self) -> None:
        """End this life."""
        self.life.over = True
        self.replica.die()

    def give(self, act: Callable[..., Ready[Any, Any]], *args: Any) -> Ready[Any, Any]:
        """Give the core an input now."""
        self._set_clock()
        ready = self.replica.give(act, *args)
        self._go_on()
        return ready

    def compact(self, upto: int) -> None:
        """Have its log compacted."""
        self._set_clock()
        self.replica.compact(upto)
        self._go_on()

    def call_at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Have something happen to this life of its server."""
        self._timeline.at(when, self.life, act, *args)

    def arrive(self, pipe: Pipe, resets: int, data: bytes) -> None:
        """Take a message from the network, unless its connection was reset meanwhile."""
        now = self._timeline.now
        if pipe.resets != resets:
            return
        if now < self.paused_until:
            self.call_at(self.paused_until, self.arrive, pipe, resets, data)
        elif now < self.slow_until:
            self._free_at = max(self._free_at, now) + self._rng.uniform(*SLOW_S)
            self.call_at(self._free_at, self._receive, data)
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        replica, clock = self.replica, self.clock
        replica.now = clock.ahead_s + clock.rate * self._timeline.now
        replica.receive(self._decode(data))
        self._go_on()

    def _set_clock(self) -> None:
        clock = self.clock
        self.replica.now = clock.ahead_s + clock.rate * self._timeline.now

    def _go_on(self) -> None:
        """Let the disk begin with what waits, and be woken in time."""
        replica = self.replica
        waiting = replica.waiting
        now = self._timeline.now
        if waiting and not self._is_busy:
            while waiting and waiting[0].write is None and self.dies_behind is None:
                replica.carry_out()
            if waiting:
                self._write(now)
        core = replica.running
        if core is None:
            self.die()
            return
        clock = self.clock
        due = (core.next_deadline - clock.ahead_s) / clock.rate
        due = (due if due > now else now) + STEP_S
        if due < self._armed:
            self._armed = due
            self._timeline.at(due, self.life, self._wake, due)

    def _write(self, now: float) -> None:
        """Let the disk begin with the oldest of what waits."""
        self._is_busy = True
        low, high = WRITE_S if now >= self.slow_until else SLOW_S
        late = low + (high - low) * self._rng.random()
        self._timeline.at(max(now, self.paused_until) + late, self.life, self._carry_out)

    def _carry_out(self) -> None:
        self._is_busy = False
        behind, self.dies_behind = self.dies_behind, None
        self._set_clock()
        if behind == "nothing":
            self.replica.die_writing(self._rng.random())
        else:
            self.replica.carry_out(behind)
        self._go_on()

    def _wake(self, armed: float) -> None:
        """Be woken, if nothing has put that off; else at the instant to which it was put off."""
        if armed != self._armed:
            return
        self._armed = float("inf")
        if self._timeline.now < self.paused_until:
            self._armed = self.paused_until
            self._timeline.at(self.paused_until, self.life, self._wake, self.paused_until)
            return
        self._set_clock()
        if self.replica.core.next_deadline <= self.replica.now:
            self.replica.wake()
        self._go_on()
