"""Handles on what agents hold: leases, permits of semaphores, budgets, leadership.

A lease that is held with `async with` is renewed in the background.  Its holder judges by its own steady
clock: when the time that the last renewal surely gave is over, the lease counts as lost here, before
anybody else can be granted it.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from concerted.board.budgets.budget import BudgetResult, BudgetView
from concerted.board.elections.election import ElectionResult
from concerted.board.leases.lease import CheckResult, LeaseResult, LeasesResult
from concerted.board.semaphores.semaphore import PermitResult, SemaphoreResult
from concerted.client.handle import Giver, Handle, as_agent
from concerted.errors import ConcertedError, LeaseLost, NotAllowed, TimedOut
from concerted.ports import budgets, holding
from concerted.values import AgentId

__all__ = ["Budget", "Election", "HeldLease", "Leases", "Semaphore"]

RENEWALS_PER_TTL = 3  # how often a lease is renewed within its time to live


class Leases:
    """The leases of a store."""

    def __init__(self, giver: Giver) -> None:
        self._giver = giver
        self._handle = Handle(giver, holding.SPACE)

    def hold(
        self, names: str | Iterable[str], *, holder: str | None = None, ttl_s: float = 60.0,
        timeout_s: float | None = None, durable: bool = True, **facts: Any,
    ) -> HeldLease:  # fmt: skip
        """Hold all of these names while a block runs: `async with leases.hold("src/**") as lease: ...`.

        facts: mode (`exclusive` or `shared`), purpose, priority.
        timeout_s: how long to wait for them.  durable: False, and they are kept in the owner's memory alone,
        apart from the durable ones: take a name always in the same way, or two may hold it at once.

        Raises (when the block is entered):
            TimedOut: they were not free in time.  Deadlock: their holder waits for this one.
        Raises (in the block, and at its end):
            LeaseLost: the lease could not be renewed in time; the block was cancelled where it waited.
        """
        command = holding.AcquireLease(
            id=holding.SPACE if durable else holding.MEMORY,
            agent=None if holder is None else AgentId(holder),
            ticket=uuid.uuid4().hex,
            names=(names,) if isinstance(names, str) else tuple(names),
            ttl_s=ttl_s,
            **facts,
        )
        return HeldLease(self._giver, command, timeout_s)

    async def acquire(self, command: holding.AcquireLease, *, timeout_s: float | None = None) -> LeaseResult:
        """Give an `AcquireLease` until it is granted, refused, or time is over.

        Raises:
            LeaseLost: it was granted after a wait, and could not be confirmed in time.
        """
        result: LeaseResult = await self._handle._wait(command, timeout_s)
        if result.confirm_at is None:
            return result
        # The owner confirms it for us, but may die before that is written.
        return await self._giver.give(  # type: ignore[no-any-return]
            holding.ConfirmLease(id=command.id, agent=command.agent, ticket=command.ticket)
        )

    async def check(self, name: str, token: str, *, durable: bool = True) -> CheckResult:
        """Say whether a fencing token is the one under which a name is held now.  durable: as it was taken."""
        space = holding.SPACE if durable else holding.MEMORY
        return await self._giver.give(holding.CheckLease(id=space, name=name, token=token))  # type: ignore[no-any-return]

    async def ask_for(self, name: str, reason: str = "", *, agent: str | None = None) -> Any:
        """Ask whoever holds a name to release it."""
        by = None if agent is None else AgentId(agent)
        return await self._giver.give(holding.AskForLease(name=name, reason=reason, agent=by))

    async def list(self, *, name: str | None = None, holder: str | None = None, limit: int = 100) -> LeasesResult:
        """Return a page of what is held, and of who waits."""
        by = None if holder is None else AgentId(holder)
        return await self._giver.give(holding.Leases(name=name, holder=by, limit=limit))  # type: ignore[no-any-return]


class HeldLease:
    """A lease while it is held.  token: the fencing token, which strictly grows from holder to holder."""

    def __init__(self, giver: Giver, command: holding.AcquireLease, timeout_s: float | None) -> None:
        self._giver = giver
        self._command = command
        self._timeout_s = timeout_s
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._body: asyncio.Task[Any] | None = None
        self._error: LeaseLost | None = None
        self.token = ""

    @property
    def is_lost(self) -> bool:
        """Whether it can no longer be relied on, by this process's own steady clock."""
        return self._error is not None or asyncio.get_running_loop().time() >= self._until

    @property
    def left_s(self) -> float:
        """How long it is surely held if nothing renews it."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    async def __aenter__(self) -> HeldLease:
        await self._acquire()
        self._body = asyncio.current_task()
        self._task = asyncio.get_running_loop().create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._error is not None:
            if self._body is not None:
                self._body.uncancel()
            raise self._error from error
        with contextlib.suppress(LeaseLost):
            await self._giver.give(
                holding.ReleaseLease(id=self._command.id, agent=self._command.agent, token=self.token)
            )

    async def _acquire(self) -> None:
        loop = asyncio.get_running_loop()
        handle = Handle(self._giver, self._command.id)
        try:
            result: LeaseResult = await handle._wait(self._command, self._timeout_s)
        except asyncio.CancelledError:
            await self._withdraw()
            raise
        if not result.granted:
            await self._withdraw()
            holders = ", ".join(f"{one.holder} ({one.purpose or 'no purpose given'})" for one in result.held_by)
            wanted = ", ".join(self._command.names)
            raise TimedOut(
                f"{wanted} was not free in time; held by {holders or 'nobody now'}", names=self._command.names
            )
        self.token = result.token or ""
        if result.confirm_at is not None:  # the owner confirms it for us, but may die before that is written
            await self._giver.give(
                holding.ConfirmLease(id=self._command.id, agent=self._command.agent, ticket=self._command.ticket)
            )
        given_at = handle._given_at  # it was granted, and confirmed, after the last call was given
        if loop.time() - given_at > self._command.ttl_s / RENEWALS_PER_TTL:
            given_at = loop.time()
            await self._renew()
        self._until = given_at + self._command.ttl_s

    async def _withdraw(self) -> None:
        with contextlib.suppress(ConcertedError):
            await self._giver.give(
                holding.WithdrawLease(id=self._command.id, agent=self._command.agent, ticket=self._command.ticket)
            )

    async def _renew(self) -> None:
        command = self._command
        await self._giver.give(holding.RenewLease(id=command.id, agent=command.agent, token=self.token))

    async def _keep(self) -> None:
        """Renew in time; when that has not been possible, tell the block by cancelling it."""
        loop = asyncio.get_running_loop()
        pause_s = self.left_s / RENEWALS_PER_TTL
        while True:
            await asyncio.sleep(min(pause_s, max(0.0, self._until - loop.time())))
            asked_at = loop.time()
            try:
                async with asyncio.timeout_at(self._until):
                    await self._renew()
                self._until = asked_at + self._command.ttl_s
            except (LeaseLost, NotAllowed) as error:
                self._lose(error.message)
                return
            except TimeoutError:
                self._lose("it could not be renewed in time")
                return
            except ConcertedError:
                if loop.time() >= self._until:
                    self._lose("it could not be renewed in time")
                    return
                pause_s = min(pause_s, max(0.05, self._until - loop.time()) / RENEWALS_PER_TTL)
            else:
                pause_s = self._command.ttl_s / RENEWALS_PER_TTL

    def _lose(self, why: str) -> None:
        names = ", ".join(self._command.names)
        self._error = LeaseLost(f"the lease {self.token} on {names} is lost: {why}", token=self.token)
        if self._body is not None:
            self._body.cancel()


class Semaphore(Handle):
    """A number of permits, held with a time to live and handed out fairly."""

    async def create(self, permits: int, *, agent: str | None = None, **facts: Any) -> SemaphoreResult:
        """Make it.  facts: name, metadata, attach."""
        return await self._ask(holding.CreateSemaphore(id=self.id, agent=as_agent(agent), permits=permits, **facts))  # type: ignore[no-any-return]

    async def acquire(
        self, permits: int = 1, *, holder: str | None = None, ticket: str | None = None, ttl_s: float = 60.0,
        purpose: str = "", timeout_s: float | None = None,
    ) -> PermitResult:  # fmt: skip
        """Hold permits; wait for them in a fair queue.  The result's ticket releases them, its token renews them.

        Raises:
            LeaseLost: they were granted after a wait, and could not be confirmed in time.
        """
        command = holding.AcquirePermits(
            id=self.id,
            agent=as_agent(holder),
            ticket=ticket or uuid.uuid4().hex,
            permits=permits,
            ttl_s=ttl_s,
            purpose=purpose,
        )
        return await self.give_until(command, timeout_s=timeout_s)

    async def give_until(self, command: holding.AcquirePermits, *, timeout_s: float | None = None) -> PermitResult:
        """Give an `AcquirePermits` until it is granted, refused, or time is over.

        Raises:
            LeaseLost: they were granted after a wait, and could not be confirmed in time.
        """
        result: PermitResult = await self._wait(command, timeout_s)
        if result.confirm_at is None:
            return result
        # The owner confirms it for us, but may die before that is written.
        return await self._ask(  # type: ignore[no-any-return]
            holding.ConfirmPermits(id=self.id, agent=command.agent, ticket=command.ticket)
        )

    async def renew(self, token: str, *, holder: str | None = None) -> PermitResult:
        """Hold permits for another time to live."""
        return await self._ask(holding.RenewPermits(id=self.id, agent=as_agent(holder), token=token))  # type: ignore[no-any-return]

    async def release(self, ticket: str, *, holder: str | None = None) -> PermitResult:
        """Hold permits no longer."""
        return await self._ask(holding.ReleasePermits(id=self.id, agent=as_agent(holder), ticket=ticket))  # type: ignore[no-any-return]

    async def get(self) -> SemaphoreResult:
        """Return who holds permits, and who waits."""
        return await self._ask(holding.GetSemaphore(id=self.id))  # type: ignore[no-any-return]


class Budget(Handle):
    """Tokens or money, in all or per period."""

    async def create(
        self, limit: float, *, unit: str = "tokens", period_s: float | None = None, agent: str | None = None,
        **facts: Any,
    ) -> BudgetView:  # fmt: skip
        """Make it.  facts: window, share, name, metadata, attach."""
        command = budgets.CreateBudget(
            id=self.id, agent=as_agent(agent), limit=limit, unit=unit, period_s=period_s, **facts
        )  # fmt: skip
        return await self._ask(command)  # type: ignore[no-any-return]

    async def spend(
        self, amount: float, *, holder: str | None = None, ticket: str | None = None, timeout_s: float | None = None
    ) -> BudgetResult:
        """Spend so much; wait in a fair queue if there is not so much left."""
        command = budgets.Spend(
            id=self.id, agent=as_agent(holder), ticket=ticket or uuid.uuid4().hex, amount=amount
        )  # fmt: skip
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def reserve(
        self, amount: float, *, ticket: str, holder: str | None = None, ttl_s: float = 60.0,
        timeout_s: float | None = None,
    ) -> BudgetResult:  # fmt: skip
        """Set an estimate aside, to be settled within `ttl_s`."""
        command = budgets.ReserveBudget(id=self.id, agent=as_agent(holder), ticket=ticket, amount=amount, ttl_s=ttl_s)
        return await self.give_until(command, timeout_s=timeout_s)

    async def give_until(
        self, command: budgets.Spend | budgets.ReserveBudget, *, timeout_s: float | None = None
    ) -> BudgetResult:
        """Give a `Spend` or `ReserveBudget` until it is granted, refused, or time is over."""
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def settle(self, ticket: str, actual: float, *, holder: str | None = None) -> BudgetResult:
        """Say what a reservation really came to."""
        command = budgets.SettleBudget(id=self.id, agent=as_agent(holder), ticket=ticket, actual=actual)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def get(self) -> BudgetView:
        """Return what is spent, reserved and left."""
        return await self._ask(budgets.GetBudget(id=self.id))  # type: ignore[no-any-return]


class Election(Handle):
    """The election of a leader by name."""

    async def campaign(
        self, candidate: str | None = None, *, value: Any = None, ttl_s: float = 15.0, ticket: str | None = None,
        timeout_s: float | None = None,
    ) -> ElectionResult:  # fmt: skip
        """Stand for leader and wait to be it.  The result's token must be renewed within `ttl_s`."""
        command = holding.Campaign(
            id=self.id, agent=as_agent(candidate), ticket=ticket or uuid.uuid4().hex, ttl_s=ttl_s, value=value
        )
        return await self.give_until(command, timeout_s=timeout_s)

    async def give_until(self, command: holding.Campaign, *, timeout_s: float | None = None) -> ElectionResult:
        """Give a `Campaign` until it is won or comes to nothing, or time is over."""
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def renew(self, token: str, *, leader: str | None = None) -> ElectionResult:
        """Lead for another time to live."""
        command = holding.RenewLeadership(id=self.id, agent=as_agent(leader), token=token)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def proclaim(self, token: str, value: Any, *, leader: str | None = None) -> ElectionResult:
        """Tell everybody who observes."""
        command = holding.Proclaim(id=self.id, agent=as_agent(leader), token=token, value=value)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def resign(self, token: str, *, leader: str | None = None) -> ElectionResult:
        """Lead no longer."""
        return await self._ask(holding.Resign(id=self.id, agent=as_agent(leader), token=token))  # type: ignore[no-any-return]

    async def observe(
        self, known_epoch: int = 0, *, known_version: int | None = None, timeout_s: float | None = None
    ) -> ElectionResult:
        """Wait until there is another leader than that of `known_epoch`."""
        command = holding.Observe(id=self.id, known_epoch=known_epoch, known_version=known_version)
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]
