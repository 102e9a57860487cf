"""Leases that live in the owner's memory alone: faster, and gone with it.

Their tokens come from a block that is reserved in the log, so they grow past every other one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from concerted.board.leases import lease
from concerted.errors import Invalid, Overloaded
from concerted.kinds import primitive_stream
from concerted.ports.holding import MEMORY, SPACE, AcquireLease
from concerted.ports.primitive import Ask
from concerted.primitives.host import Host

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["MemoryLeases"]

RESERVED = 1_000_000  # tokens set aside at once
MEMORY_TTL_S = 30.0  # the longest that one of them lives between two renewals


class MemoryLeases:
    """The space of leases that are not durable, of one coordinator."""

    def __init__(self, coordinator: Coordinator, host: Host) -> None:
        self._of = coordinator
        self._host = host
        self._reserving = asyncio.Lock()
        self._granting_at = 0.0

    async def ready(self, command: Ask) -> Ask:
        """Make ready for a command about leases that live in memory; on a shared store they are kept as any others."""
        if self._of.store.shared:
            return msgspec.structs.replace(command, id=SPACE)
        held = self._host.shelf.get(primitive_stream("lease", MEMORY))
        if held is None or held.state.end - held.state.next < RESERVED // 10:
            await self._make()
        self._check(command)
        return command

    async def _make(self) -> None:
        """Make the space of leases that live in memory alone, over a block of tokens reserved in the log.

        A process before this one may have died while such leases were held.  So for the longest time for
        which one may be, all that is asked for has to wait.
        """
        async with self._reserving:
            kept = self._host.shelf.get(primitive_stream("lease", MEMORY))
            if kept is not None and kept.state.end - kept.state.next >= RESERVED // 10:
                return
            before = kept is None and await self._of.store.log(
                stream=primitive_stream("lease", SPACE), kind="leases.reserved", limit=1
            )
            reserve = lease.Reserve(RESERVED, MEMORY_TTL_S, by=self._of.world.node)
            held = await self._host.decide("lease", SPACE, reserve)
            block = held.answer(reserve, self._of.clock.now())
            assert isinstance(block, lease.ReserveResult)
            if kept is not None:
                kept.state = lease.with_block(kept.state, block.start, block.end)
                return
            self._granting_at = self._of.clock.now() + (MEMORY_TTL_S if before else 0.0)
            self._host.keep_in_memory("lease", MEMORY, lease.with_block(None, block.start, block.end))

    def _check(self, command: Ask) -> None:
        now = self._of.clock.now()
        if command.id == MEMORY and isinstance(command, AcquireLease):
            if command.ttl_s > MEMORY_TTL_S:
                raise Invalid(f"a lease that is not durable lives at most {MEMORY_TTL_S:g} s between renewals")
            if now < self._granting_at:
                raise Overloaded(
                    f"leases that are not durable are granted again in {self._granting_at - now:.0f} s: those of the "
                    "owner before this one may still be relied on",
                    retry_at=self._granting_at,
                )
