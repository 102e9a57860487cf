"""Slots: how many runs may be active at once; the others wait in order, visibly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from concerted.config.settings import ManagerSettings
from concerted.engine.active import Active
from concerted.errors import Overloaded

__all__ = ["Slots"]


class Slots:
    """Two bounds: root runs, and children of all runs together (a child never waits for a root's slot).

    start: called when a run gets its slot.
    """

    def __init__(self, settings: ManagerSettings, start: Callable[[Active], None]) -> None:
        self._settings = settings
        self._start = start
        self._taken = {False: 0, True: 0}
        self._queues: dict[bool, deque[Active]] = {False: deque(), True: deque()}

    def check(self) -> None:
        """See whether one more root run may start, or at least wait.

        Raises:
            Overloaded: no slot is free and `manager.max_queued` runs wait already.
        """
        is_full = self._taken[False] >= self._settings.max_concurrent_coordinations
        if is_full and len(self._queues[False]) >= self._settings.max_queued:
            raise Overloaded(
                f"{len(self._queues[False])} runs wait for a slot already, the bound manager.max_queued; "
                "try again when some have finished",
                bound="manager.max_queued",
            )

    def enter(self, active: Active) -> None:
        """Give the run a slot, now or in its turn.

        A child of a child never waits: its parent holds a slot and waits for it, so that all would stand still.
        """
        charter = active.instance.charter
        if charter.parent is not None and charter.parent != charter.root:
            self._grant(active)
            return
        self._queues[self._is_child(active)].append(active)
        self.fill()

    def keep(self, active: Active) -> None:
        """Count a run that has its slot (also one that was active when it was taken over)."""
        self._taken[self._is_child(active)] += 1
        active.holds_slot = True

    def leave(self, active: Active) -> None:
        """Free the run's slot, or take it out of the queue."""
        child = self._is_child(active)
        if active.holds_slot:
            active.holds_slot = False
            self._taken[child] -= 1
        elif active in self._queues[child]:
            self._queues[child].remove(active)
        self.fill()

    def fill(self) -> None:
        """Start those whose turn it is."""
        for child, bound in ((False, self._settings.max_concurrent_coordinations), (True, self._settings.max_children)):
            queue = self._queues[child]
            while queue and self._taken[child] < bound:
                self._grant(queue.popleft())

    def _grant(self, active: Active) -> None:
        self.keep(active)
        self._start(active)

    def place(self, active: Active) -> int | None:
        """Return the run's place in the queue, from 1; None if it does not wait."""
        queue = self._queues[self._is_child(active)]
        return queue.index(active) + 1 if active in queue else None

    def bound(self, active: Active) -> int:
        """Return how many slots there are of the run's kind."""
        child = self._is_child(active)
        return self._settings.max_children if child else self._settings.max_concurrent_coordinations

    @staticmethod
    def _is_child(active: Active) -> bool:
        return active.instance.charter.parent is not None
