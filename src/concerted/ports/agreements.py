"""The commands of agreements and of logs of decisions: open, propose, append, read, wait."""

from __future__ import annotations

from typing import Any, ClassVar

from concerted.consensus import agreement, decision_log
from concerted.consensus.validity import ANYTHING, Validity
from concerted.machine import Look
from concerted.ports.commands import Role
from concerted.ports.keeping import algorithm_of
from concerted.ports.primitive import Ask, Caller
from concerted.values import AgentId, Instant

__all__ = [
    "AppendToDecisionLog",
    "AwaitAgreement",
    "CreateAgreement",
    "CreateDecisionLog",
    "GetAgreement",
    "GetDecisionLog",
    "OfAgreement",
    "OfDecisionLog",
    "ProposeValue",
    "ReadDecisionLog",
]


class OfAgreement(Ask, frozen=True, kw_only=True):
    """The root of the commands about agreements."""

    result: ClassVar[Any] = agreement.AgreementResult
    kind: ClassVar[str] = "agreement"


class CreateAgreement(OfAgreement, frozen=True, kw_only=True):
    """Open an agreement on one value, on terms that are frozen.

    validity: which values may be chosen.  proposers: who may propose; none named: everybody.  deadline_at: when it
    lapses if nobody has proposed.  algorithm, group, replicas: how the log is kept, as of decisions.  attach: if there
    is one of this key, take it as it is.
    """

    validity: Validity = ANYTHING
    proposers: tuple[AgentId, ...] = ()
    deadline_at: Instant | None = None
    algorithm: str | None = None
    group: str | None = None
    replicas: tuple[AgentId, ...] = ()
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine.

        Raises:
            Invalid: the log is not kept like that here.
        """
        terms = agreement.Terms(
            validity=self.validity,
            proposers=self.proposers,
            deadline_at=self.deadline_at,
            algorithm=algorithm_of(self, caller),
        )
        return agreement.Create(self.id, caller.agent, terms)


class ProposeValue(OfAgreement, frozen=True, kw_only=True):
    """Propose a value; the first valid one is chosen for ever, and every other proposer is answered with it.

    validity, proposers: what the caller takes for agreed; None: as it is.  If there is no such agreement it is opened
    on these terms, with this deadline.  The same request id is the same proposal.
    """

    value: Any
    request_id: str
    validity: Validity | None = None
    proposers: tuple[AgentId, ...] | None = None
    deadline_at: Instant | None = None
    algorithm: str | None = None
    group: str | None = None
    replicas: tuple[AgentId, ...] = ()

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine.

        Raises:
            Invalid: the log is not kept like that here.
        """
        return agreement.Propose(
            id=self.id,
            by=caller.agent,
            value=self.value,
            request_id=self.request_id,
            validity=self.validity,
            proposers=self.proposers,
            deadline_at=self.deadline_at,
            algorithm=algorithm_of(self, caller),
        )


class AwaitAgreement(OfAgreement, frozen=True, kw_only=True):
    """Wait until there is a value, or never will be, without proposing one."""

    role: ClassVar[Role] = "viewer"
    looks: ClassVar[bool] = True

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return agreement.Await()


class GetAgreement(OfAgreement, frozen=True, kw_only=True):
    """Show the value, or that there is none yet."""

    role: ClassVar[Role] = "viewer"
    looks: ClassVar[bool] = True

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()


class OfDecisionLog(Ask, frozen=True, kw_only=True):
    """The root of the commands about logs of decisions."""

    result: ClassVar[Any] = decision_log.DecisionLogResult
    kind: ClassVar[str] = "decision_log"


class CreateDecisionLog(OfDecisionLog, frozen=True, kw_only=True):
    """Make a log to which only some may append; the first append makes one for everybody.

    algorithm, group, replicas: how the log is kept, as of decisions.  attach: if there is one of this name, take it
    as it is.
    """

    writers: tuple[AgentId, ...] = ()
    algorithm: str | None = None
    group: str | None = None
    replicas: tuple[AgentId, ...] = ()
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine.

        Raises:
            Invalid: the log is not kept like that here.
        """
        terms = decision_log.Terms(writers=self.writers, algorithm=algorithm_of(self, caller))
        return decision_log.Create(self.id, caller.agent, terms)


class AppendToDecisionLog(OfDecisionLog, frozen=True, kw_only=True):
    """Append a value, and be told its position; the same request id appends once."""

    value: Any
    request_id: str
    algorithm: str | None = None
    group: str | None = None
    replicas: tuple[AgentId, ...] = ()

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine.

        Raises:
            Invalid: the log is not kept like that here.
        """
        algorithm = algorithm_of(self, caller)
        return decision_log.Append(self.id, caller.agent, self.value, self.request_id, algorithm)


class ReadDecisionLog(OfDecisionLog, frozen=True, kw_only=True):
    """Read the entries after a position, a page at a time; wait for the next one if there is none."""

    role: ClassVar[Role] = "viewer"
    looks: ClassVar[bool] = True
    after: int = 0
    limit: int = decision_log.PAGE

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return decision_log.Read(self.after, self.limit)


class GetDecisionLog(OfDecisionLog, frozen=True, kw_only=True):
    """Show how long it is, who made it and who may append."""

    role: ClassVar[Role] = "viewer"
    looks: ClassVar[bool] = True

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()
