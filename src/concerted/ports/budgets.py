"""The commands about budgets: tokens or money, in all or per period."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from concerted.board.budgets import budget
from concerted.machine import Priority
from concerted.ports.commands import Role
from concerted.ports.primitive import Ask, Caller
from concerted.values import Instant


class OfBudget(Ask, frozen=True, kw_only=True):
    """The root of the commands about budgets."""

    result: ClassVar[Any] = budget.BudgetResult
    kind: ClassVar[str] = "budget"


class CreateBudget(OfBudget, frozen=True, kw_only=True):
    """Make a budget of `limit` per period, or in all.

    window: `fixed` periods begin at its creation, a `sliding` one reaches back `period_s` from now.  share: the
    most of it, 0..1, that one holder may have.
    """

    result: ClassVar[Any] = budget.BudgetView
    limit: float
    unit: str = "tokens"
    period_s: float | None = None
    window: Literal["fixed", "sliding"] = "fixed"
    share: float | None = None
    name: str = ""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return budget.Create(
            id=self.id,
            by=caller.agent,
            limit=self.limit,
            unit=self.unit,
            period_s=self.period_s,
            window=self.window,
            share=self.share,
            name=self.name or self.id,
            metadata=self.metadata,
        )


class Spend(OfBudget, frozen=True, kw_only=True):
    """Spend so much, once for each ticket; wait in a fair queue if there is not so much left."""

    ticket: str
    amount: float
    purpose: str = ""
    priority: Priority = "medium"
    queue: bool = True
    deadline_at: Instant | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return budget.Spend(
            ticket=self.ticket,
            holder=caller.agent,
            amount=self.amount,
            purpose=self.purpose,
            priority=self.priority,
            wait=self.queue,
            deadline_at=self.deadline_at,
        )

    def withdrawal(self, caller: Caller) -> Any:
        """Return what takes the caller out of the queue."""
        return budget.Withdraw(self.ticket, caller.agent)


class ReserveBudget(OfBudget, frozen=True, kw_only=True):
    """Set an estimate aside, to be settled with what it really was within `ttl_s`, after which it returns."""

    ticket: str
    amount: float
    ttl_s: float = 60.0
    purpose: str = ""
    priority: Priority = "medium"
    queue: bool = True
    deadline_at: Instant | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return budget.Reserve(
            ticket=self.ticket,
            holder=caller.agent,
            amount=self.amount,
            ttl_s=self.ttl_s,
            purpose=self.purpose,
            priority=self.priority,
            wait=self.queue,
            deadline_at=self.deadline_at,
        )

    def withdrawal(self, caller: Caller) -> Any:
        """Return what takes the caller out of the queue."""
        return budget.Withdraw(self.ticket, caller.agent)


class SettleBudget(OfBudget, frozen=True, kw_only=True):
    """Say what a reservation really came to."""

    ticket: str
    actual: float

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return budget.Settle(self.ticket, caller.agent, self.actual)


class RefundBudget(OfBudget, frozen=True, kw_only=True):
    """Give back what was spent, or part of it."""

    ticket: str
    amount: float | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return budget.Refund(self.ticket, caller.agent, self.amount)


class WithdrawFromBudget(OfBudget, frozen=True, kw_only=True):
    """Leave the queue."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return budget.Withdraw(self.ticket, caller.agent)


class ResizeBudget(OfBudget, frozen=True, kw_only=True):
    """Change the limit, as its creator or an admin."""

    result: ClassVar[Any] = budget.BudgetView
    limit: float

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return budget.Resize(caller.agent, self.limit, caller.is_admin)


class GetBudget(OfBudget, frozen=True, kw_only=True):
    """Show what is spent, reserved and left, and who waits."""

    role: ClassVar[Role] = "viewer"
    result: ClassVar[Any] = budget.BudgetView
    after: str | None = ""
    after_position: int | None = 0
    limit: int = 100

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return budget.Find(self.after, self.after_position, self.limit)
