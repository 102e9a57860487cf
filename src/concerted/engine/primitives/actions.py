"""What the coordinator itself does when a barrier has tripped, before anybody goes on."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from concerted.machine import Event
from concerted.primitives.held import Held
from concerted.runs.facts import printable
from concerted.values import encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Action", "Actions"]

# Gets the action's payload and the names of who has arrived, sorted; what it returns is in the verdict.
Action = Callable[[Any, tuple[str, ...]], Any]


class Actions:
    """Does the actions of barriers that name the coordinator.

    Each is done once per generation: it is started under an epoch, and the outcome of an older one is refused.
    If the process dies in the middle, the next one starts it anew when its time is over.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator

    def happened(self, held: Held, events: Sequence[Event]) -> None:
        """Start what these events ask of the coordinator."""
        for event in events:
            if event.kind == "barrier.action_started" and event.agent is None:
                self._of.primitives.host.errand(self._do(held, event.data["generation"], event.data["action_epoch"]))

    async def _do(self, held: Held, generation: int, epoch: int) -> None:
        from concerted.sync.barriers.barrier import COORDINATOR, ActionDone

        terms, arrived = held.state.terms, tuple(held.state.arrivals)
        action = self._of.world.actions.get(terms.action.name)
        result, error = None, None
        if action is None:
            known = ", ".join(sorted(self._of.world.actions)) or "none"
            error = f"this coordinator has no action {terms.action.name!r}; it has {known}"
        else:
            try:
                result = action(terms.action.payload, arrived)
                if inspect.isawaitable(result):
                    result = await result
                encode(result)  # the verdict is written
            except Exception as failure:  # other people's; the generation breaks with it
                trace = "".join(traceback.format_exception(failure))[-2000:]
                result, error = None, printable(f"{type(failure).__name__}: {failure}\n{trace}")
        kind, _, id = held.stream.partition(":")
        await self._of.primitives.host.decide(kind, id, ActionDone(COORDINATOR, generation, epoch, result, error))
