"""The commands of what agents hold: leases, permits of semaphores, budgets, leadership."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from concerted.board.elections import election
from concerted.board.leases import lease
from concerted.board.semaphores import semaphore
from concerted.machine import Priority
from concerted.ports.commands import Role
from concerted.ports.primitive import Ask, Caller
from concerted.values import AgentId, Instant

SPACE = "space"  # all leases of a store are one primitive, since their names overlap
MEMORY = "memory"  # those that are not durable are another, in memory


# leases


class OfLeases(Ask, frozen=True, kw_only=True):
    """The root of the commands about leases."""

    result: ClassVar[Any] = lease.LeaseResult
    kind: ClassVar[str] = "lease"
    id: str = SPACE


class AcquireLease(OfLeases, frozen=True, kw_only=True):
    """Hold all of these names, or none, for `ttl_s` after each renewal; wait in a fair queue if they are not free.

    ticket: names this request; the same one again is the same lease, also after a restart of the client.
    names: plain ones, paths, path prefixes (`src/`) and globs (`src/**`).  queue: False, and it is refused at
    once if they are not free.  confirm_s: how soon a grant to a caller that has waited must be confirmed.
    id: `memory` for leases that are not written down, where the store has one owner: faster, and gone with it.
    """

    confirms: ClassVar[bool] = True
    ticket: str
    names: tuple[str, ...]
    mode: Literal["exclusive", "shared"] = "exclusive"
    ttl_s: float = 60.0
    purpose: str = ""
    priority: Priority = "medium"
    queue: bool = True
    confirm_s: float | None = 10.0
    deadline_at: Instant | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return lease.Acquire(
            ticket=self.ticket,
            holder=caller.agent,
            names=self.names,
            mode=self.mode,
            ttl_s=self.ttl_s,
            purpose=self.purpose,
            priority=self.priority,
            wait=self.queue,
            confirm_s=self.confirm_s,
            durable=self.id != MEMORY,
            deadline_at=self.deadline_at,
        )

    def withdrawal(self, caller: Caller) -> Any:
        """Return what takes the caller out of the queue."""
        return lease.Withdraw(self.ticket, caller.agent)


class ConfirmLease(OfLeases, frozen=True, kw_only=True):
    """Say that a grant has been heard of."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return lease.Confirm(self.ticket, caller.agent)


class RenewLease(OfLeases, frozen=True, kw_only=True):
    """Hold a lease for another time to live, from now."""

    renews: ClassVar[bool] = True
    token: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return lease.Renew(caller.agent, self.token)


class ReleaseLease(OfLeases, frozen=True, kw_only=True):
    """Hold it no longer; by its holder and token, never by name."""

    token: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return lease.Release(caller.agent, self.token)


class WithdrawLease(OfLeases, frozen=True, kw_only=True):
    """Leave the queue."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return lease.Withdraw(self.ticket, caller.agent)


class AskForLease(OfLeases, frozen=True, kw_only=True):
    """Ask whoever holds a name, or the holder of a token, to release it."""

    result: ClassVar[Any] = lease.AskedResult
    name: str | None = None
    token: str | None = None
    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return lease.AskRelease(caller.agent, self.name, self.token, self.reason)


class RevokeLease(OfLeases, frozen=True, kw_only=True):
    """Take a lease away."""

    role: ClassVar[Role] = "admin"
    token: str
    reason: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return lease.Revoke(caller.agent, self.token, self.reason, caller.is_admin)


class CheckLease(OfLeases, frozen=True, kw_only=True):
    """Say whether a fencing token is the one under which a name is held now."""

    role: ClassVar[Role] = "viewer"
    result: ClassVar[Any] = lease.CheckResult
    name: str
    token: str

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return lease.Check(self.name, self.token)


class Leases(OfLeases, frozen=True, kw_only=True):
    """Show a page of what is held, and of who waits."""

    role: ClassVar[Role] = "viewer"
    result: ClassVar[Any] = lease.LeasesResult
    name: str | None = None
    holder: AgentId | None = None
    after: str | None = ""
    after_position: int | None = 0
    limit: int = 100

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return lease.Find(self.name, self.holder, self.after, self.after_position, self.limit)


# elections


class OfElection(Ask, frozen=True, kw_only=True):
    """The root of the commands about elections of a leader by name."""

    result: ClassVar[Any] = election.ElectionResult
    kind: ClassVar[str] = "election"


class CreateElection(OfElection, frozen=True, kw_only=True):
    """Make an election with rules of its own; one that nobody made is open to everybody."""

    candidates: tuple[AgentId, ...] = ()
    confirm_s: float = 10.0
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return election.Create(self.id, caller.agent, self.confirm_s, self.candidates)


class Campaign(OfElection, frozen=True, kw_only=True):
    """Stand for leader, and wait to be it.  The same ticket again is the same candidacy.

    queue: False, and it comes to nothing if there is a leader.  score: of those who wait the highest is next.
    """

    confirms: ClassVar[bool] = True
    ticket: str
    ttl_s: float = 15.0
    value: Any = None
    queue: bool = True
    score: float = 0.0

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return election.Campaign(caller.agent, self.ticket, self.ttl_s, self.value, self.queue, self.score, self.id)

    def withdrawal(self, caller: Caller) -> Any:
        """Return what takes the caller out of the queue."""
        return election.Withdraw(self.ticket, caller.agent)


class ConfirmLeadership(OfElection, frozen=True, kw_only=True):
    """Say that the election has been heard of."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return election.Confirm(self.ticket, caller.agent)


