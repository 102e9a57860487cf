"""The commands of decisions: open one, vote, wait, withdraw, look."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from concerted.consensus.decisions import decision
from concerted.consensus.decisions.rule import ACCEPT, Rule
from concerted.machine import Look
from concerted.ports.commands import Role
from concerted.ports.keeping import algorithm_of
from concerted.ports.primitive import Ask, Caller
from concerted.values import AgentId, Instant

__all__ = [
    "AwaitDecision",
    "CancelDecision",
    "CastBallot",
    "CreateDecision",
    "GetDecision",
    "OfDecision",
]


class OfDecision(Ask, frozen=True, kw_only=True):
    """The root of the commands about decisions."""

    result: ClassVar[Any] = decision.DecisionResult
    kind: ClassVar[str] = "decision"


class CreateDecision(OfDecision, frozen=True, kw_only=True):
    """Put a proposal to voters, each with a weight; all of it is frozen.

    options: what a ballot may accept; by default the question is yes or no.  keys: voter -> public key; whoever
    has one must sign.  deadline_at: None, and it stays open until it is settled.  algorithm: how the log is kept;
    by default as the store keeps it.  group: which group of replicas keeps it; replicas: the agents beside which they
    are to run; by default one that is there, or a new one.  attach: if there is one of this id, take it as it is.
    """

    question: str
    electorate: dict[AgentId, int]
    proposal: Any = None
    options: tuple[str, ...] = (ACCEPT,)
    keys: dict[AgentId, str] = msgspec.field(default_factory=dict)
    rule: Rule = Rule()
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
        return decision.Create(
            id=self.id,
            by=caller.agent,
            question=self.question,
            electorate=self.electorate,
            proposal=self.proposal,
            options=self.options,
            keys=self.keys,
            rule=self.rule,
            deadline_at=self.deadline_at,
            algorithm=algorithm_of(self, caller),
        )


class CastBallot(OfDecision, frozen=True, kw_only=True):
    """Vote: one of the options, `reject` or `abstain`; the first ballot counts, a later one is written and ignored."""

    choice: str
    reason: str = ""
    signature: str | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return decision.Vote(caller.agent, self.choice, self.reason, self.signature)


class AwaitDecision(OfDecision, frozen=True, kw_only=True):
    """Wait for its end without a ballot."""

    looks: ClassVar[bool] = True

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return decision.Await(caller.agent)


class CancelDecision(OfDecision, frozen=True, kw_only=True):
    """Withdraw the proposal, as its opener or an admin; the decision lapses."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return decision.Cancel(caller.agent, self.reason, caller.is_admin)


class GetDecision(OfDecision, frozen=True, kw_only=True):
    """Show it with every voter, and with its certificate once it is closed."""

    role: ClassVar[Role] = "viewer"
    looks: ClassVar[bool] = True

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()
