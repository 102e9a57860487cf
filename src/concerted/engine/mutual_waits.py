"""Who waits for whom now: a wait that would close a cycle is refused at once, with the cycle in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from concerted.board.lease import Leases
from concerted.board.waits import Waiter, closes_cycle, deadlock
from concerted.machine import Wait
from concerted.ports.commands import Waiting
from concerted.primitives.held import Held
from concerted.primitives.held import Waiter as Caller
from concerted.values import AgentId, Instant, RunId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["MutualWaits", "waiting_view"]

MET = frozenset(("sync_point", "barrier", "double_barrier", "phaser", "latch", "progress", "decision"))
NAMED_MAX = 20  # agents named in one view
SCANNED_MAX = 1_000  # leases and tickets that are gone through to see that they are a mere queue


class MutualWaits(Mapping[AgentId, Sequence[Waiter]]):
    """The wait-for graph of one coordinator, read only where somebody looks: agent -> its waits."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._callers: dict[AgentId, dict[Caller, Held]] = {}
        self._per_stream: dict[str, int] = {}

    def enter(self, held: Held, caller: Caller) -> None:
        """Take note that somebody waits.

        Raises:
            Deadlock: it would wait for who waits for it.
        """
        agent = caller.actor
        if agent is None:
            return
        kind = held.stream.partition(":")[0]
        elsewhere = len(self._per_stream) > (held.stream in self._per_stream) or self._of.rounds.live
        self._callers.setdefault(agent, {})[caller] = held
        self._per_stream[held.stream] = self._per_stream.get(held.stream, 0) + 1
        if not elsewhere and (kind in MET or (kind == "lease" and _is_mere_queue(held.state))):
            return  # nobody waits for anybody who waits, or only for those before it in the queue
        new = self._waiter(agent, held, caller)
        if new is not None and new.wait.unblocked_by and agent not in new.wait.unblocked_by:
            # Who waits for itself has another hand somewhere that may let go.
            cycle = closes_cycle(self, new)
            if cycle is not None:
                raise deadlock(cycle)

    def leave(self, held: Held, caller: Caller) -> None:
        """Take note that somebody waits no longer."""
        agent = caller.actor
        callers = self._callers.get(agent) if agent is not None else None
        if agent is None or callers is None or callers.pop(caller, None) is None:
            return
        if not callers:
            del self._callers[agent]
        left = self._per_stream[held.stream] - 1
        if left:
            self._per_stream[held.stream] = left
        else:
            del self._per_stream[held.stream]

    def views(self, agent: AgentId | None = None) -> list[Waiting]:
        """Return what is waited for now, by everybody or by one agent."""
        agents = sorted(self._callers) if agent is None else [agent]
        return [
            waiting_view(f"{waiter.agent} at {waiter.subject}", waiter.wait)
            for one in agents
            for waiter in self._of_callers(one)
        ]

    def __getitem__(self, agent: AgentId) -> Sequence[Waiter]:
        found = self._of_callers(agent) + self._of_run(agent)
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

    def _of_run(self, name: AgentId) -> list[Waiter]:
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


def _is_mere_queue(space: Leases) -> bool:
    """Say whether nobody who waits for a lease holds one, or waits for two: then each waits for others, and none back.

    It saves going back through the queue, once for each who joins it.
    """
    waiting = space.line.waiting
    if len(space.held) + len(waiting) > SCANNED_MAX:
        return False
    agents = {one.ask.holder for _, one in waiting.unordered()}
    return len(agents) == len(waiting) and all(one.ask.holder not in agents for _, one in space.held.unordered())


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
