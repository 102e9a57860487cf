"""The wait-for graph of all nodes, as far as it can be reached from some waits.

What somebody waits for is computed here and now, from the newest state of what it waits at; of what its node has
posted only what was asked counts.  So who waits no longer by the state is in nobody's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from concerted.board.leases.lease import Leases
from concerted.board.waits import Waiter, blocked_with
from concerted.errors import ConcertedError, Invalid, NotFound
from concerted.machine import Look, Wait
from concerted.ports.commands import decode_command
from concerted.ports.primitive import Ask, Caller
from concerted.ports.waits import WAITS_READ, PostedWait, PostedWaits, WaitKey
from concerted.primitives.held import Held
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Blocked", "WaitGraph", "is_mere_waiting"]

MET = frozenset((
    "sync_point", "barrier", "double_barrier", "phaser", "latch", "progress", "decision", "agreement",
))  # fmt: skip
SCANNED_MAX = 1_000  # leases and tickets that are gone through to see that they are a mere queue
AGENTS_MAX = 5_000  # looked at from one batch of new waits; whoever lies beyond counts as able to act


class _Seen(NamedTuple):
    """A wait of the graph.  row: as it was posted; None for what a run of this node waits for."""

    row: PostedWait | None
    waiter: Waiter


class Blocked(NamedTuple):
    """A wait that can never end.  rests_on: the other waits because of which it cannot.  graph: what closed it."""

    new: Waiter
    rests_on: list[PostedWait]
    graph: dict[AgentId, list[Waiter]]


class WaitGraph:
    """agent -> its waits.  request_of: what waits under a number of this node; None if nobody does any more."""

    def __init__(
        self, coordinator: Coordinator, posted: PostedWaits, request_of: Callable[[int], Any]
    ) -> None:  # fmt: skip
        self._of = coordinator
        self._posted = posted
        self._request_of = request_of
        self._seen: dict[AgentId, list[_Seen]] = {}
        self._by_key: dict[WaitKey, Waiter] = {}
        self._held: dict[str, Held | None] = {}
        self._can_end: dict[tuple[int, int], bool] = {}

    async def read(self, agents: Iterable[AgentId]) -> None:
        """Read the waits of these agents, of those who can end them, and so on.

        Raises:
            Unreachable: the database is away.
        """
        to_visit = dict.fromkeys(agents)
        tuples: set[int] = set()  # the identities of the `unblocked_by` that were gone through
        while to_visit and len(self._seen) < AGENTS_MAX:
            visited, to_visit = to_visit, {}
            for agent in visited:
                runs = self._of.primitives.waits.of_run(agent)
                self._seen[agent] = [_Seen(None, waiter) for waiter in runs]
            rows = await self._posted.of([*visited])
            if len(rows) >= WAITS_READ:  # who has waits that are not read may have one that can end
                return
            for row in rows:
                waiter = await self._waiter(row)
                if waiter is not None:
                    self._seen[row.agent].append(_Seen(row, waiter))
                    self._by_key[row.key] = waiter
            for agent in visited:
                for one in self._seen[agent]:
                    if id(one.waiter.wait.unblocked_by) not in tuples:
                        tuples.add(id(one.waiter.wait.unblocked_by))
                        to_visit.update((name, None) for name in one.waiter.wait.unblocked_by if name not in self._seen)

    async def elsewhere(self, agent: AgentId) -> list[Waiter]:
        """Return what an agent waits for at other nodes."""
        rows = [row for row in await self._posted.of([agent]) if row.node != self._of.world.node]
        return [waiter for row in rows if (waiter := await self._waiter(row)) is not None]

    def blocked(self, row: WaitKey, place: int) -> Blocked | None:
        """Say whether a wait can never end because of those that were posted before it; None if it can.

        One that was posted later and could end nevertheless speaks against it.
        """
        new = self._by_key.get(row)
        if new is None or not new.wait.unblocked_by or new.agent in new.wait.unblocked_by:
            return None  # who waits for itself has another hand somewhere that may let go
        if self._is_mere_waiting:
            return None
        condition = id(new.wait.unblocked_by), new.wait.needed
        if condition not in self._can_end:
            self._can_end[condition] = blocked_with(self._graph(), new) is None
        if self._can_end[condition]:
            return None
        graph = self._graph(place)
        stuck = blocked_with(graph, new)
        if stuck is None:
            return None
        rests_on = [
            one.row
            for agent in stuck
            for one in self._seen.get(agent, ())
            if one.row is not None and one.row.place < place and self._stands(one)
        ]
        return Blocked(new, rests_on, graph)

    @cached_property
    def _is_mere_waiting(self) -> bool:
        subjects = {one.waiter.subject for seen in self._seen.values() for one in seen}
        held = [self._held.get(subject) for subject in subjects]
        return len(held) == 1 and held[0] is not None and is_mere_waiting(held[0])

    def _graph(self, before: int | None = None) -> dict[AgentId, list[Waiter]]:
        found = {
            agent: [
                one.waiter
                for one in seen
                if one.row is None or ((before is None or one.row.place < before) and self._stands(one))
            ]
            for agent, seen in self._seen.items()
        }
        return {agent: waiters for agent, waiters in found.items() if waiters}

    def _stands(self, one: _Seen) -> bool:
        """Say whether a wait stands as far as is known here: one of this node may have ended meanwhile."""
        row = one.row
        return row is None or row.node != self._of.world.node or self._request_of(row.number) is not None

    async def _waiter(self, row: PostedWait) -> Waiter | None:
        """Return the wait of a row as it is now; None if it is over, or is nothing that we know."""
        try:
            command = decode_command(row.command)
        except Invalid:  # of another version of Concerted
            return None
        if not isinstance(command, Ask):
            return None
        if row.node == self._of.world.node:
            request = self._request_of(row.number)
        else:
            now, config = self._of.clock.now(), self._of.config
            request = command.request(Caller(row.agent, now=now, config=config, shared=True))
        held = await self._newest(command.kind, command.id)
        if request is None or held is None:
            return None
        wait = self._wait(held, request)
        return None if wait is None else Waiter(row.agent, held.stream, wait)

    def _wait(self, held: Held, request: Any) -> Wait | None:
        try:
            return held.machine.waits(held.state, request, self._of.clock.now())
        except ConcertedError:  # by the newest state it would not wait but be refused
            return None

    async def _newest(self, kind: str, id: str) -> Held | None:
        stream = f"{kind}:{id}"
        if stream not in self._held:
            try:
                # deciding makes sure that no other node was faster
                self._held[stream] = await self._of.primitives.host.decide(kind, id, Look())
            except NotFound:
                self._held[stream] = None
        return self._held[stream]


def is_mere_waiting(held: Held) -> bool:
    """Say whether no cycle can be closed among those alone who wait here.

    Nobody waits for anybody who waits, or only for those before it in the queue.  It saves going back through
    the queue, once for each who joins it.
    """
    kind = held.stream.partition(":")[0]
    return kind in MET or (kind == "lease" and held.state is not None and _is_mere_queue(held.state))


def _is_mere_queue(space: Leases) -> bool:
    """Say whether nobody who waits for a lease holds one, or waits for two: then each waits for others, none back."""
    waiting = space.line.waiting
    if len(space.held) + len(waiting) > SCANNED_MAX:
        return False
    agents = {one.ask.holder for _, one in waiting.unordered()}
    return len(agents) == len(waiting) and all(one.ask.holder not in agents for _, one in space.held.unordered())
