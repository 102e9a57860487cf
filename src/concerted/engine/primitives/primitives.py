"""What a coordinator does with the commands that ask primitives: act for the caller, decide, wait, answer.

command -> acting_as -> Host.decide (written) -> answer, or wait until it is no longer pending
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.consensus.keeping import is_elsewhere
from concerted.engine.permissions import Principal, acting_as
from concerted.engine.waits.mutual_waits import MutualWaits
from concerted.errors import Conflict, Deadlock, NotFound
from concerted.machine import Found, Look, Lost, Result
from concerted.ports.primitive import Ask, Caller
from concerted.ports.store import ParticipantRecord
from concerted.primitives.held import Held, Waiter
from concerted.primitives.host import Host
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator
    from concerted.engine.primitives.memory_leases import MemoryLeases

__all__ = ["MAX_WAIT_S", "Primitives"]

MAX_WAIT_S = 600.0  # how long one call may wait; longer waits are the caller's loop


class Primitives:
    """The primitives of one coordinator, as commands reach them."""

    def __init__(self, coordinator: Coordinator, host: Host) -> None:
        self._of = coordinator
        self.host = host
        self.waits = MutualWaits(coordinator)
        self._memory: MemoryLeases | None = None

    async def serve(self, command: Ask, principal: Principal) -> Result:
        """Serve one command; what it does is written before it waits.

        Raises:
            Deadlock: it would wait for who waits for it; what it did stays done.  Others as the machine says.
        """
        self._of.check()
        caller = self._caller(command, principal)
        if command.kind == "lease" and command.id == "memory":
            command = await self._memory_leases().ready(command)
        command = await self._of.replicas.prepared(command)
        await self._of.keepers.forward(command, caller)
        try:
            if command.renews:
                return await self.host.renew(command.kind, command.id, command.request(caller))
            request = await self._decided(command, caller)
            await self._of.replicas.served(command)
        except NotFound as error:
            if command.kind == "lease":
                raise
            kind = command.kind.replace("_", " ")
            raise NotFound(f"{kind} {command.id!r}: {error.message}", **error.facts) from error
        try:
            result = await self._answer(command, request, caller)
        except Deadlock:
            undone = command.withdrawal(caller)
            if undone is not None:
                await self.host.decide(command.kind, command.id, undone)
            raise
        result = await self._of.keepers.completed(result, f"{command.kind}:{command.id}")
        return msgspec.structs.replace(result, cursor=self._of.rounds.news.last_seq)

    def _caller(self, command: Ask, principal: Principal) -> Caller:
        known = acting_as(principal, command.agent, str(command.__struct_config__.tag))
        now, config, shared = self._of.clock.now(), self._of.config, self._of.store.shared
        return msgspec.structs.replace(known, now=now, config=config, shared=shared)

    async def _decided(self, command: Ask, caller: Caller) -> Any:
        """Have the command's request decided and written; return it, or what stands for it if that is there already."""
        state = (await self.host.reach(command.kind, command.id)).state
        if is_elsewhere(state) and getattr(command, "algorithm", None) is None:  # as it is there
            caller = msgspec.structs.replace(caller, kept_by=state.algorithm)
        request = command.request(caller)
        try:
            await self.host.decide(command.kind, command.id, request)
        except Conflict:
            if not command.attaches:
                raise
            return Look()
        return request

    async def _answer(self, command: Ask, request: Any, caller: Caller) -> Result:
        loop = self._of.loop
        until = loop.time() + min(command.wait_s, MAX_WAIT_S)
        while True:
            held = await self.host.reach(command.kind, command.id)
            result = held.answer(request, self._of.clock.now())
            left = until - loop.time()
            if not result.pending or left <= 0:
                if command.confirms and not result.pending and getattr(result, "confirm_at", None) is not None:
                    if getattr(result, "offered", False):  # it counts only when it is confirmed
                        await self.host.decide(command.kind, command.id, request)
                        continue
                    self.host.errand(self.host.decide(command.kind, command.id, request))
                return result
            waiter = Waiter(request, caller.agent, self._of.clock.now(), loop.create_future())
            await self._wait(held, waiter, command, left)

    async def _wait(self, held: Held, waiter: Waiter, command: Ask, left_s: float) -> None:
        """Wait until something has happened that concerns this request, at most so long."""
        timer = self._of.loop.call_later(left_s, _time_is_up, waiter.woken)
        held.enter(waiter)
        try:
            self.waits.enter(held, waiter, command)
            await waiter.woken
        finally:
            timer.cancel()
            held.leave(waiter)
            self.waits.leave(held, waiter)

    def _memory_leases(self) -> MemoryLeases:
        from concerted.engine.primitives.memory_leases import MemoryLeases

        if self._memory is None:
            self._memory = MemoryLeases(self._of, self.host)
        return self._memory

    # agents that are gone, and back

    def lost(self, agent: AgentId, reason: str) -> None:
        """Tell every primitive in which the agent takes part."""
        self.host.errand(self._tell(agent, Lost(agent, reason)))

    def found(self, agent: AgentId) -> None:
        """Tell every primitive in which the agent takes part that it is back."""
        self._of.replicas.found(agent)
        self.host.errand(self._tell(agent, Found(agent)))

    async def _tell(self, agent: AgentId, request: Lost | Found) -> None:
        streams = {held.stream for held in self.host.shelf.all() if _waits_in(held, agent)}
        after: tuple[str, ...] = ()
        while page := await self._of.store.find(ParticipantRecord, {"agent": agent}, after=after):
            streams.update(record.stream for record in page)
            after = (page[-1].agent, page[-1].stream)
        for stream in sorted(streams | {"lease:space"}):
            kind, _, id = stream.partition(":")
            await asyncio.gather(self.host.decide(kind, id, request), return_exceptions=True)


def _waits_in(held: Held, agent: AgentId) -> bool:
    return any(waiter.actor == agent for there in held.waiters.values() for waiter in there)


def _time_is_up(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