class RenewLeadership(OfElection, frozen=True, kw_only=True):
    """Lead for another time to live, from now."""

    renews: ClassVar[bool] = True
    token: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return election.Renew(caller.agent, self.token)


class Proclaim(OfElection, frozen=True, kw_only=True):
    """Tell everybody who observes something, as the leader."""

    token: str
    value: Any = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return election.Proclaim(caller.agent, self.token, self.value)


class Resign(OfElection, frozen=True, kw_only=True):
    """Lead no longer."""

    token: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return election.Resign(caller.agent, self.token)


class WithdrawCandidacy(OfElection, frozen=True, kw_only=True):
    """Stand for leader no longer."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return election.Withdraw(self.ticket, caller.agent)


class Observe(OfElection, frozen=True, kw_only=True):
    """Wait until there is another leader than that of `known_epoch`, or it has proclaimed something new."""

    role: ClassVar[Role] = "viewer"
    known_epoch: int = 0
    known_version: int | None = None

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return election.Observe(self.known_epoch, self.known_version)


class CheckLeadership(OfElection, frozen=True, kw_only=True):
    """Say whether a fencing token is that of the leader now."""

    role: ClassVar[Role] = "viewer"
    result: ClassVar[Any] = election.CheckResult
    token: str

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return election.Check(self.token)


# semaphores


class OfSemaphore(Ask, frozen=True, kw_only=True):
    """The root of the commands about semaphores."""

    result: ClassVar[Any] = semaphore.PermitResult
    kind: ClassVar[str] = "semaphore"


class CreateSemaphore(OfSemaphore, frozen=True, kw_only=True):
    """Make a semaphore with so many permits."""

    result: ClassVar[Any] = semaphore.SemaphoreResult
    permits: int
    name: str = ""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return semaphore.Create(self.id, caller.agent, self.permits, self.name or self.id, self.metadata)


class AcquirePermits(OfSemaphore, frozen=True, kw_only=True):
    """Hold so many permits for `ttl_s` after each renewal; wait in a fair queue if there are not enough.

    ticket: names this request; the same one again is the same holding.  queue: False, and it is refused at once.
    """

    confirms: ClassVar[bool] = True
    ticket: str
    permits: int = 1
    ttl_s: float = 60.0
    purpose: str = ""
    priority: Priority = "medium"
    queue: bool = True
    confirm_s: float | None = 10.0
    deadline_at: Instant | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return semaphore.Acquire(
            ticket=self.ticket,
            holder=caller.agent,
            permits=self.permits,
            ttl_s=self.ttl_s,
            purpose=self.purpose,
            priority=self.priority,
            wait=self.queue,
            confirm_s=self.confirm_s,
            deadline_at=self.deadline_at,
        )

    def withdrawal(self, caller: Caller) -> Any:
        """Return what takes the caller out of the queue."""
        return semaphore.Withdraw(self.ticket, caller.agent)


class ConfirmPermits(OfSemaphore, frozen=True, kw_only=True):
    """Say that a grant has been heard of."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return semaphore.Confirm(self.ticket, caller.agent)


class RenewPermits(OfSemaphore, frozen=True, kw_only=True):
    """Hold them for another time to live, from now."""

    renews: ClassVar[bool] = True
    token: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return semaphore.Renew(caller.agent, self.token)


class ReleasePermits(OfSemaphore, frozen=True, kw_only=True):
    """Hold them no longer."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return semaphore.Release(caller.agent, self.ticket)


class WithdrawPermits(OfSemaphore, frozen=True, kw_only=True):
    """Leave the queue."""

    ticket: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return semaphore.Withdraw(self.ticket, caller.agent)


class ResizeSemaphore(OfSemaphore, frozen=True, kw_only=True):
    """Have more permits, or fewer, as its creator or an admin."""

    result: ClassVar[Any] = semaphore.SemaphoreResult
    permits: int

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return semaphore.Resize(caller.agent, self.permits, caller.is_admin)


class CheckPermits(OfSemaphore, frozen=True, kw_only=True):
    """Say whether permits are held under a token now."""

    role: ClassVar[Role] = "viewer"
    result: ClassVar[Any] = semaphore.CheckResult
    token: str

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return semaphore.Check(self.token)


class GetSemaphore(OfSemaphore, frozen=True, kw_only=True):
    """Show who holds permits, and who waits."""

    role: ClassVar[Role] = "viewer"
    result: ClassVar[Any] = semaphore.SemaphoreResult
    after: str | None = ""
    after_position: int | None = 0
    limit: int = 100

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return semaphore.Find(self.after, self.after_position, self.limit)
