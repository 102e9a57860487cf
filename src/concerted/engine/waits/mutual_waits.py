"""Who waits for whom now: a wait that would close a cycle is refused at once, with the cycle in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from concerted.board.waits import Waiter, closes_cycle, deadlock
from concerted.engine.waits.wait_graph import is_mere_waiting
from concerted.engine.waits.waits_of_nodes import WaitsOfNodes
from concerted.machine import Wait
from concerted.ports.commands import Waiting
from concerted.ports.primitive import Ask
from concerted.primitives.held import Held
from concerted.primitives.held import Waiter as Caller
from concerted.values import AgentId, Instant, RunId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["MutualWaits", "waiting_view"]

NAMED_MAX = 20  # agents named in one view


class MutualWaits(Mapping[AgentId, Sequence[Waiter]]):
    """The wait-for graph of one coordinator, read only where somebody looks: agent -> its waits.

    Where other nodes write to the store, `of_nodes` has the last word: a cycle may lead through them, and what is
    in memory here may be behind.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self.of_nodes = None if coordinator.store.waits is None else WaitsOfNodes(coordinator, coordinator.store.waits)
        self._callers: dict[AgentId, dict[Caller, Held]] = {}
        self._per_stream: dict[str, int] = {}

    def enter(self, held: Held, caller: Caller, command: Ask) -> None:
        """Take note that somebody waits.  Where there are other nodes it may be refused later, while it waits.

        Raises:
            Deadlock: it would wait for who waits for it.
        """
        agent = caller.actor
        if agent is None:
            return
        elsewhere = len(self._per_stream) > (held.stream in self._per_stream) or self._of.rounds.live
        self._callers.setdefault(agent, {})[caller] = held
        self._per_stream[held.stream] = self._per_stream.get(held.stream, 0) + 1
        if self.of_nodes is not None:
            self.of_nodes.enter(held, caller, command)
        if not elsewhere and is_mere_waiting(held):
            return
        new = self._waiter(agent, held, caller)
        if new is not None and new.wait.unblocked_by and agent not in new.wait.unblocked_by:
            # Who waits for itself has another hand somewhere that may let go.
            cycle = closes_cycle(self, new)
            if cycle is not None and self.of_nodes is None:
                raise deadlock(cycle)
            if cycle is not None and self.of_nodes is not None:
                self.of_nodes.hurry()

    def leave(self, held: Held, caller: Caller) -> None:
        """Take note that somebody waits no longer."""
        agent = caller.actor
        callers = self._callers.get(agent) if agent is not None else None
        if agent is None or callers is None or callers.pop(caller, None) is None:
            return
        if self.of_nodes is not None:
            self.of_nodes.leave(caller)
        if not callers:
            del self._callers[agent]
        left = self._per_stream[held.stream] - 1
        if left:
            self._per_stream[held.stream] = left
        else:
            del self._per_stream[held.stream]

    def stop(self) -> None:
        """Tell other nodes nothing more."""
        if self.of_nodes is not None:
            self.of_nodes.stop()

    def views(self, agent: AgentId | None = None) -> list[Waiting]:
        """Return what is waited for now, by everybody or by one agent."""
        agents = sorted(self._callers) if agent is None else [agent]
        return [_view(waiter) for one in agents for waiter in self._of_callers(one)]

    async def views_elsewhere(self, agent: AgentId) -> list[Waiting]:
        """Return what an agent waits for at other nodes, but for what is over in a moment."""
        return [] if self.of_nodes is None else [_view(waiter) for waiter in await self.of_nodes.elsewhere(agent)]

    def __getitem__(self, agent: AgentId) -> Sequence[Waiter]:
        found = self._of_callers(agent) + self.of_run(agent)
        if not found:
            raise KeyError(agent)
        return found

    def __iter__(self) -> Iterator[AgentId]:
        return iter(sorted(self._callers))

    def __len__(self) -> int:
        return len(self._callers)

    def _of_callers(self, agent: AgentId) -> list[Waiter]:
        callers = self._callers.get(agent, {})
        found = [self._waiter(agent, held, caller) for caller, held in callers.items()]
        return [waiter for waiter in found if waiter is not None]

    def of_run(self, name: AgentId) -> list[Waiter]:
        """A run that meets under its own name waits for whoever it has asked."""
        active = self._of.rounds.live.get(RunId(name))
        if active is None or not active.instance.calls:
            return []
        calls = active.instance.calls.values()
        asked = tuple(sorted({call.agent for call in calls}))
        since = min(call.since for call in calls)
        return [Waiter(name, f"run {name}", Wait(f"an answer of {', '.join(asked[:5])}", since, asked))]

    def _waiter(self, agent: AgentId, held: Held, caller: Caller) -> Waiter | None:
        wait = held.machine.waits(held.state, caller.request, self._of.clock.now())
        return None if wait is None else Waiter(agent, held.stream, wait)


def _view(waiter: Waiter) -> Waiting:
    return waiting_view(f"{waiter.agent} at {waiter.subject}", waiter.wait)


def waiting_view(subject: str, wait: Wait, now: Instant | None = None) -> Waiting:
    """Show a wait as callers see it."""
    named = ", ".join(wait.unblocked_by[:NAMED_MAX])
    more = len(wait.unblocked_by) - NAMED_MAX
    who = named + (f" and {more} more" if more > 0 else "")
    if wait.needed < len(wait.unblocked_by):
        who = f"any {wait.needed} of {who}"
    since = wait.since if now is None else min(wait.since, now)
    return Waiting(
        subject=subject, waiting_for=wait.waiting_for, since=since, unblocked_by=who, deadline=wait.deadline
    )  # fmt: skip
