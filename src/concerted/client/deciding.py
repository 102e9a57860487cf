"""The handle on a decision, and the call that opens one and waits for its outcome."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from concerted.client.handle import CLOCKS_S, Giver, Handle, as_agent, from_now
from concerted.consensus.decisions.ballots import electorate_of
from concerted.consensus.decisions.decision import DecisionResult
from concerted.consensus.decisions.rule import Rule, rule_of
from concerted.consensus.decisions.signatures import ballot_bytes, sign
from concerted.errors import Invalid
from concerted.ports import decisions
from concerted.values import AgentId

__all__ = ["Decision", "decide"]


class Decision(Handle):
    """A proposal that voters judge."""

    async def create(
        self, question: str, voters: Iterable[str] | Mapping[str, int], *,
        rule: str | Rule | Mapping[str, Any] = "majority", deadline_s: float | None = None,
        agent: str | None = None, **facts: Any,
    ) -> DecisionResult:  # fmt: skip
        """Put a proposal to voters, with weights if they are a mapping; all of it is frozen.

        rule: as `concerted.consensus.decisions.rule_of` reads it.  deadline_s: from now.  facts: proposal, options,
        keys, deadline_at, algorithm, attach.

        Raises:
            Invalid: as the message says.  Conflict: there is another one of this id.
        """
        if deadline_s is not None:
            facts["deadline_at"] = from_now(deadline_s)
        command = decisions.CreateDecision(
            id=self.id,
            agent=as_agent(agent),
            question=question,
            electorate=electorate_of(voters),
            rule=rule_of(rule),
            **facts,
        )
        return await self._open(command, deadline_s, decisions.GetDecision(id=self.id))  # type: ignore[no-any-return]

    async def vote(
        self, choice: str, reason: str = "", *, agent: str | None = None, key: str | None = None,
        timeout_s: float | None = 0.0,
    ) -> DecisionResult:  # fmt: skip
        """Vote: `accept` (or one of the options), `reject` or `abstain`; by default without waiting for the outcome.

        key: the voter's private key, with which the ballot is signed.  In the answer `ballot` is the choice that
        counts, and `ignored` says that it is an earlier one.

        Raises:
            NotAllowed: the agent has no vote.  WrongPhase: it is closed.
        """
        signature = None
        if key is not None:
            if agent is None:
                raise Invalid("a signed ballot names its voter: agent=...")
            told = await self.get()
            signature = sign(key, ballot_bytes(told.opening_digest, AgentId(agent), choice, reason))
        command = decisions.CastBallot(
            id=self.id, agent=as_agent(agent), choice=choice, reason=reason, signature=signature
        )  # fmt: skip
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def wait(self, *, agent: str | None = None, timeout_s: float | None = None) -> DecisionResult:
        """Wait until it is closed, without a ballot."""
        command = decisions.AwaitDecision(id=self.id, agent=as_agent(agent))
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def cancel(self, reason: str = "", *, agent: str | None = None) -> DecisionResult:
        """Withdraw the proposal; the decision lapses."""
        command = decisions.CancelDecision(id=self.id, agent=as_agent(agent), reason=reason)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def get(self) -> DecisionResult:
        """Return how it stands, once it is closed with its certificate."""
        return await self._ask(decisions.GetDecision(id=self.id))  # type: ignore[no-any-return]


async def decide(
    giver: Giver, question: str, voters: Iterable[str] | Mapping[str, int], *, id: str | None,
    timeout_s: float | None, **terms: Any,
) -> DecisionResult:  # fmt: skip
    """Open a decision and wait until it is closed; see `Calls.decide`."""
    decision = Decision(giver, id or uuid.uuid4().hex[:12])
    told = await decision.create(question, voters, **terms)
    if told.outcome is not None:
        return await decision.get()
    if timeout_s is None and told.deadline_at is not None:
        timeout_s = max(0.0, told.deadline_at - time.time()) + CLOCKS_S
    return await decision.wait(agent=terms.get("agent"), timeout_s=timeout_s)
